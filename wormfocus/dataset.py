"""`wormfocus dataset`: what is in a folder of stacks, and is it whole."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json

if TYPE_CHECKING:
    from calibration.dataset import Dataset

__all__ = ["dataset", "refuse_damaged", "show_findings"]


@app.command("dataset")
def dataset(
    folder: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    add: Annotated[
        bool, typer.Option("--add", help="First enter the stacks that its manifest does not list.")
    ] = False,
    plate: Annotated[str, typer.Option(help="Plate of the stacks that are added.")] = "",
    day: Annotated[str, typer.Option(help="Their day, as 2026-11-21; by default that of the files.")] = "",
    note: Annotated[str, typer.Option(help="Anything worth keeping of them.")] = "",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """List a data set's sessions and check every stack: there, unchanged, readable."""
    from calibration.dataset import locked, read_dataset, require_dataset, write_dataset
    from calibration.dataset_check import adopt
    from hw.errors import ConfigError, StackError

    if not add and (plate or day or note):
        raise ConfigError("--plate, --day and --note are of stacks that are added; give --add too")
    if not folder.is_dir():
        raise StackError(f"{folder}: there is no folder of this name; give the folder of a data set")
    if add:
        _check_day(day)
        with locked(folder):
            write_dataset(folder, adopt(folder, read_dataset(folder), plate=plate, day=day, note=note))
    held = require_dataset(folder)
    for number, session in enumerate(held.sessions, 1):
        last = number == len(held.sessions)
        going_on = "unfinished: 'wormfocus stack --resume' goes on" if last else "left unfinished"
        state = "finished" if session.finished else going_on
        parts = [session.notice, session.day, session.plate and f"plate {session.plate}", session.note]
        print(
            f"session {number}: {session.done} of {len(session.stacks)} stacks, "
            f"{', '.join([*filter(None, parts), state])}"
        )
    figures = show_findings(folder, held)
    if json_file:
        write_json(json_file, figures)
    refuse_damaged(folder, figures)


def _check_day(day: str) -> None:
    from datetime import date

    from hw.errors import ConfigError

    try:
        # Other ways to write a date would be other days to whoever sorts or splits by them.
        right = not day or date.fromisoformat(day).isoformat() == day
    except ValueError:
        right = False
    if not right:
        raise ConfigError(f"--day {day}: is no date; write year, month and day, as in 2026-11-21")


def show_findings(folder: Path, held: "Dataset") -> dict[str, Any]:
    """Check a data set's stacks, print what is wrong, and return the figures."""
    from rich.progress import track

    from calibration.dataset_check import check_stacks, unlisted

    total = sum(1 for _ in held.stacks())
    findings = list(track(check_stacks(folder, held), total=total, description="checking", transient=True))
    for finding in findings:
        if finding.reason:
            print(f"{folder / finding.file}: {finding.state}: {finding.reason}")
    extra = unlisted(folder, held)
    if extra:
        print(f"{len(extra)} stacks are not in the manifest, {extra[0].name} first; --add enters them")
    bad = sum(finding.state != "good" for finding in findings)
    print(f"{folder}: {total - bad} of {total} stacks are as they were recorded")
    return {
        "stacks": total,
        "sessions": len(held.sessions),
        "unlisted": len(extra),
        "states": dict(Counter(finding.state for finding in findings)),
    }


def refuse_damaged(folder: Path, figures: dict[str, Any]) -> None:
    """End in an error, after the figures were written, where `show_findings` has found something wrong.

    Raises
    ------
    StackError
        A stack is not as it was recorded.
    """
    from hw.errors import StackError

    total = figures["stacks"]
    if bad := total - figures["states"].get("good", 0):
        raise StackError(
            f"{folder}: {bad} of {total} stacks are not as they were recorded, see above; copy them again "
            "from where they are whole, or take their entries out of the manifest"
        )

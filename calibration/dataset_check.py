"""Is a data set whole: every stack there, unchanged and readable; and stacks that it does not list yet."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from calibration.campaign import recorded_stack
from calibration.dataset import Dataset, Session, StackEntry, file_sha256, new_dataset, now, our_version
from calibration.stack import find_stacks, read_stack, stack_name
from hw.errors import StackError

__all__ = ["Finding", "adopt", "check_stacks", "unlisted"]


@dataclass(frozen=True)
class Finding:
    """What was found of one stack.

    Attributes
    ----------
    file : its name
    state : 'good', 'missing', 'changed' since it was recorded, 'unreadable' or 'unlike' its entry
    reason : what is wrong and what to do; empty for a good one
    """

    file: str
    state: Literal["good", "missing", "changed", "unreadable", "unlike"]
    reason: str = ""


def check_stacks(folder: Path, dataset: Dataset) -> Iterator[Finding]:
    """Check every recorded stack of a data set, one by one.

    Yields
    ------
    Finding
        One for each stack, in the order in which they were recorded.
    """
    seen: set[str] = set()
    for _, entry in dataset.stacks():
        yield _check(folder, entry, seen)
        seen.add(entry.file)


def _check(folder: Path, entry: StackEntry, seen: set[str]) -> Finding:
    path, recorded = folder / entry.file, entry.recorded
    assert recorded is not None
    again = "copy it from where it is whole, or take its entry out of the manifest"
    if entry.file in seen:
        return Finding(entry.file, "unlike", "listed twice; take one entry out of the manifest")
    if not path.is_file():
        return Finding(entry.file, "missing", f"not there; {again}")
    try:
        size = path.stat().st_size
        if size != recorded.size:
            return Finding(entry.file, "changed", f"{size} bytes, not {recorded.size} as recorded; {again}")
        if file_sha256(path) != recorded.sha256:
            return Finding(entry.file, "changed", f"its SHA-256 is not the recorded one; {again}")
        stack = read_stack(path)
    except (OSError, StackError) as error:
        return Finding(entry.file, "unreadable", str(error).removeprefix(f"{path}: "))
    if len(stack.positions_um) != len(recorded.positions_um):
        planes = f"{len(stack.positions_um)} planes, the manifest says {len(recorded.positions_um)}"
        return Finding(entry.file, "unlike", f"{planes}; mend the manifest")
    return Finding(entry.file, "good")


def unlisted(folder: Path, dataset: Dataset) -> list[Path]:
    """Return the stacks of a folder that its manifest does not know."""
    try:
        known = dataset.files()
        return [path for path in find_stacks(folder) if path.name not in known]
    except StackError:
        return []


def adopt(
    folder: Path, dataset: Dataset | None, *, plate: str = "", day: str = "", note: str = ""
) -> Dataset:
    """Enter stacks that the manifest does not know as a session without a plan.

    Parameters
    ----------
    folder : of the stacks
    dataset : its manifest; None where it has none yet
    plate, day, note : of all of them; the day is that of the oldest file when absent

    Returns
    -------
    Dataset
        With one session more; the files on the disk are as they were, and nothing is written.

    Raises
    ------
    StackError
        There is nothing to enter, one cannot be read, or a session is still to be finished.
    """
    dataset = dataset or new_dataset(None)
    if dataset.sessions and not dataset.sessions[-1].finished:
        raise StackError(f"{folder}: its last session is unfinished; finish it first, with 'wormfocus stack'")
    paths = unlisted(folder, dataset)
    if not paths:
        raise StackError(f"{folder}: no stack in it that its manifest does not list; nothing to add")
    entries = []
    for path in paths:
        stack = read_stack(path)
        entries.append(
            StackEntry(
                file=path.name,
                specimen=stack.specimen or stack_name(path),
                recorded=recorded_stack(path, stack),
            )
        )
    oldest = datetime.fromtimestamp(min(path.stat().st_mtime for path in paths)).astimezone()
    at = now().isoformat(timespec="seconds")
    session = Session(
        day=day or oldest.date().isoformat(),
        started=at,
        finished=at,
        plate=plate,
        note=note,
        version=our_version(),
        stacks=tuple(entries),
    )
    return dataset.model_copy(update={"sessions": (*dataset.sessions, session)})

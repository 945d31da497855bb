"""`wormfocus calibrate`: the group of commands that measure a rig and write what they find into its file."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wormfocus.application import app
from wormfocus.stages import stage_teller

if TYPE_CHECKING:
    from hw.calibration_record import Value
    from hw.config import RigConfig
    from hw.rig import Rig

__all__ = [
    "DryRun",
    "Out",
    "Picture",
    "calibrate",
    "forget_position",
    "open_for_calibration",
    "write_results",
]

calibrate = typer.Typer(
    help="Measure a rig with a target under the lens.",
    rich_markup_mode=None,
)
app.add_typer(calibrate, name="calibrate")

Out = Annotated[
    Path | None, typer.Option(help="New rig file for the results; by default the rig file itself.")
]
Picture = Annotated[Path | None, typer.Option(help="Draw what the results rest on, as PNG.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Measure and report, write no rig file.")]


@contextmanager
def open_for_calibration(
    config: "RigConfig", seed: int, *, spacer: bool = False
) -> Iterator[tuple["Rig", Callable[[str], None]]]:
    """Open a rig that has a motor; yields it, and what shows the progress on stderr.

    Parameters
    ----------
    config : the rig file
    seed : of a simulated rig
    spacer : whether one will have to be put under the specimen

    Raises
    ------
    ConfigError
        The rig has no motor, or nobody is there to put the spacer in.
    """
    import sys

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from calibration.axis.bench import without_a_preferred_side
    from hw.errors import ConfigError
    from hw.rig import open_rig

    if config.kind == "replayed":
        raise ConfigError(f"rig '{config.name}' is replayed: it has no motor; name a real or a simulated rig")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with (
        open_rig(without_a_preferred_side(config), seed=seed) as rig,
        Progress(*columns, console=Console(stderr=True), transient=True) as bar,
    ):
        if spacer and rig.raise_specimen is None:
            if not sys.stdin.isatty():
                raise ConfigError(
                    "--spacer-um: an operator must put the spacer in; start this from a terminal"
                )
            rig.raise_specimen = _operator(bar.stop, bar.start)
        title = " ".join(filter(None, (rig.notice, config.name)))
        task = bar.add_task(title, total=None)
        yield rig, stage_teller(bar, task, title)


def write_results(
    rig: str,
    target: Path | None,
    by: str,
    values: "Mapping[str, Value]",
    found: "Mapping[str, Value]",
    notice: str,
) -> None:
    """Write results into a rig file and say so, or say what would be written.

    Parameters
    ----------
    rig : as on the command line
    target : file to write; None for a dry run
    by : the command
    values : keys of the rig file, and their new values
    found : what was measured
    notice : the rig's
    """
    from hw.rig_file import record_calibration

    if target is None:
        for key, value in values.items():
            print(f"would set {key}: {value}")
        return
    record = record_calibration(rig, target, by, values, found, notice)
    for key, change in record.changed.items():
        print(f"{target}: {key}: {change.now} (was {change.before})")
    print(f"{target}: record of {record.date:%Y-%m-%d %H:%M} UTC added to its 'calibration' section")


def forget_position(config: "RigConfig") -> None:
    """Forget the kept position of an axis that has lost steps or was turned round, after it is closed."""
    kept = config.axis.drive.position_file
    if kept is not None:
        kept.expanduser().unlink(missing_ok=True)


def _operator(before: Callable[[], None], after: Callable[[], None]) -> Callable[[float], None]:
    """Ask the operator to put a spacer in or to take it out."""
    from hw.errors import ConfigError

    def ask(by_um: float) -> None:
        before()
        what = (
            f"put the spacer of {by_um:g} um under the specimen"
            if by_um > 0
            else f"take the spacer of {-by_um:g} um out again"
        )
        try:
            input(f"{what}, touch nothing else, then press Enter ")
        except EOFError as error:
            raise ConfigError(f"nobody is there to {what}; start this from a terminal") from error
        after()

    return ask

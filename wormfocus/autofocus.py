"""What `run`, `focus` and `demo` share: a rig and a focuser from the command line, and the way to report."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from edge.bundle import FocusCard
    from edge.figures import RunFigures, Step
    from edge.focusers import Focuser
    from hw.rig import Rig

__all__ = [
    "MethodName",
    "Parts",
    "finite",
    "finite_each",
    "finite_or_none",
    "open_parts",
    "show_figures",
    "show_progress",
    "write_json",
]


class MethodName(StrEnum):
    """The methods, as the command line spells them."""

    network = "network"
    contrast = "contrast"
    none = "none"


def finite(value: float) -> float:
    """Refuse an option that is no number or has no end."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def finite_or_none(value: float | None) -> float | None:
    """Refuse an option that was given and is no number or has no end."""
    return None if value is None else finite(value)


def finite_each(values: list[float] | None) -> list[float] | None:
    """Refuse an option that may be given again where one of its values is no number or has no end."""
    return None if values is None else [finite(value) for value in values]


@dataclass(frozen=True)
class Parts:
    """An open rig and what focuses it; `card` is the bundle's, for the method that has one."""

    rig: "Rig"
    focuser: "Focuser"
    card: "FocusCard | None"


@contextmanager
def open_parts(
    rig: str,
    bundle: str,
    method: MethodName,
    *,
    stack: Path | None = None,
    spacing_um: float | None = None,
    seed: int = 0,
    full_scan: bool = False,
) -> Iterator[Parts]:
    """Open a rig and the focuser for it, and close the rig afterwards.

    Raises
    ------
    ConfigError, StackError, BundleError
        Something that was asked for does not exist, is damaged or does not fit.
    """
    from edge.bundle import Predictor, check_fits, load_bundle
    from edge.focusers import ContrastFocuser, NetworkFocuser, StillFocuser
    from hw.config import load_rig
    from hw.rig import open_rig

    config = load_rig(rig)
    if spacing_um is not None:
        config = config.with_spacing(spacing_um)
    # The bundle first: a wrong one should not have started any motor.
    loaded = load_bundle(bundle) if method is MethodName.network else None
    with open_rig(config, seed=seed, stack=stack) as opened:
        # What the rig says of itself counts from here on: a recording knows better than its rig file.
        focuser: Focuser
        if loaded is not None:
            check_fits(loaded.card, opened.config)
            focuser = NetworkFocuser(opened.config, Predictor(loaded), loaded.card.input)
        elif method is MethodName.contrast:
            focuser = ContrastFocuser(opened.config, full_scan=full_scan)
        else:
            focuser = StillFocuser()
        yield Parts(opened, focuser, loaded.card if loaded is not None else None)


@contextmanager
def show_progress(title: str, seconds: float) -> Iterator["Callable[[Step], None]"]:
    """Show how far a run is, and in which state, on stderr; yields what to call after each step.

    Parameters
    ----------
    title : what is running
    seconds : its length; inf where it has no end
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    total = seconds if math.isfinite(seconds) else None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f}" + ("" if total is None else f"/{total:g}") + " s"),
        TextColumn("{task.fields[state]:<9}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total, state="")

        def update(step: "Step") -> None:
            elapsed = min(step.elapsed_s, seconds)
            progress.update(task, completed=elapsed, state=step.look.decision.state)

        yield update


def show_figures(figures: "RunFigures", rig: "Rig", wall_s: float) -> None:
    """Print the figures of a run as a small table."""
    from rich.console import Console
    from rich.table import Table

    config = rig.config
    um_per_step = config.axis.um_per_step

    def share(value: float | None) -> str:
        return "not known" if value is None else f"{value:.1%}"

    def distance(um: float | None) -> str:
        return "not known" if um is None else f"{um:.3g} um = {um / um_per_step:.3g} steps"

    table = Table(
        title=" · ".join(filter(None, (rig.notice, config.name, figures.method))), show_header=False
    )
    table.add_column(style="dim")
    table.add_column(justify="right")
    lock = figures.time_to_lock_s
    rows = [
        ("time to lock", "never" if lock is None else f"{lock:.2f} s"),
        (f"within half a DOF ({config.optics.dof_um / 2:g} um) after lock", share(figures.in_focus_fraction)),
        ("the same, all frames", share(figures.in_focus_fraction_all)),
        ("RMS error after lock", distance(figures.rms_error_um)),
        ("moves", str(figures.moves)),
        ("lost", share(figures.lost_fraction)),
        ("lens at the end", f"{figures.final_steps:.1f} steps = {figures.final_steps * um_per_step:.4g} um"),
    ]
    for stage, times in figures.stage_ms.items():
        rows.append((f"{stage}, mean / 99 %", f"{times['mean']:.2f} / {times['p99']:.2f} ms"))
    rows.append(("run", f"{figures.seconds:.1f} s, {figures.frames} frames, in {wall_s:.1f} s"))
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write figures to a JSON file.

    Parameters
    ----------
    path : an existing file is replaced
    values : plain values; numbers are finite, for JSON knows no others

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    from hw.errors import ConfigError

    text = json.dumps(values, indent=2, allow_nan=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); name another file") from error

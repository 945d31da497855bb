"""How well an autofocus did on a plate: each well's distance from focus, their spread, a picture.

From nothing but a folder of z-stacks of sub-resolution beads, one for each well, of any microscope.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibration.picture import save_picture
from calibration.plate_beads import beads_in
from calibration.plate_layout import Well, well_named
from calibration.robust import robust_sigma
from calibration.stack import ZStack, find_stacks, read_stack, stack_name
from hw.errors import StackError

__all__ = ["WellDepth", "draw_plate", "figures", "measure_plate", "measure_well", "well_of"]

Reference = Literal["autofocus", "middle"]

# Beads of one well that lie farther from their median than this, um, and than so many deviations of the
# others are two beads on top of each other, or dirt.
STRAY_UM, STRAY_SIGMAS = 0.3, 4.0


@dataclass(frozen=True)
class WellDepth:
    """One well.

    Attributes
    ----------
    well : which
    focused : whether the autofocus said that it found focus; None where the stack does not say
    reason : what it said, or why there is no `offset_um`
    beads : how many beads' focus was measured
    seen : how many beads were seen
    offset_um : mean of the beads' focus minus where the autofocus had put the lens: the move it lacks
    spread_um : standard deviation of the beads; None for fewer than two
    true_offset_um : the same by construction, where a simulated rig knew it
    seconds, frames : how long the autofocus took and at how many frames it looked, where the stack says so
    """

    well: Well
    focused: bool | None
    reason: str
    beads: int
    seen: int
    offset_um: float | None = None
    spread_um: float | None = None
    true_offset_um: float | None = None
    seconds: float | None = None
    frames: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "well": self.well.name,
            "focused": self.focused,
            "reason": self.reason,
            "beads": self.beads,
            "seen": self.seen,
            "offset_um": _rounded(self.offset_um),
            "spread_um": _rounded(self.spread_um),
            "true_offset_um": _rounded(self.true_offset_um),
            "seconds": self.seconds,
            "frames": self.frames,
        }


def well_of(path: Path, stack: ZStack) -> Well:
    """Say which well a stack shows: by its notes, or by the last part of its name, as in plate_B07.ome.tif.

    Raises
    ------
    StackError
        Neither names a well.
    """
    name = stack.notes.get("well") or stack_name(path).replace("-", "_").rpartition("_")[2]
    well = well_named(name)
    if well is None:
        raise StackError(f"{path}: '{name}' names no well; end the file's name in _A01 and the like")
    return well


def measure_well(stack: ZStack, well: Well, reference: Reference = "autofocus") -> WellDepth:
    """Measure how far the beads of a well lie from where the autofocus had put the lens.

    Parameters
    ----------
    stack : of the well's beads
    well : which
    reference : `autofocus` takes the position that the stack's notes give, and the middle of the stack where
        they give none; `middle` always takes the middle, about which most microscopes record

    Raises
    ------
    StackError
        A note that should be a number is none.
    """
    noted = _noted(stack, "autofocus_um") if reference == "autofocus" else None
    lens_um = noted if noted is not None else float(stack.positions_um.min() + stack.positions_um.max()) / 2
    said = stack.notes.get("focused")
    focused = None if said is None else said == "yes"
    frames = _noted(stack, "focusing_frames")
    beads = beads_in(stack)
    offsets = np.array([bead.focus_um for bead in beads if bead.focus_um is not None]) - lens_um
    offsets = _without_strays(offsets)
    found = WellDepth(
        well,
        focused,
        stack.notes.get("reason", ""),
        int(offsets.size),
        len(beads),
        true_offset_um=_noted(stack, "true_offset_um"),
        seconds=_noted(stack, "focusing_s"),
        frames=None if frames is None else int(frames),
    )
    if not offsets.size:
        why = beads[0].reason if beads else "no bead stands out of the noise"
        return replace(found, reason=f"{found.reason}; {why}".removeprefix("; "))
    spread = float(offsets.std(ddof=1)) if offsets.size > 1 else None
    return replace(found, offset_um=float(offsets.mean()), spread_um=spread)


def measure_plate(folder: Path, reference: Reference = "autofocus") -> Iterator[WellDepth]:
    """Measure every stack of a folder; see `measure_well`.

    Raises
    ------
    StackError
        A stack cannot be read, names no well, or names one that another stack has named.
    """
    seen: dict[Well, Path] = {}
    for path in find_stacks(folder):
        stack = read_stack(path)
        well = well_of(path, stack)
        if well in seen:
            raise StackError(f"{path}: well {well.name} was {seen[well].name} already; keep one of the two")
        seen[well] = path
        try:
            yield measure_well(stack, well, reference)
        except StackError as error:
            raise StackError(f"{path}: {error}") from error


def figures(wells: Sequence[WellDepth]) -> dict[str, Any]:
    """Return what a plate shows of its autofocus.

    Returns
    -------
    dict
        ``wells``; ``focused``, of which the autofocus said so; ``measured``, whose beads came to focus within
        the stack; over those the autofocus did not give up, ``std_um`` (n - 1), ``mean_um``, ``median_um``
        and ``worst_um`` of the wells' offsets; the same over all wells of a rig that knows the truth, under
        ``true``; medians of what focusing took, ``seconds_median`` and ``frames_median``. None where there is
        too little.
    """
    good = [w for w in wells if w.focused is not False]
    measured = [w.offset_um for w in good if w.offset_um is not None]
    truth = [w.true_offset_um for w in wells if w.true_offset_um is not None]
    seconds = [w.seconds for w in wells if w.seconds is not None]
    frames = [w.frames for w in wells if w.frames is not None]
    return {
        "wells": len(wells),
        "focused": sum(w.focused is True for w in wells),
        "measured": len(measured),
        "beads": sum(w.beads for w in good),
        **_spread(measured),
        "true": _spread(truth),
        "seconds_median": _rounded(float(np.median(seconds))) if seconds else None,
        "frames_median": float(np.median(frames)) if frames else None,
    }


def draw_plate(wells: Sequence[WellDepth], path: Path, title: str) -> None:
    """Draw map and histogram of the wells' offsets.

    Raises
    ------
    ConfigError
        The picture cannot be written.
    """
    from matplotlib.figure import Figure

    rows, columns = (max(getattr(w.well, side) for w in wells) + 1 for side in ("row", "column"))
    depths = np.full((rows, columns), np.nan)
    for w in wells:
        if w.offset_um is not None:
            depths[w.well.row, w.well.column] = w.offset_um
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    offsets = depths[np.isfinite(depths)]
    reach = max(float(np.abs(offsets).max()), 1e-3) if offsets.size else 1.0
    shown = left.imshow(depths, cmap="RdBu_r", vmin=-reach, vmax=reach)
    for w in wells:
        if w.offset_um is None or w.focused is False:
            left.plot(w.well.column, w.well.row, "x", color="black" if w.focused is False else "dimgrey")
    left.set_xticks(range(columns), [str(c + 1) for c in range(columns)])
    left.set_yticks(range(rows), [chr(ord("A") + r) for r in range(rows)])
    left.set_title("focus minus where the autofocus stood; x: gave up, or no bead in focus", fontsize=9)
    figure.colorbar(shown, ax=left, label="µm", shrink=0.8)
    found = figures(wells)
    if offsets.size:
        right.hist(offsets, bins=np.linspace(-reach, reach, 31).tolist(), color="tab:blue")
    std = found["std_um"]
    right.set_title(
        f"{found['measured']} of {found['wells']} wells measured"
        + ("" if std is None else f"\nstandard deviation {std:.2f} µm"),
        fontsize=9,
    )
    right.set_xlabel("µm")
    right.set_ylabel("wells")
    figure.suptitle(title)
    save_picture(figure, path, 110)


def _noted(stack: ZStack, name: str) -> float | None:
    """Return a number from a stack's notes, which any program may have written; None where there is none."""
    said = stack.notes.get(name)
    if said is None:
        return None
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise StackError(f"its note {name} is '{said}', no number; mend the note or leave it out")
    return value


def _without_strays(offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    if offsets.size < 3:
        return offsets
    away = offsets - np.median(offsets)
    near = np.abs(away) <= max(STRAY_UM, STRAY_SIGMAS * robust_sigma(away))
    return np.asarray(offsets[near], np.float64)


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return dict.fromkeys(("std_um", "mean_um", "median_um", "worst_um"))
    v = np.array(values)
    return {
        "std_um": _rounded(float(v.std(ddof=1))) if v.size > 1 else None,
        "mean_um": _rounded(float(v.mean())),
        "median_um": _rounded(float(np.median(v))),
        "worst_um": _rounded(float(np.abs(v).max())),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)

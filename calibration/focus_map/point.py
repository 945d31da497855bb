"""How one point of a focus map is measured: by one shot, by a scan, or not at all."""

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibration.focus_map.patches import Judge, Verdict, block_contrast, patch_boxes, weigh
from calibration.focus_map.path import GridPoint
from calibration.focus_map.station import Station
from calibration.measure import DEFAULT_MEASURE, MEASURES
from calibration.peak import find_peak
from hw.errors import StackError

__all__ = ["MapPoint", "PointPlan", "measure_point"]

State = Literal["shot", "scanned", "failed"]
"""How a point was measured, if it was."""

TRIM_LOOKS_DOF = (-1.5, 0.0, 1.5)
"""Where, about the first plane that is known, the network is asked for its constant error."""

EXTENSIONS = 2
FLANK = 2
"""A peak among so many planes from an end may be a flank's; the range goes on there."""


@dataclass(frozen=True)
class PointPlan:
    """How points are measured. Lengths in depths of field.

    Attributes
    ----------
    span_dof, step_dof : of a scan about the expected plane
    uneven_dof : patches whose offsets spread further than this are scanned instead of averaged
    most_sigma_dof : patches that are less certain are left out
    least_contrast : fields and patches with less `block_contrast` show nothing
    shots : at most so many at a point; more than one where focus is far
    search_dof : step of the search through the whole range while no plane is known
    """

    span_dof: float = 10.0
    step_dof: float = 1.0
    uneven_dof: float = 1.5
    most_sigma_dof: float = 1.0
    least_contrast: float = 0.02
    shots: int = 3
    search_dof: float = 2.5


@dataclass(frozen=True)
class MapPoint:
    """What became of a point.

    Attributes
    ----------
    column, row, x_um, y_um : which, and where
    state : measured by one 'shot', by a scan ('scanned'), or 'failed'
    focus_um, sigma_um : lens position in focus and its standard deviation; None when failed
    reason : why it failed or was scanned; empty for one shot
    shots, planes : single exposures, and planes of scans
    patches, spread_um : how many patches were trusted, and from the least to the largest of their offsets
    told_um : where the plane was searched for, what the network says of it on average: its own constant error
    seconds : by kind, on the rig's clock
    """

    column: int
    row: int
    x_um: float
    y_um: float
    state: State
    focus_um: float | None = None
    sigma_um: float | None = None
    reason: str = ""
    shots: int = 0
    planes: int = 0
    patches: int = 0
    spread_um: float | None = None
    told_um: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class _Counts:
    shots: int = 0
    planes: int = 0
    patches: int = 0
    spread_um: float | None = None
    told_um: float | None = None


class _Failed(StackError):
    """A point that cannot be measured; the message says why."""


def measure_point(
    station: Station,
    point: GridPoint,
    plan: PointPlan,
    expected_um: float | None,
    judge: Judge | None,
    *,
    trim_um: float = 0.0,
) -> MapPoint:
    """Measure one point of a map.

    Parameters
    ----------
    station : the rig
    point : where
    plan : how
    expected_um : plane of the last point that was measured; None: the whole search span is searched
    judge : the network, one shot a point; None: a scan at every point
    trim_um : the network's constant error on this slide, which is taken off what it says

    Returns
    -------
    MapPoint
        Failed with the reason where nothing can be measured; errors of the rig are raised.
    """
    station.start()
    counts = _Counts()
    where = (point.column, point.row, point.x_um, point.y_um)
    state: State
    focus: float | None
    sigma: float | None
    try:
        if expected_um is None:
            low, high = _search_range(station)
            station.go(point.x_um, point.y_um, (low + high) / 2)
            focus, sigma = _search(station, plan, low, high, counts)
            state, reason = "scanned", "no plane known yet"
            if judge is not None:
                counts.told_um = _told_in_focus(station, plan, judge, focus, counts)
        else:
            station.go(point.x_um, point.y_um, expected_um)
            if judge is None:
                _refuse_empty(station, plan, counts)
                focus, sigma = _scan(station, plan, expected_um, plan.span_dof, counts)
                state, reason = "scanned", ""
            else:
                state, focus, sigma, reason = _by_shot(station, plan, judge, trim_um, counts)
    except StackError as error:
        state, focus, sigma, reason = "failed", None, None, str(error)
    return MapPoint(
        *where,
        state,
        focus,
        sigma,
        reason,
        counts.shots,
        counts.planes,
        counts.patches,
        counts.spread_um,
        counts.told_um,
        {kind: round(seconds, 6) for kind, seconds in station.seconds.items()},
    )


def _by_shot(
    station: Station, plan: PointPlan, judge: Judge, trim_um: float, counts: _Counts
) -> tuple[State, float, float, str]:
    """Judge one shot, or a few where focus is far; scan where the patches disagree (paper 2, section 2.2)."""
    dof = station.rig.config.optics.dof_um
    low, high = station.limits_um
    reason = ""
    for _ in range(plan.shots):
        frame = station.look()
        counts.shots += 1
        lens_um = frame.lens_steps * station.rig.axis.um_per_step
        verdict = station.think(partial(_judge, frame.pixels, plan, judge, dof))
        if verdict is None:
            reason = "no patch that the network is sure of"
            break
        counts.patches, counts.spread_um = verdict.patches, verdict.spread_um
        focus = lens_um + verdict.offset_um - trim_um
        if verdict.spread_um > plan.uneven_dof * dof:
            below, above = (lens_um + each - trim_um for each in (verdict.low_um, verdict.high_um))
            middle, span_dof = (below + above) / 2, verdict.spread_um / dof + 4
            focus, sigma = _scan(station, plan, middle, span_dof, counts)
            return "scanned", focus, sigma, f"uneven: patches {verdict.spread_um:.2f} um apart"
        if verdict.in_range and low <= focus <= high:
            return "shot", focus, verdict.sigma_um, ""
        reason = f"focus is {verdict.offset_um:+.1f} um away, beyond the network's range"
        if not low <= focus <= high:
            break
        station.go(*station.place_um, focus)
    focus, sigma = _scan(station, plan, station.lens_um, plan.span_dof, counts)
    return "scanned", focus, sigma, reason


def _told_in_focus(
    station: Station, plan: PointPlan, judge: Judge, focus_um: float, counts: _Counts
) -> float | None:
    """Return what the network adds to offsets here, the plane being known; None where it cannot be told."""
    dof = station.rig.config.optics.dof_um
    told = []
    for off in TRIM_LOOKS_DOF:
        station.go(*station.place_um, focus_um + off * dof)
        frame = station.look()
        counts.shots += 1
        try:
            verdict = station.think(partial(_judge, frame.pixels, plan, judge, dof))
        except _Failed:
            return None
        # Patches that disagree have planes of their own: their mean need not be the field's.
        if verdict is None or verdict.spread_um > plan.uneven_dof * dof:
            return None
        told.append(verdict.offset_um - (focus_um - frame.lens_steps * station.rig.axis.um_per_step))
    return sum(told) / len(told)


def _judge(pixels: NDArray[np.uint8], plan: PointPlan, judge: Judge, dof_um: float) -> Verdict | None:
    boxes = patch_boxes((pixels.shape[1], pixels.shape[0]), judge.patch_px)
    patches = [pixels[y : y + height, x : x + width] for x, y, width, height in boxes]
    shown = [patch for patch in patches if block_contrast(patch) >= plan.least_contrast]
    if not shown:
        raise _Failed("the field shows nothing: a gap in the tissue")
    return weigh([judge.judge(patch) for patch in shown], most_sigma_um=plan.most_sigma_dof * dof_um)


def _refuse_empty(station: Station, plan: PointPlan, counts: _Counts) -> None:
    frame = station.look()
    counts.shots += 1
    if block_contrast(frame.pixels) < plan.least_contrast:
        raise _Failed("the field shows nothing: a gap in the tissue")


def _search_range(station: Station) -> tuple[float, float]:
    low, high = station.limits_um
    half = min(station.rig.config.control.search_span_um, high - low) / 2
    return (low + high) / 2 - half, (low + high) / 2 + half


def _search(
    station: Station, plan: PointPlan, low: float, high: float, counts: _Counts
) -> tuple[float, float]:
    """Find the plane anywhere in a range: coarse steps through it, then a scan about the sharpest."""
    _refuse_empty(station, plan, counts)
    dof = station.rig.config.optics.dof_um
    planes = math.ceil((high - low) / (plan.search_dof * dof)) + 1
    seen, sharpness = station.scan(np.linspace(low, high, planes), MEASURES[DEFAULT_MEASURE])
    counts.planes += len(seen)
    return _scan(station, plan, float(seen[sharpness.argmax()]), plan.span_dof, counts)


def _scan(
    station: Station, plan: PointPlan, middle_um: float, span_dof: float, counts: _Counts
) -> tuple[float, float]:
    """Find the peak of sharpness about a plane; a range that ends on a flank is made longer, for a while."""
    dof = station.rig.config.optics.dof_um
    low, high = station.limits_um
    half = min(span_dof * dof, high - low) / 2
    # Where the axis ends, the range does not shrink but gives way.
    middle_um = min(max(middle_um, low + half), high - half)
    intervals = max(4, math.ceil(2 * half / (plan.step_dof * dof) - 1e-9))
    wanted = np.linspace(middle_um - half, middle_um + half, intervals + 1)
    step, more = float(wanted[1] - wanted[0]), intervals // 2
    seen, sharpness = station.scan(wanted, MEASURES[DEFAULT_MEASURE])
    for _ in range(EXTENSIONS):
        top = int(sharpness.argmax())
        if top < FLANK:
            wanted = wanted[0] - step * np.arange(more, 0, -1)
        elif top >= len(seen) - FLANK:
            wanted = wanted[-1] + step * np.arange(1, more + 1)
        else:
            break
        wanted = wanted[(wanted >= low) & (wanted <= high)]
        if not len(wanted):
            break
        further = station.scan(wanted, MEASURES[DEFAULT_MEASURE])
        seen, sharpness = np.append(seen, further[0]), np.append(sharpness, further[1])
        order = np.argsort(seen)
        seen, sharpness, wanted = seen[order], sharpness[order], seen[order]
    counts.planes += len(seen)
    peak = find_peak(seen, sharpness)
    return peak.position, peak.sigma

"""Whether a stack has a focus to be trusted, and where: everything that a label rests on.

The peak of one measure in one region is not enough. Two more measures, with other weaknesses, have to peak
near it, the parts of the region must not lie at planes of their own, as those of a tilted field do, and the
peak must not hang on the camera's tone curve.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibration.measure import DEFAULT_MEASURE, focus_measure, luminance
from calibration.peak import Criterion, NoFocusPeak, Peak, find_peak
from calibration.stack import ZStack
from calibration.subject import find_subject
from calibration.tone import tone_shift
from hw.errors import StackError
from hw.frame import Box

__all__ = ["Examination", "Patch", "Plan", "examine", "measure_planes"]

WITNESSES: Mapping[Literal["maximum", "minimum"], tuple[str, ...]] = {
    "maximum": ("normalised_variance", "brenner"),
    "minimum": (),
}
"""Who is asked beside a measure, by what it is in focus. What is least for a spot of light has no second."""

FINE = ("brenner",)
"""Usual witnesses that say nothing of a minimum: fine detail has none where a phase object is in focus."""

AGREEMENT = 0.1
"""Measures agree whose peaks are nearer than this share of their width, the geometric mean of the two.

Fine detail has the narrower peak and, where a lens has spherical aberration, another place for it: by the
narrower width alone a third of good slides at 20x would be refused (benchmarks/README.md, Labels)."""

MAX_TONE_SHIFT = 0.012
"""A peak that another tone curve moves by more than this share of its width is too flat for a label. Chosen
on simulated worms; how well it does is in benchmarks/README.md, Labels."""

MAX_SIGMA = 0.1
"""A peak of a larger standard deviation, as a share of its width, is no label."""

MAX_TILT = 0.25
"""Focus may differ by this share of the peak's width, or by the depth of field, from side to side."""

MIN_PATCHES = 4
"""Fewer patches with a focus of their own, or fewer than half of all, say nothing about tilt."""

MAX_ASTRAY = 0.2
"""Largest share of the patches with a focus of their own that may have it elsewhere; one may in any case."""


@dataclass(frozen=True)
class Plan:
    """How stacks are labelled.

    Attributes
    ----------
    criterion : what focus is on the measure's curve; None for what the measure says of itself
    region : `subject`, the one object that the stack is of, where there is one; `whole` planes; or a box
    patches : (rows, columns) of patches that the region is divided into, each with a focus of its own
    witnesses : measures that have to agree; None for the usual ones
    linear : the grey levels are in proportion to the light; None for what the stack says of its camera
    """

    criterion: Criterion | None = None
    region: Literal["subject", "whole"] | Box = "subject"
    patches: tuple[int, int] = (3, 3)
    witnesses: tuple[str, ...] | None = None
    linear: bool | None = None


@dataclass(frozen=True)
class Patch:
    """Focus of a part of a stack's planes; without a peak, and with the reason, where it has none."""

    box: Box
    peak: Peak | None = None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Examination:
    """What was found.

    Attributes
    ----------
    measure : name of the measure that labels
    positions_um : (Z,) of the planes
    region : what was measured, in pixels; the planes' full size where no subject stands out
    curves : (Z,) values by name of the measure, the labelling one first
    peaks : by name of the measure, where it has one
    patches : by rows
    peak : of the labelling measure; None where that has none
    tone_shift : how far another tone curve of the camera moves it, um, which is in its sigma; None where
        that was not asked
    reason : why there is no label; empty where the peak is to be trusted
    """

    measure: str
    positions_um: NDArray[np.float64]
    region: Box
    curves: dict[str, NDArray[np.float64]]
    peaks: dict[str, Peak] = field(default_factory=dict)
    patches: tuple[Patch, ...] = ()
    peak: Peak | None = None
    tone_shift: float | None = None
    reason: str = ""


def measure_planes(
    planes: Iterable[NDArray[Any]], name: str, region: Box | None = None
) -> NDArray[np.float64]:
    """Return a focus measure of every plane, (Z,) float64.

    Raises
    ------
    ConfigError
        There is no such measure.
    """
    function = focus_measure(name)
    return np.array([function(plane, region) for plane in planes])


def examine(stack: ZStack, measure: str = DEFAULT_MEASURE, plan: Plan | None = None) -> Examination:
    """Look for the focus of a stack, and for reasons not to believe it.

    Raises
    ------
    ConfigError
        There is no such measure.
    StackError
        The plan's region does not lie inside the planes.
    """
    plan = plan or Plan()
    kind = focus_measure(measure).focus_is
    criterion = plan.criterion or ("max" if kind == "maximum" else "min")
    names = [measure, *(WITNESSES[kind] if plan.witnesses is None else plan.witnesses)]
    names = list(dict.fromkeys(names))
    planes = [luminance(plane) for plane in stack.images]
    region = _region(stack, planes, kind, plan)
    z = stack.positions_um
    curves = {name: measure_planes(planes, name, region) for name in names}
    if region != _whole(planes) and plan.region == "subject":
        # The subject may be the wrong one: all that is there has a say too.
        curves[f"{measure}, whole planes"] = measure_planes(planes, measure)
    try:
        peak = find_peak(z, curves[measure], criterion)
    except NoFocusPeak as refusal:
        return Examination(measure, z, region, curves, reason=str(refusal))
    peaks, doubt = {measure: peak}, _doubt_about_sigma(peak)
    for witness in list(curves)[1:]:
        if plan.witnesses is None and peak.criterion == "min" and witness in FINE:
            continue
        # Where focus is the minimum of contrast, it is that of every measure of contrast.
        other_kind = focus_measure(witness.split(",")[0]).focus_is != kind
        own: Criterion = "min" if other_kind else peak.criterion
        try:
            peaks[witness] = find_peak(z, curves[witness], own)
        except NoFocusPeak as refusal:
            # Too rough a curve for a peak of its own still agrees where its best plane is next to the peak.
            best = z[int((curves[witness] if own == "max" else -curves[witness]).argmax())]
            if abs(best - peak.position) > max(AGREEMENT * peak.width, _widest_gap(z)):
                doubt = doubt or f"{measure} peaks at {peak.position:g} um, but {witness} does not: {refusal}"
            continue
        doubt = doubt or _doubt_about_agreement(measure, peak, witness, peaks[witness])
    # A part of a spot of light is none.
    grid = plan.patches if kind == "maximum" else (1, 1)
    patches = tuple(_patches(planes, z, measure, peak.criterion, region, grid))
    dof_um = _depth_of_field_um(stack)
    allowed = dof_um if dof_um > 0 else MAX_TILT * peak.width
    doubt = doubt or _doubt_about_tilt(patches, region, allowed) or _doubt_about_depth(patches, peak, allowed)
    shift: float | None = None
    linear = stack.notes.get("linear") == "yes" if plan.linear is None else plan.linear
    # What is least for a spot of light is for cameras that measure.
    if kind == "maximum" and not linear:
        x, y, w, h = region
        parts = [plane[y : y + h, x : x + w] for plane in planes]
        shift = tone_shift(z, parts, lambda toned: measure_planes(toned, measure), peak.criterion)
        doubt = doubt or _doubt_about_tone(peak, shift)
        peak = replace(peak, sigma=float(np.hypot(peak.sigma, shift or 0.0)))
    return Examination(measure, z, region, curves, peaks, patches, peak, shift, doubt)


def _region(
    stack: ZStack,
    planes: Sequence[NDArray[np.float64]],
    kind: Literal["maximum", "minimum"],
    plan: Plan,
) -> Box:
    height, width = planes[0].shape
    if isinstance(plan.region, Box):
        x, y, w, h = plan.region
        if not (0 <= x < x + w <= width and 0 <= y < y + h <= height):
            raise StackError(
                f"the region {x},{y},{w},{h} (x, y, width, height) is not inside planes of {width} x "
                f"{height} pixels; choose another"
            )
        return plan.region
    # A spot of light is measured with the dark around it.
    if plan.region == "whole" or kind == "minimum":
        return _whole(planes)
    return find_subject(stack, measure_planes(planes, DEFAULT_MEASURE)) or _whole(planes)


def _whole(planes: Sequence[NDArray[np.float64]]) -> Box:
    height, width = planes[0].shape
    return Box(0, 0, width, height)


def _widest_gap(z: NDArray[np.float64]) -> float:
    return float(np.diff(np.sort(z)).max())


def _doubt_about_sigma(peak: Peak) -> str:
    if peak.sigma > MAX_SIGMA * peak.width:
        return (
            f"the peak at {peak.position:g} um is uncertain by {peak.sigma:.3g} um, "
            f"its width is {peak.width:.3g} um; record more planes or more contrast"
        )
    return ""


def _doubt_about_agreement(measure: str, peak: Peak, witness: str, other: Peak) -> str:
    apart = abs(other.position - peak.position)
    width = float(np.sqrt(peak.width * other.width))
    within = max(AGREEMENT * width, 3 * float(np.hypot(peak.sigma, other.sigma)))
    if apart <= within:
        return ""
    return (
        f"measures disagree: {measure} peaks at {peak.position:g} um, {witness} at {other.position:g} um, "
        f"more than {within:.3g} um apart; look at it; give a --region, or correct it by hand"
    )


def _doubt_about_tone(peak: Peak, shift: float | None) -> str:
    if shift is not None and shift <= MAX_TONE_SHIFT * peak.width:
        return ""
    moves = "is gone" if shift is None else f"moves by {shift:.3g} um"
    return (
        f"flat: the peak at {peak.position:g} um, {peak.width:.3g} um wide, {moves} under another "
        "tone curve; record more contrast, or give --linear if grey levels are in proportion to the light"
    )


def _patches(
    planes: Sequence[NDArray[np.float64]],
    z: NDArray[np.float64],
    measure: str,
    criterion: Criterion,
    region: Box,
    grid: tuple[int, int],
) -> list[Patch]:
    rows, columns = grid
    if rows * columns < 2 or region.height < 2 * rows or region.width < 2 * columns:
        return []
    down = np.linspace(region.y, region.y + region.height, rows + 1).round().astype(int)
    across = np.linspace(region.x, region.x + region.width, columns + 1).round().astype(int)
    patches = []
    for top, bottom in pairwise(down):
        for left, right in pairwise(across):
            box = Box(int(left), int(top), int(right - left), int(bottom - top))
            try:
                patches.append(Patch(box, find_peak(z, measure_planes(planes, measure, box), criterion)))
            except NoFocusPeak as refusal:
                patches.append(Patch(box, None, str(refusal)))
    return patches


def _depth_of_field_um(stack: ZStack) -> float:
    """Return what the stack says about its optics; 0 where it says nothing."""
    try:
        return float(stack.notes.get("dof_um", "0"))
    except ValueError:
        return 0.0


def _doubt_about_tilt(patches: Sequence[Patch], region: Box, allowed_um: float) -> str:
    """Fit a plane to the patches' foci; doubt a label that is right for a part of the region only."""
    sharp = [(patch.box, patch.peak) for patch in patches if patch.peak is not None]
    if len(sharp) < max(MIN_PATCHES, len(patches) / 2):
        return ""
    # Counted in the region's own width and height: the slopes are what focus changes by from side to side.
    places = np.array([box.centre for box, _ in sharp])
    places = (places - np.array(region.centre)) / np.array([region.width, region.height])
    weights = np.array([1 / max(found.sigma, 1e-3 * found.width) for _, found in sharp])
    design = np.column_stack([np.ones(len(sharp)), places])
    if np.linalg.matrix_rank(design) < 3:
        return ""
    foci = np.array([found.position for _, found in sharp])
    plane, *_ = np.linalg.lstsq(design * weights[:, None], foci * weights, rcond=None)
    left_over = foci - design @ plane
    freedom = max(len(sharp) - 3, 1)
    spread = np.linalg.inv((design * weights[:, None] ** 2).T @ design)
    scale = max(1.0, float(np.sum(np.square(left_over * weights))) / freedom)
    tilt = float(np.hypot(plane[1], plane[2]))
    sigma = float(np.sqrt(scale * (spread[1, 1] + spread[2, 2])))
    if tilt <= allowed_um or tilt <= 3 * sigma:
        return ""
    return (
        f"tilted: focus changes by {tilt:.3g} um from side to side of the region, more than "
        f"{allowed_um:.3g} um; level the stage, or label a smaller --region"
    )


def _doubt_about_depth(patches: Sequence[Patch], peak: Peak, allowed_um: float) -> str:
    """Doubt a label of parts that lie at planes of their own, as those of a thick specimen do."""
    foci = [patch.peak for patch in patches if patch.peak is not None]
    astray = [p for p in foci if abs(p.position - peak.position) > allowed_um + 3 * p.sigma]
    if len(astray) < 2 or len(astray) <= MAX_ASTRAY * len(foci):
        return ""
    low, high = min(p.position for p in foci), max(p.position for p in foci)
    return (
        f"several depths: {len(astray)} of {len(foci)} patches focus more than {allowed_um:.3g} um from "
        f"{peak.position:g} um (all lie from {low:g} to {high:g} um); label a smaller --region"
    )

"""A feature of beads against lens position: the typical bead's, without outliers and clipped images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.bead_features import BeadFeatures
from calibration.robust import within_fences
from hw.errors import StackError

__all__ = ["FeatureCurve", "feature_curve", "typical"]

SATURATED_SHARE = 0.25
"""Planes where so many beads are clipped are left out: their median leans on clipped images."""

LOBE_SHARE = 0.15
"""The curve is used down to this share of its height above its foot, on either side of the peak."""

FLANK_SHARE = 0.7
"""It must fall below this share of that height on both sides, else the range ends too early."""

LEAST_PLANES = 4
"""Fewest planes that a shift and a scale are fitted to: two to spare."""


@dataclass(frozen=True, eq=False)
class FeatureCurve:
    """One feature through one stack.

    Attributes
    ----------
    positions_um : (Z,) ascending
    values : (Z,) of the typical bead
    used : (Z,) bool: in the main lobe and not clipped
    saturated : (Z,) bool: clipped
    peak_um : about where it is highest, clipped planes included
    half_width_um : half the width of the lobe
    """

    positions_um: NDArray[np.float64]
    values: NDArray[np.float64]
    used: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    peak_um: float
    half_width_um: float


def typical(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median over beads, without those outside Tukey's fences.

    Parameters
    ----------
    values : (..., N, Z) feature of N beads in Z planes

    Returns
    -------
    (..., Z) float64
    """
    kept = within_fences(values, -2)
    ordered = np.sort(np.where(kept, values, np.inf), axis=-2)
    count = kept.sum(axis=-2, keepdims=True)
    # The median lies within the fences, so that at least one bead is kept.
    lower = np.take_along_axis(ordered, (count - 1) // 2, axis=-2)
    upper = np.take_along_axis(ordered, count // 2, axis=-2)
    middle: NDArray[np.float64] = (0.5 * (lower + upper))[..., 0, :]
    return middle


def feature_curve(features: BeadFeatures, number: int) -> FeatureCurve:
    """Return the curve of a feature, and which of its planes say where it peaks.

    Parameters
    ----------
    features : of one stack
    number : of the feature in `calibration.bead_features.FEATURES`

    Raises
    ------
    StackError
        All or nearly all planes near the peak are clipped, there are too few of them, or the peak lies at the
        end of the range.
    """
    order = np.argsort(features.positions_um, kind="stable")
    z = features.positions_um[order]
    values = typical(features.values[number])[order]
    clipped = features.saturated[:, order].mean(axis=0) > SATURATED_SHARE
    if len(z) < LEAST_PLANES:
        raise StackError(
            f"{len(z)} planes are too few; record {LEAST_PLANES} or more about the reference plane"
        )
    padded = np.pad(values, 1, mode="edge")
    smooth = (padded[:-2] + 2 * values + padded[2:]) / 4
    top = int(smooth.argmax())
    height = (smooth - smooth.min()) / max(float(np.ptp(smooth)), 1e-12)
    for side, flank in (("first", height[: top + 1]), ("last", height[top:])):
        if flank.min() > FLANK_SHARE:
            raise StackError(
                f"the reference plane lies at or past the {side} plane's end of the range ({z[top]:g} um); "
                "record a range that reaches past it on both sides"
            )
    low = height > LOBE_SHARE
    first = top - int(np.argmin(low[: top + 1][::-1])) + 1 if not low[: top + 1].all() else 0
    last = top + int(np.argmin(low[top:])) - 1 if not low[top:].all() else len(z) - 1
    lobe = np.zeros(len(z), np.bool_)
    lobe[first : last + 1] = True
    used = lobe & ~clipped
    left, right = (used & (z < z[top])).sum(), (used & (z > z[top])).sum()
    if used.sum() < LEAST_PLANES or min(left, right) < 1:
        if clipped[lobe].any():
            raise StackError(
                f"{int(clipped[lobe].sum())} of {int(lobe.sum())} planes near the reference plane are "
                "saturated, too many to tell where it is; record with a shorter exposure"
            )
        raise StackError(
            f"only {int(used.sum())} planes lie near the reference plane; record them closer together, "
            f"{LEAST_PLANES} or more within {z[last] - z[first]:g} um"
        )
    return FeatureCurve(z, values, used, clipped, float(z[top]), float(z[last] - z[first]) / 2)

"""How far focus curves of one target are shifted against each other.

A peak is the flattest place of a focus curve: its flanks tell a shift much better. So all curves are laid on
top of each other: each is one common curve, shifted and scaled,

    v_i(z) = g_i P(z - s_i),

with P a polynomial, found together with the shifts s_i and gains g_i by Gauss and Newton's method.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.errors import StackError

__all__ = ["Shifts", "align"]

DEGREE = 8
ROUNDS = 30
# Points needed for each unknown, so that the residuals say what the noise is.
POINTS_PER_UNKNOWN = 1.3
# Curves that are one curve leave less than this share of their range.
LARGEST_MISFIT = 0.08


@dataclass(frozen=True)
class Shifts:
    """Shifts of curves against their mean, in the unit of the positions.

    Attributes
    ----------
    shift : (N,) of each curve
    sigma : standard deviation of each, from the misfit of the points
    misfit : RMS of the residuals, as a share of the common curve's range
    """

    shift: NDArray[np.float64]
    sigma: float
    misfit: float


def align(
    positions: Sequence[NDArray[np.float64]],
    values: Sequence[NDArray[np.float64]],
    start: Sequence[float] | None = None,
) -> Shifts:
    """Lay focus curves on top of each other.

    Parameters
    ----------
    positions, values : (N_i,) of each curve
    start : shifts to begin with; those of the highest points when absent

    Raises
    ------
    StackError
        They are not one and the same curve.
    """
    count = len(positions)
    tops = [float(z[v.argmax()]) for z, v in zip(positions, values, strict=True)]
    shift = np.array(tops if start is None else start, dtype=np.float64)
    shift -= shift.mean()
    gain = np.array([float(np.ptp(v)) for v in values])
    gain /= gain.mean()
    total = sum(len(v) for v in values)
    unknowns = DEGREE + 1 + 2 * (count - 1)
    if total < POINTS_PER_UNKNOWN * unknowns:
        raise StackError(f"{total} points are too few to align {count} focus curves; take more positions")
    which = np.concatenate([np.full(len(v), i) for i, v in enumerate(values)])
    z, v = np.concatenate(list(positions)), np.concatenate(list(values))
    middle, reach = float(np.median(z)), float(np.ptp(z)) / 2
    common = np.zeros(DEGREE + 1)
    for _ in range(ROUNDS):
        x = (z - shift[which] - middle) / reach
        powers = np.vander(x, DEGREE + 1, increasing=True)
        common, *_ = np.linalg.lstsq(powers * gain[which, None], v, rcond=None)
        curve = np.polynomial.Polynomial(common)
        value, slope = curve(x), curve.deriv()(x) / reach
        # The common curve moves along with the shifts, so that all three are solved for at once.
        design = np.zeros((len(v), DEGREE + 1 + 2 * count))
        design[:, : DEGREE + 1] = powers * gain[which, None]
        rows = np.arange(len(v))
        design[rows, DEGREE + 1 + which] = -gain[which] * slope
        design[rows, DEGREE + 1 + count + which] = value
        rest = v - gain[which] * value
        step, *_ = np.linalg.lstsq(design, rest, rcond=1e-10)
        moved = step[DEGREE + 1 : DEGREE + 1 + count]
        moved = moved - moved.mean()
        # A step beyond the curves' own width is a sign of a bad start.
        moved = np.clip(moved, -0.3 * reach, 0.3 * reach)
        shift += moved
        gain *= 1 + np.clip(step[-count:] / gain - (step[-count:] / gain).mean(), -0.3, 0.3)
        gain /= gain.mean()
        if np.abs(moved).max() < 1e-6 * reach:
            break
    x = (z - shift[which] - middle) / reach
    powers = np.vander(x, DEGREE + 1, increasing=True)
    common, *_ = np.linalg.lstsq(powers * gain[which, None], v, rcond=None)
    curve = np.polynomial.Polynomial(common)
    rest = v - gain[which] * curve(x)
    spread = float(np.ptp(curve(x)))
    noise = float(np.sqrt(np.square(rest).sum() / max(1, len(v) - unknowns)))
    misfit = noise / spread if spread > 0 else np.inf
    if not misfit < LARGEST_MISFIT:
        raise StackError(
            f"the focus curves differ by {misfit:.0%} of their range, so they are not one curve shifted; "
            "keep the target and the light still"
        )
    slopes = np.square(curve.deriv()(x) / reach * gain[which])
    per_curve = slopes.sum() / count
    return Shifts(shift, float(noise / np.sqrt(per_curve)), misfit)

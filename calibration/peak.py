"""The one extreme of a focus curve, found between its points, or a reasoned refusal.

A wrong label is worse than none, so a curve has a peak only when it has one clear maximum that falls off on
both sides within the range. Measures of contrast have a *minimum* at the focus of a pure phase object,
between two lobes: a curve with one is refused unless the caller knows that a minimum is to be found.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hw.errors import StackError

__all__ = ["SETTINGS", "Criterion", "NoFocusPeak", "Peak", "find_peak"]

Criterion = Literal["max", "min", "auto"]
"""Whether focus is a curve's maximum or its minimum; `auto` takes a minimum where there is no maximum."""

MIN_PLANES = 5
"""Fewest planes that can be labelled: a parabola and something to judge it by."""

FIT_DEPTH = 0.4
"""Fits take points down to this share of the curve's range below its highest, and no lower."""

MAX_DEGREE = 4
"""Highest degree of the polynomials: a skewed, flat top needs this, and noise makes more of any more."""

GAUSSIAN_FWHM = 2 * (2 * np.log(2)) ** 0.5
"""Full width at half maximum of a Gaussian of standard deviation 1."""

MIN_FALL_NOISE = 6.0
"""The narrowest fit reaches as far as the curve falls by this many deviations of its noise."""

AGREEMENT = 1.5
"""A wider fit replaces a narrower one when they differ by less than this many of the latter's deviations."""

MIN_FALL = 0.1
"""Least share of the range by which the curve must fall on either side of the peak."""

DIP_DEPTH = 0.4
"""A minimum inside the range with rises of this share of the range on both sides is no flank of a peak."""

RIVAL_PROMINENCE = 0.3
"""A second maximum that stands out by this share of the range rivals the first."""

MODEL_SHARE = 0.01
"""What no fit knows, as a share of the peak's width: how far curves of recorded pixels peak from where the
curve of a perfect camera does (benchmarks/results/labels.json, the share of errors within one sigma)."""

MAX_ROUGHNESS = 1.0
"""Von Neumann's ratio above which a curve is noise: 2 for white noise, towards 0 for a smooth curve."""

SETTINGS = {
    "fit_depth": FIT_DEPTH,
    "min_fall_noise": MIN_FALL_NOISE,
    "agreement": AGREEMENT,
    "min_fall": MIN_FALL,
    "dip_depth": DIP_DEPTH,
    "rival_prominence": RIVAL_PROMINENCE,
    "model_share": MODEL_SHARE,
    "max_roughness": MAX_ROUGHNESS,
}
"""What `find_peak` works with, for the provenance of labels."""


class NoFocusPeak(StackError):
    """The focus curve has no maximum to be trusted; the message says why."""


@dataclass(frozen=True)
class Peak:
    """The extreme of a curve, in the unit of its positions.

    Attributes
    ----------
    position, sigma : where it is, and the standard deviation of that
    width : full width at half maximum of the Gaussian with the curve's range for its height and the curvature
        of the peak
    criterion : `max` or `min`, what it is
    """

    position: float
    sigma: float
    width: float
    criterion: Literal["max", "min"] = "max"


def find_peak(
    positions: NDArray[np.float64], values: NDArray[np.float64], criterion: Criterion = "max"
) -> Peak:
    """Find the one maximum or minimum of a focus curve, between its points.

    Polynomials are fitted by least squares to ever more points around the highest: a parabola to three, a
    cubic to five, quartics to more, since focus curves are skewed and flat-topped. The widest fit that agrees
    with all narrower ones is taken (Lepski's rule), so that a clean curve is followed closely and a noisy one
    averaged over. The standard deviation holds the noise, half the distance to the next narrower fit for what
    the polynomial gets wrong, and a share of the width for what no fit knows.

    A minimum is looked for between the two lobes on either side of it, as a maximum of the negative curve.
    With `auto` it is looked for where there is no maximum to be trusted. Two layers, each with a maximum of
    its own, have such a minimum between them too: `auto` is for specimens that are known to be thin.

    Parameters
    ----------
    positions : (Z,) in any order and unit
    values : (Z,) focus measures
    criterion : what focus is on this curve

    Returns
    -------
    Peak
        In the unit of `positions`.

    Raises
    ------
    NoFocusPeak
        Too few planes, a flat or noisy curve, a minimum instead of a maximum, several comparable peaks, or
        a peak at the end of the range.
    """
    if criterion == "max":
        return _find_maximum(positions, values)
    if criterion == "min":
        return _find_minimum(positions, values)
    try:
        return _find_maximum(positions, values)
    except NoFocusPeak as refusal:
        try:
            return _find_minimum(positions, values)
        except NoFocusPeak:
            raise refusal from None


def _find_minimum(positions: NDArray[np.float64], values: NDArray[np.float64]) -> Peak:
    order = np.argsort(positions, kind="stable")
    z, v = positions[order], values[order]
    if len(z) >= MIN_PLANES and np.isfinite(v).all():
        # The deepest valley is the plane with the most to climb on its lower side.
        left, right = np.maximum.accumulate(v), np.maximum.accumulate(v[::-1])[::-1]
        valley = int((np.minimum(left, right) - v).argmax())
        between = slice(int(v[: valley + 1].argmax()), valley + int(v[valley:].argmax()) + 1)
        z, v = z[between], v[between]
    try:
        peak = _find_maximum(z, -v)
    except NoFocusPeak as error:
        raise NoFocusPeak(f"no minimum between two lobes: {error}") from None
    return Peak(peak.position, peak.sigma, peak.width, "min")


def _find_maximum(positions: NDArray[np.float64], values: NDArray[np.float64]) -> Peak:
    order = np.argsort(positions, kind="stable")
    z, v = positions[order], values[order]
    if len(z) < MIN_PLANES:
        raise NoFocusPeak(f"{len(z)} planes are too few for a label; record at least {MIN_PLANES}")
    if not np.isfinite(v).all() or (np.diff(z) <= 0).any():
        raise NoFocusPeak("planes at one position or measures that are not finite; record the stack again")
    if np.ptp(v) <= 1e-9 * np.abs(v).max():
        raise NoFocusPeak("flat focus curve; record something with contrast")
    roughness = float(np.square(np.diff(v)).sum() / np.square(v - v.mean()).sum())
    if roughness > MAX_ROUGHNESS:
        raise NoFocusPeak(
            f"the focus curve is mostly noise (roughness {roughness:.2f}, at most {MAX_ROUGHNESS:g}); "
            "record more contrast, or a range and step that fit the depth of field"
        )
    noise = _noise(z, v)
    smooth = _smooth(v)
    _refuse_dip(z, smooth)
    _refuse_rivals(z, smooth, noise)
    top = int(smooth.argmax())
    for side, flank in (("first", smooth[: top + 1]), ("last", smooth[top:])):
        if smooth[top] - flank.min() < max(MIN_FALL * float(np.ptp(smooth)), 2 * noise):
            raise NoFocusPeak(
                f"the focus measure peaks at the end of the range ({z[top]:g} um, {side} plane's side); "
                "record a range that reaches past focus"
            )
    near = slice(max(top - 1, 0), top + 2)
    return _refine(z, v, near.start + int(v[near].argmax()), noise)


def _noise(z: NDArray[np.float64], v: NDArray[np.float64]) -> float:
    """Estimate the standard deviation of the noise from third differences.

    A smooth curve leaves little in them, and the median keeps out the few points where it does. For noise of
    variance 1, a point's distance to the line between its neighbours has variance 1 + w^2 + (1 - w)^2, and
    the difference of two such distances, each scaled to variance 1, has 10/3 where planes are evenly spaced.
    """
    w = (z[1:-1] - z[:-2]) / (z[2:] - z[:-2])
    bend = (v[1:-1] - (1 - w) * v[:-2] - w * v[2:]) / np.sqrt(1 + w**2 + (1 - w) ** 2)
    return float(np.median(np.abs(np.diff(bend))) / 0.6745 / np.sqrt(10 / 3))


def _smooth(v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth with (1, 2, 1) / 4, the ends repeated: enough to keep noise from making peaks of its own."""
    padded = np.pad(v, 1, mode="edge")
    return (padded[:-2] + 2 * v + padded[2:]) / 4


def _refuse_dip(z: NDArray[np.float64], v: NDArray[np.float64]) -> None:
    low = int(v.argmin())
    least = DIP_DEPTH * float(np.ptp(v))
    if v[: low + 1].max() - v[low] >= least and v[low:].max() - v[low] >= least:
        raise NoFocusPeak(
            f"the focus measure has a minimum at {z[low]:g} um and rises on both sides, as for a phase "
            "object or two layers; leave it out, or give --criterion min if it is one thin phase object"
        )


def _refuse_rivals(z: NDArray[np.float64], v: NDArray[np.float64], noise: float) -> None:
    top = int(v.argmax())
    least = max(RIVAL_PROMINENCE * float(np.ptp(v)), 3 * noise)
    for rival in range(len(v)):
        if abs(rival - top) < 2:
            continue
        between = v[min(rival, top) : max(rival, top) + 1].min()
        if v[rival] - between >= least:
            raise NoFocusPeak(
                f"several comparable peaks, at {z[top]:g} um and about {z[rival]:g} um; "
                "record one specimen at one depth"
            )


def _refine(z: NDArray[np.float64], v: NDArray[np.float64], top: int, noise: float) -> Peak:
    """Return the maximum by the widest fit around `top` that agrees with all narrower ones."""
    fits: list[tuple[float, float, float]] = []
    smooth = _smooth(v)
    depth = FIT_DEPTH * float(np.ptp(smooth))
    for reach in range(1, len(z)):
        window = slice(max(top - reach, 0), top + reach + 1)
        fall = smooth[top] - float(smooth[window].min())
        deepest = fall >= depth
        # Points that fall by less than the noise say where the noise is highest, not where the curve is.
        if fall < MIN_FALL_NOISE * noise and not deepest:
            continue
        if deepest and fits:
            break
        fit = _maximum(z[window], v[window], min(reach + 1, MAX_DEGREE), noise)
        if fit is None:
            continue
        if any(abs(fit[0] - position) > AGREEMENT * sigma for position, sigma, _ in fits):
            break
        fits.append(fit)
    if not fits:
        raise NoFocusPeak(f"no maximum near {z[top]:g} um; the curve is too noisy, record it again")
    position, sigma, bend = fits[-1]
    width = float(GAUSSIAN_FWHM * np.sqrt(np.ptp(smooth) / bend))
    unknown = [MODEL_SHARE * width]
    if len(fits) > 1:
        unknown.append(0.5 * (position - fits[-2][0]))
    return Peak(position, float(np.sqrt(sigma**2 + np.square(unknown).sum())), width)


def _maximum(
    z: NDArray[np.float64], v: NDArray[np.float64], degree: int, noise: float
) -> tuple[float, float, float] | None:
    """Fit a polynomial; return its maximum within the points, its standard deviation and its curvature.

    The deviation is that of the root of the derivative p'(x) = 0, by first-order propagation of the
    coefficients' covariance: var(x0) = g C g^T / p''(x0)^2, with g = d p'(x0) / d coefficients.
    """
    if len(z) <= degree:
        return None
    centre, scale = float(z.mean()), float(np.ptp(z)) / 2
    x = (z - centre) / scale
    design = np.vander(x, degree + 1, increasing=True)
    coefficients, *_ = np.linalg.lstsq(design, v, rcond=None)
    slope = np.polynomial.Polynomial(coefficients).deriv()
    bend = slope.deriv()
    roots = [float(r.real) for r in np.atleast_1d(slope.roots()) if abs(r.imag) < 1e-9]
    inside = [r for r in roots if x[0] <= r <= x[-1] and bend(r) < 0]
    if not inside:
        return None
    position = max(inside, key=np.polynomial.Polynomial(coefficients))
    covariance = noise**2 * np.linalg.inv(design.T @ design)
    powers = np.arange(degree + 1)
    gradient = np.where(powers > 0, powers * position ** np.maximum(powers - 1, 0), 0.0)
    sigma = float(np.sqrt(gradient @ covariance @ gradient)) / abs(float(bend(position)))
    return centre + scale * position, scale * sigma, abs(float(bend(position))) / scale**2

"""Intensity against distance from a centre as a smoothing spline, and the centre that suits it (paper 5).

The spline is cubic on knots one pixel apart, with a penalty on the second differences of its coefficients
(Eilers & Marx 1996, Statistical Science 11, 89): a smoothing spline whose fit costs the same for any number
of pixels, and whose residual is a smooth function of the centre. It is even in the distance, as a smooth
image is about a centre: without that, the few pixels next to it leave its slope there free.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RadialProfile", "find_centre", "fit_profile"]

STIFFNESS = 0.002
"""Weight of the penalty, per pixel: it tames rings that hold few pixels and lets an edge of 2 px be steep."""


@dataclass(frozen=True, eq=False)
class RadialProfile:
    """A fitted profile.

    Attributes
    ----------
    knots, coefficients : of the cubic spline, from minus to plus the reach, distance in px
    reach_px : largest distance fitted
    residual : mean square difference between pixels and profile, grey levels squared
    """

    knots: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    reach_px: float
    residual: float

    def at(self, distance_px: NDArray[np.float64] | float, derivative: int = 0) -> NDArray[np.float64]:
        """Intensity, or its derivative with distance, at distances from the centre in px."""
        from scipy.interpolate import BSpline

        values = BSpline(self.knots, self.coefficients, 3)(distance_px, nu=derivative)
        return np.asarray(values, np.float64)


def fit_profile(image: NDArray[Any], centre_px: tuple[float, float], reach_px: float) -> RadialProfile:
    """Fit the profile about a centre.

    Parameters
    ----------
    image : (H, W) grey
    centre_px : (x, y); pixel middles are whole numbers
    reach_px : pixels farther away are left out
    """
    from scipy.interpolate import BSpline

    dx, dy, value = _pixels_about(image, centre_px, reach_px)
    distance = np.hypot(dx, dy)
    knots, even, penalty = _basis(reach_px)
    design = BSpline.design_matrix(distance, knots, 3).toarray() @ even
    half = np.linalg.solve(
        design.T @ design + STIFFNESS * len(distance) / reach_px * penalty, design.T @ value
    )
    residual = float(np.square(value - design @ half).mean())
    return RadialProfile(knots, even @ half, reach_px, residual)


def find_centre(
    image: NDArray[Any], start_px: tuple[float, float], reach_px: float, most_px: float
) -> tuple[float, float] | None:
    """Find the centre about which a profile leaves the smallest residual (paper 5, bead center optimization).

    The pixels are those about the start, so that the sum of squares goes smoothly with the centre, and the
    coefficients are solved for within (variable projection): Levenberg and Marquardt's method takes a few
    steps in two unknowns.

    Parameters
    ----------
    image : (H, W) grey
    start_px : (x, y) to start from
    reach_px : pixels farther from the start are left out
    most_px : how far from the start the centre may be

    Returns
    -------
    (x, y) in px, or None where the search left those bounds: what is there is not round
    """
    from scipy.interpolate import BSpline
    from scipy.optimize import least_squares

    dx, dy, value = _pixels_about(image, start_px, reach_px)
    reach = float(np.ceil(reach_px + most_px))
    knots, even, penalty = _basis(reach)
    stiffness = STIFFNESS * len(value) / reach * penalty
    contrast = max(float(value.std()), 1e-9)

    def misfit(away: NDArray[np.float64]) -> NDArray[np.float64]:
        distance = np.hypot(dx - away[0], dy - away[1])
        # A step may lead anywhere; the bounds are looked at in the end.
        design = BSpline.design_matrix(np.minimum(distance, reach), knots, 3).toarray() @ even
        half = np.linalg.solve(design.T @ design + stiffness, design.T @ value)
        return np.asarray((value - design @ half) / contrast, np.float64)

    found = least_squares(misfit, np.zeros(2), method="lm", xtol=1e-3, ftol=1e-5, max_nfev=60)
    away = float(found.x[0]), float(found.x[1])
    if not np.hypot(*away) <= most_px:
        return None
    return start_px[0] + away[0], start_px[1] + away[1]


def _pixels_about(
    image: NDArray[Any], centre_px: tuple[float, float], reach_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Places from a centre, across and down, and values of the pixels within reach of it."""
    height, width = image.shape
    x, y = centre_px
    left, right = max(0, int(x - reach_px)), min(width, int(x + reach_px) + 2)
    top, bottom = max(0, int(y - reach_px)), min(height, int(y + reach_px) + 2)
    dy, dx = np.mgrid[top:bottom, left:right].astype(np.float64)
    dx -= x
    dy -= y
    near = np.hypot(dx, dy) <= reach_px
    return dx[near], dy[near], image[top:bottom, left:right][near].astype(np.float64)


@lru_cache(32)
def _basis(reach_px: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Knots a pixel apart, what makes even coefficients of half of them, their penalty; not to be changed."""
    steps = max(2, round(reach_px))
    inner = np.linspace(-reach_px, reach_px, 2 * steps + 1)
    knots = np.concatenate([np.full(3, -reach_px), inner, np.full(3, reach_px)])
    count = len(knots) - 4
    half = np.eye(count)[:, count // 2 :]
    even = np.maximum(half, half[::-1])
    differences = np.diff(even, 2, axis=0)
    return knots, even, differences.T @ differences

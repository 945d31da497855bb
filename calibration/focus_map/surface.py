"""A smooth surface through measured planes of focus, with its uncertainty: universal kriging.

A tilted plane plus a Gaussian process with a squared-exponential covariance of length l and variance s^2, and
independent noise of variance r s^2 at each measured point (Cressie, Statistics for Spatial Data, 1993,
section 3.4). l and r are those of greatest restricted likelihood on a grid of both, s^2 follows in closed
form. With

    Q = A^-1 - A^-1 H (H' A^-1 H)^-1 H' A^-1 ,   A = R(l) + r I ,   H = (1, x, y) ,

what the other points say of point i differs from what was measured there by (Q z)_i / Q_ii (Dubrule, Math.
Geology 15 (1983) 687-699): the leave-one-out errors cost no second fit.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.errors import StackError

__all__ = ["LEAST_POINTS", "Surface", "fit_surface"]

LEAST_POINTS = 6
"""Three for the tilt, and as many again to tell how well it fits."""

LENGTHS = tuple(float(length) for length in np.geomspace(0.05, 1.0, 10))
"""Lengths tried, as shares of the diagonal of the points."""

NOISES = tuple(float(noise) for noise in np.geomspace(1e-3, 10.0, 13))
"""Ratios tried of the noise's variance to the process's."""

Places = NDArray[np.float64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Surface:
    """A fitted surface.

    Attributes
    ----------
    length_um : over which heights are alike
    signal_um, noise_um : standard deviations of what is smooth beyond the tilt, and of what is not
    tilt_rad : slopes along x and y
    loo_um : (N,) measured height less what all other points say of it, um
    """

    length_um: float
    signal_um: float
    noise_um: float
    tilt_rad: tuple[float, float]
    loo_um: Values
    _places: Places
    _origin: Values
    _trend: Values
    _weights: Values
    _inverse: Values
    _trend_inverse: Values
    _bridge: Values

    def at(self, places_um: Places) -> tuple[Values, Values]:
        """Return heights and their standard deviations at places.

        Parameters
        ----------
        places_um : (M, 2), x and y in um

        Returns
        -------
        height_um, sigma_um : (M,)
            The deviation is that of the smooth surface, without the noise of one more measurement.
        """
        near = _correlation(places_um, self._places, self.length_um)
        basis = _basis(places_um, self._origin)
        height = basis @ self._trend + near @ self._weights
        missing = basis - near @ self._bridge
        share = (
            1
            - np.einsum("mi,ij,mj->m", near, self._inverse, near)
            + np.einsum("mi,ij,mj->m", missing, self._trend_inverse, missing)
        )
        return height, self.signal_um * np.sqrt(np.maximum(share, 0))


def fit_surface(places_um: Places, heights_um: Values) -> Surface:
    """Fit a surface to measured heights.

    Parameters
    ----------
    places_um : (N, 2), x and y in um
    heights_um : (N,)

    Raises
    ------
    StackError
        Fewer than `LEAST_POINTS`, or all on one line.
    """
    if len(places_um) < LEAST_POINTS:
        raise StackError(
            f"{len(places_um)} measured points make no surface; at least {LEAST_POINTS} are needed: "
            "choose a finer grid, or a place with more tissue"
        )
    origin = places_um.mean(axis=0)
    basis = _basis(places_um, origin)
    if np.linalg.matrix_rank(basis) < basis.shape[1]:
        raise StackError("all measured points lie on one line; choose a grid with more rows and columns")
    diagonal = float(np.hypot(*np.ptp(places_um, axis=0)))
    best = max(
        (
            (_likelihood(places_um, basis, heights_um, share * diagonal, ratio), share * diagonal, ratio)
            for share in LENGTHS
            for ratio in NOISES
        ),
        key=lambda tried: tried[0],
    )
    _, length, ratio = best
    inverse, bridge, trend_inverse, q = _system(places_um, basis, length, ratio)
    trend = trend_inverse @ (basis.T @ (inverse @ heights_um))
    weights = inverse @ (heights_um - basis @ trend)
    variance = float(heights_um @ q @ heights_um) / (len(heights_um) - basis.shape[1])
    return Surface(
        length_um=length,
        signal_um=float(np.sqrt(max(variance, 0))),
        noise_um=float(np.sqrt(max(variance * ratio, 0))),
        tilt_rad=(float(trend[1]), float(trend[2])),
        loo_um=(q @ heights_um) / np.diag(q),
        _places=places_um,
        _origin=origin,
        _trend=trend,
        _weights=weights,
        _inverse=inverse,
        _trend_inverse=trend_inverse,
        _bridge=bridge,
    )


def _system(
    places: Places, basis: Values, length: float, ratio: float
) -> tuple[Values, Values, Values, Values]:
    """Return A^-1, A^-1 H, (H' A^-1 H)^-1 and Q."""
    covariance = _correlation(places, places, length) + ratio * np.eye(len(places))
    inverse = np.asarray(np.linalg.inv(covariance), np.float64)
    bridge = inverse @ basis
    trend_inverse = np.asarray(np.linalg.inv(basis.T @ bridge), np.float64)
    return inverse, bridge, trend_inverse, inverse - bridge @ trend_inverse @ bridge.T


def _likelihood(places: Places, basis: Values, heights: Values, length: float, ratio: float) -> float:
    """Restricted log likelihood, up to a constant."""
    _, _, trend_inverse, q = _system(places, basis, length, ratio)
    free = len(heights) - basis.shape[1]
    variance: float = max(float(heights @ q @ heights) / free, 1e-30)
    covariance = _correlation(places, places, length) + ratio * np.eye(len(places))
    spread = float(np.linalg.slogdet(covariance)[1])
    trend = -float(np.linalg.slogdet(trend_inverse)[1])
    likelihood: float = -0.5 * (free * math.log(variance) + spread + trend)
    return likelihood


def _correlation(a: Places, b: Places, length: float) -> Values:
    squared = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
    correlation: Values = np.exp(-squared / (2 * length**2))
    return correlation


def _basis(places: Places, origin: Values) -> Values:
    return np.column_stack([np.ones(len(places)), places - origin])

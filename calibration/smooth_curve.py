"""A smooth curve through scattered points: a smoothing spline, and how it answers to each point."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SmoothCurve", "smooth_curve"]

INTERVALS = 12
"""Pieces of the spline: a bell is followed well with fewer, and noise is not with so few."""

STIFFNESSES = np.logspace(-4, 3, 22)
"""Weights of the penalty that are tried, relative to that of the points."""


@dataclass(frozen=True, eq=False)
class SmoothCurve:
    """A cubic spline with a penalty on the third differences of its coefficients.

    Attributes
    ----------
    knots, coefficients : of the spline
    response : (K, N) what each coefficient changes by with each point's value
    """

    knots: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    response: NDArray[np.float64]

    def at(self, x: NDArray[np.float64], derivative: int = 0) -> NDArray[np.float64]:
        """Value, or a derivative, at places within the points' range."""
        from scipy.interpolate import BSpline

        return np.asarray(BSpline(self.knots, self.coefficients, 3)(x, nu=derivative), np.float64)

    def response_at(self, x: float, derivative: int) -> NDArray[np.float64]:
        """Change of a derivative at a place with each point's value, (N,)."""
        from scipy.interpolate import BSpline

        basis = BSpline(self.knots, np.eye(len(self.coefficients)), 3)(x, nu=derivative)
        return np.asarray(basis @ self.response, np.float64)


def smooth_curve(x: NDArray[np.float64], y: NDArray[np.float64]) -> SmoothCurve:
    """Fit a smooth curve, as stiff as generalized cross-validation says (Craven & Wahba 1979).

    The stiffest is a parabola, so that few points do.

    Parameters
    ----------
    x, y : (N,) in any order, three or more places
    """
    from scipy.interpolate import BSpline

    low, high = float(x.min()), float(x.max())
    inner = np.linspace(low, high, INTERVALS + 1)
    knots = np.concatenate([np.full(3, low), inner, np.full(3, high)])
    design = BSpline.design_matrix(x, knots, 3).toarray()
    normal = design.T @ design
    differences = np.diff(np.eye(normal.shape[0]), 3, axis=0)
    penalty = differences.T @ differences
    best, least = None, np.inf
    for stiffness in STIFFNESSES * len(x) / INTERVALS:
        response = np.linalg.solve(normal + stiffness * penalty, design.T)
        freedom = len(x) - float(np.einsum("nk,kn->", design, response))
        misfit = float(np.square(y - design @ (response @ y)).sum())
        # With as many freedoms as points nothing is left to judge by.
        score = misfit / freedom**2 if freedom > 0.5 else np.inf
        if score < least or best is None:
            best, least = response, score
    assert best is not None
    return SmoothCurve(knots, best @ y, best)

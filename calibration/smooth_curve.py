"""A smooth curve through scattered points: a smoothing spline, and how it answers to each point."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SmoothCurve", "smooth_curve"]

INTERVALS = 12
"""Pieces of the spline: a bell is followed well with fewer, and noise is not with so few."""

PLACES = 24
"""Points closer together than this part of their range count as one."""

LEAST_FREEDOM = 0.5
"""Places less freedoms of the curve that must be left to judge it by."""

STIFFNESSES = np.logspace(-4, 5, 28)
"""Weights of the penalty that are tried, relative to that of the points."""


@dataclass(frozen=True, eq=False)
class SmoothCurve:
    """A cubic spline with a penalty on the third differences of its coefficients.

    Attributes
    ----------
    knots, coefficients : of the spline; it holds between the fourth knot and the fourth but last
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

    The stiffest is a parabola, so that few points do. Points next to each other count as one: they tell what
    noise they have in common no better than one does, and cross-validation would take it for the curve.

    Parameters
    ----------
    x, y : (N,) in any order, at three or more places
    """
    from scipy.interpolate import BSpline

    low, high = float(x.min()), float(x.max())
    # Evenly spaced beyond the ends too: only then has a parabola no third differences.
    piece = (high - low) / INTERVALS
    knots = np.asarray(low + piece * np.arange(-3, INTERVALS + 4), np.float64)
    knots[3], knots[-4] = low, high
    average = _places(x, (high - low) / PLACES)
    weight = 1 / average.max(axis=1)
    means = average @ y
    design = BSpline.design_matrix(np.clip(average @ x, low, high), knots, 3).toarray()
    weighted = design.T * weight
    normal = weighted @ design
    differences = np.diff(np.eye(normal.shape[0]), 3, axis=0)
    penalty = differences.T @ differences
    best, least = None, np.inf
    for stiffness in STIFFNESSES * len(x) / INTERVALS:
        response = np.linalg.solve(normal + stiffness * penalty, weighted)
        freedom = len(means) - float(np.einsum("nk,kn->", design, response))
        misfit = float(weight @ np.square(means - design @ (response @ means)))
        # With as many freedoms as places nothing is left to judge by; the stiffest comes last.
        score = misfit / freedom**2 if freedom > LEAST_FREEDOM else np.inf
        if score < least or np.isinf(least):
            best, least = response, score
    assert best is not None
    response = best @ average
    return SmoothCurve(knots, response @ y, response)


def _places(x: NDArray[np.float64], within: float) -> NDArray[np.float64]:
    """Matrix (places, N) that averages the points of each place, no wider than `within`."""
    order = np.argsort(x, kind="stable")
    group, begin, groups = 0, x[order[0]], np.zeros(len(x), np.intp)
    for index in order:
        if x[index] - begin > within:
            group, begin = group + 1, x[index]
        groups[index] = group
    members = np.eye(group + 1)[:, groups]
    average: NDArray[np.float64] = members / members.sum(axis=1, keepdims=True)
    return average

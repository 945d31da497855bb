"""Spread that a few wild values do not move, and which values are wild."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["robust_sigma", "within_fences"]

MAD_TO_SIGMA = 1.4826
"""Standard deviation of normal values whose median absolute deviation is 1."""

FENCE = 1.5
"""Beyond the quartiles by so many times their distance, a value is an outlier (Tukey 1977)."""


def robust_sigma(deviations: NDArray[np.floating]) -> float:
    """Return the standard deviation of normal values whose absolute deviations have the same median.

    Parameters
    ----------
    deviations : of values, of any shape, from their median or from what was expected
    """
    return MAD_TO_SIGMA * float(np.median(np.abs(deviations)))


def within_fences(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which values are no outliers by their interquartile range, along the last axis.

    Parameters
    ----------
    values : (..., N)

    Returns
    -------
    (..., N) bool
        At least half of each N.
    """
    low, high = np.quantile(values, [0.25, 0.75], axis=-1, keepdims=True)
    reach = FENCE * (high - low)
    return np.asarray((values >= low - reach) & (values <= high + reach))

"""Spread that a few wild values do not move."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["robust_sigma"]

MAD_TO_SIGMA = 1.4826
"""Standard deviation of normal values whose median absolute deviation is 1."""


def robust_sigma(deviations: NDArray[np.floating]) -> float:
    """Return the standard deviation of normal values whose absolute deviations have the same median.

    Parameters
    ----------
    deviations : of values, of any shape, from their median or from what was expected
    """
    return MAD_TO_SIGMA * float(np.median(np.abs(deviations)))

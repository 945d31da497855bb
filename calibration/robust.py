"""What a few wild values do not move: a spread, and fences that leave them out."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["FENCE_IQR", "robust_sigma", "within_fences"]

MAD_TO_SIGMA = 1.4826
"""Standard deviation of normal values whose median absolute deviation is 1."""

FENCE_IQR = 1.5
"""Values farther than this many interquartile ranges from the quartiles are outliers (Tukey; paper 5)."""


def robust_sigma(deviations: NDArray[np.floating]) -> float:
    """Return the standard deviation of normal values whose absolute deviations have the same median.

    Parameters
    ----------
    deviations : of values, of any shape, from their median or from what was expected
    """
    return MAD_TO_SIGMA * float(np.median(np.abs(deviations)))


def within_fences(values: NDArray[np.floating], axis: int) -> NDArray[np.bool_]:
    """Return which values are no outliers among those along an axis.

    The median never is one, and with fewer than four values none is.

    Parameters
    ----------
    values : of any shape
    axis : along which they are to be like each other

    Returns
    -------
    of the same shape, bool
    """
    low, high = np.percentile(values, [25, 75], axis=axis, keepdims=True)
    fence = FENCE_IQR * (high - low)
    kept: NDArray[np.bool_] = (values >= low - fence) & (values <= high + fence)
    return kept

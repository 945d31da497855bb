"""Vollath's measures: detail that reaches over more than one pixel, which noise does not."""

import numpy as np
from numpy.typing import NDArray

from calibration.measure.registry import measure

__all__ = ["vollath_f4", "vollath_f5"]


@measure("D. Vollath, J. Microscopy 147 (1987) 279-288; labels the stacks of paper 1, section 2.1")
def vollath_f5(grey: NDArray[np.float64]) -> float:
    """Vollath's F5, the autocorrelation of neighbouring rows less the squared mean.

    With M rows and N columns, F5 = sum(i=1..M-1, j=1..N) g(i,j) g(i+1,j) - M N mean(g)^2, here divided by
    M N. The sum has N terms fewer than are subtracted, so a uniform image has -mean^2 / M.
    """
    mean = float(grey.mean())
    return _autocorrelation(grey - mean, mean, 1) / grey.size - mean * mean


@measure("D. Vollath, J. Microscopy 147 (1987) 279-288")
def vollath_f4(grey: NDArray[np.float64]) -> float:
    """Vollath's F4, the autocorrelation at a distance of one row less that at two.

    F4 = sum(i=1..M-1) g(i,j) g(i+1,j) - sum(i=1..M-2) g(i,j) g(i+2,j), divided by M N.
    """
    mean = float(grey.mean())
    centred = grey - mean
    return (_autocorrelation(centred, mean, 1) - _autocorrelation(centred, mean, 2)) / grey.size


def _autocorrelation(centred: NDArray[np.float64], mean: float, lag: int) -> float:
    """Sum over rows i < M - lag of g(i, j) g(i + lag, j), for g = centred + mean.

    The products of the deviations are summed apart from those of the mean: F4 and F5 are small differences
    of such sums, which lose their digits when the mean is large.
    """
    upper, lower = centred[: len(centred) - lag], centred[lag:]
    return float(
        np.einsum("ij,ij->", upper, lower) + mean * (upper.sum() + lower.sum()) + mean * mean * upper.size
    )

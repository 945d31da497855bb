"""Measures of differences between near pixels: first and second derivatives. Noise is in all of them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.measure.registry import measure

__all__ = ["brenner", "laplacian_energy", "laplacian_variance", "tenengrad"]

EIGHT_NEIGHBOURS = np.array([[-1, -4, -1], [-4, 20, -4], [-1, -4, -1]], np.float64) / 6
FOUR_NEIGHBOURS = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float64)


@measure("J. F. Brenner et al., J. Histochemistry and Cytochemistry 24 (1976) 100-111; paper 2, appendix C")
def brenner(grey: NDArray[np.float64]) -> float:
    """Brenner's gradient: the sum over rows of (g(i+2,j) - g(i,j))^2, divided by M N."""
    difference = grey[2:] - grey[:-2]
    return _energy(difference) / grey.size


@measure("J. M. Tenenbaum, thesis, Stanford 1970; E. Krotkov, Int. J. Computer Vision 1 (1987) 223-237")
def tenengrad(grey: NDArray[np.float64]) -> float:
    """Tenengrad: the mean of Gx^2 + Gy^2, Sobel's gradients, over all pixels with eight neighbours.

    Without the threshold of the original: below it noise would be left out, and faint specimens with it.
    """
    if min(grey.shape) < 3:
        return 0.0
    across = np.asarray(cv2.Sobel(grey, cv2.CV_64F, 1, 0), np.float64)[1:-1, 1:-1]
    down = np.asarray(cv2.Sobel(grey, cv2.CV_64F, 0, 1), np.float64)[1:-1, 1:-1]
    return (_energy(across) + _energy(down)) / across.size


@measure("M. Subbarao, T. Choi, A. Nikzad, Optical Engineering 32 (1993) 2824-2836")
def laplacian_energy(grey: NDArray[np.float64]) -> float:
    """Energy of the Laplacian: the mean of (L * g)^2, with L = (-1 -4 -1; -4 20 -4; -1 -4 -1) / 6."""
    filtered = _filtered(grey, EIGHT_NEIGHBOURS)
    return _energy(filtered) / filtered.size if filtered.size else 0.0


@measure("J. L. Pech-Pacheco et al., Proc. 15th Int. Conf. Pattern Recognition 3 (2000) 314-317")
def laplacian_variance(grey: NDArray[np.float64]) -> float:
    """Variance of the Laplacian of four neighbours, over all pixels that have them."""
    filtered = _filtered(grey, FOUR_NEIGHBOURS)
    return float(filtered.var()) if filtered.size else 0.0


def _filtered(grey: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    if min(grey.shape) < 3:
        return np.empty((0, 0))
    return np.asarray(cv2.filter2D(grey, cv2.CV_64F, kernel), np.float64)[1:-1, 1:-1]


def _energy(values: NDArray[np.float64]) -> float:
    return float(np.einsum("ij,ij->", values, values))

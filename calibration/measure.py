"""Focus measures: one number per image, larger where the image is sharper.

All take grey (H, W) or RGB (H, W, 3) images of any real type, compute in float64 and divide by the number of
pixels, so that images of different size compare; the unit is grey levels squared (grey levels for the
normalised variance), so those of 8 and 16 bit images do not compare. RGB images are reduced to their
luminance Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

For pure phase objects all of them have a minimum at focus; `calibration.label` refuses such stacks.
"""

import difflib
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.errors import ConfigError

__all__ = [
    "DEFAULT_MEASURE",
    "MEASURES",
    "FocusMeasure",
    "brenner",
    "focus_measure",
    "luminance",
    "normalised_variance",
    "vollath_f4",
    "vollath_f5",
]

FocusMeasure = Callable[[NDArray[Any]], float]

DEFAULT_MEASURE = "vollath_f5"
"""What labels and true focus are defined by, unless told otherwise."""

_OnGrey = Callable[[NDArray[np.float64]], float]

MEASURES: dict[str, FocusMeasure] = {}
"""All focus measures by name."""


def _measure(on_grey: _OnGrey) -> FocusMeasure:
    """Register a measure of a grey float64 image under its function's name, for images of any kind."""

    @wraps(on_grey)
    def on_any(image: NDArray[Any]) -> float:
        return on_grey(luminance(image))

    MEASURES[on_grey.__name__] = on_any
    return on_any


def focus_measure(name: str) -> FocusMeasure:
    """Return a measure by name.

    Raises
    ------
    ConfigError
        There is none of this name.
    """
    try:
        return MEASURES[name]
    except KeyError:
        near = difflib.get_close_matches(name, MEASURES, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(sorted(MEASURES))}"
        raise ConfigError(f"unknown focus measure '{name}'; {hint}") from None


def luminance(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the luminance of an image, not rounded.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) RGB, any real type

    Returns
    -------
    (H, W) float64

    Raises
    ------
    ValueError
        Any other shape, or no pixels.
    """
    if image.size == 0 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"an image is (H, W) or (H, W, 3), not {image.shape}")
    if image.ndim == 2:
        return image.astype(np.float64)
    grey: NDArray[np.float64] = np.multiply(image[..., 0], 0.299, dtype=np.float64)
    grey += np.multiply(image[..., 1], 0.587, dtype=np.float64)
    grey += np.multiply(image[..., 2], 0.114, dtype=np.float64)
    return grey


def _autocorrelation(centred: NDArray[np.float64], mean: float, lag: int) -> float:
    """Sum over rows i < M - lag of g(i, j) g(i + lag, j), for g = centred + mean.

    The products of the deviations are summed apart from those of the mean: F4 and F5 are small differences
    of such sums, which lose their digits when the mean is large.
    """
    upper, lower = centred[: len(centred) - lag], centred[lag:]
    return float(
        np.einsum("ij,ij->", upper, lower) + mean * (upper.sum() + lower.sum()) + mean * mean * upper.size
    )


@_measure
def vollath_f5(grey: NDArray[np.float64]) -> float:
    """Vollath's F5, the autocorrelation of neighbouring rows less the squared mean.

    With M rows and N columns, F5 = sum(i=1..M-1, j=1..N) g(i,j) g(i+1,j) - M N mean(g)^2, here divided by
    M N. The sum has N terms fewer than are subtracted, so a uniform image has -mean^2 / M.

    Source: D. Vollath, J. Microscopy 147 (1987) 279-288; the measure that labels the stacks of paper 1
    (Escobar-Benavides et al., section 2.1).
    """
    mean = float(grey.mean())
    return _autocorrelation(grey - mean, mean, 1) / grey.size - mean * mean


@_measure
def vollath_f4(grey: NDArray[np.float64]) -> float:
    """Vollath's F4, the autocorrelation at a distance of one row less that at two.

    F4 = sum(i=1..M-1) g(i,j) g(i+1,j) - sum(i=1..M-2) g(i,j) g(i+2,j), divided by M N.

    Source: D. Vollath, J. Microscopy 147 (1987) 279-288.
    """
    mean = float(grey.mean())
    centred = grey - mean
    return (_autocorrelation(centred, mean, 1) - _autocorrelation(centred, mean, 2)) / grey.size


@_measure
def brenner(grey: NDArray[np.float64]) -> float:
    """Brenner's gradient: the sum over rows of (g(i+2,j) - g(i,j))^2, divided by M N.

    Source: J. F. Brenner et al., J. Histochemistry and Cytochemistry 24 (1976) 100-111.
    """
    difference = grey[2:] - grey[:-2]
    return float(np.einsum("ij,ij->", difference, difference)) / grey.size


@_measure
def normalised_variance(grey: NDArray[np.float64]) -> float:
    """Variance divided by the mean, which compensates for changes of brightness; 0 for a black image.

    Source: F. C. A. Groen et al., Cytometry 6 (1985) 81-91.
    """
    mean = float(grey.mean())
    return float(grey.var()) / mean if mean > 0 else 0.0

"""Measures of an image's spatial frequencies."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from calibration.measure.registry import measure

__all__ = ["mid_band_power", "power_spectrum_std"]

SMOOTHED_ROWS = 11
SMOOTHING_DEGREE = 3
BAND = (1 / 16, 1 / 8)


@measure(
    "paper 4 (Lightley et al.), section 'CNN-based optical autofocus'; the smoothing is that of A. Savitzky "
    "and M. J. E. Golay, Analytical Chemistry 36 (1964) 1627-1639",
    focus_is="minimum",
)
def power_spectrum_std(grey: NDArray[np.float64]) -> float:
    """Spread of the power spectrum of the image's vertical profile.

    The image is averaged along its rows, the profile of M values is smoothed with a Savitzky-Golay filter and
    divided by its Euclidean norm, and the standard deviation is taken of |F(f)|^2 over all M frequencies: 0
    for a profile that is one sharp line, about M^0.5 for a uniform one. So a spot or line of light is in
    focus at its minimum. Where a bright field lies behind the specimen, next to nothing is left of the
    effect. A black image has 0.

    The paper normalises its images by the Euclidean norm before training; without that norm here, the measure
    of a spot wider than some pixels is largest in focus. It gives neither the filter's width nor its degree:
    11 rows and 3 here, fewer in a lower image.
    """
    profile = grey.mean(axis=1)
    window = min(SMOOTHED_ROWS, len(profile) - 1 + len(profile) % 2)
    if window > SMOOTHING_DEGREE:
        padded = np.pad(profile, window // 2, mode="edge")
        profile = np.convolve(padded, _smoothing(window), mode="valid")
    norm = float(np.linalg.norm(profile))
    if norm <= 0:
        return 0.0
    power = np.square(np.abs(np.fft.fft(profile / norm)))
    return float(power.std())


@measure("the band of waveorder (github.com/mehta-lab/waveorder), focus_from_transverse_band, in pixels")
def mid_band_power(grey: NDArray[np.float64]) -> float:
    """Power of the image in a band of middle transverse frequencies, per pixel.

    The sum of |F(fx, fy)|^2 over 1/16 <= |f| < 1/8 cycles per pixel, for the image less its mean under a Hann
    window, divided by the number of pixels and by the window's power (Parseval): the variance in the band.
    Lower frequencies are still there far from focus, higher ones drown in noise. The source takes an eighth
    to a quarter of the optics' cut-off 2 NA / wavelength; where pixels just sample that, it is this octave.
    """
    window = np.hanning(grey.shape[0] + 2)[1:-1, None] * np.hanning(grey.shape[1] + 2)[None, 1:-1]
    weighted = (grey - grey.mean()) * window
    power = np.square(np.abs(np.fft.rfft2(weighted)))
    in_band, twice = _band(grey.shape)
    energy = float((power * twice)[in_band].sum())
    return energy / grey.size / float(np.square(window).sum())


@lru_cache(8)
def _smoothing(window: int) -> NDArray[np.float64]:
    """Weights of the value at the middle of a least-squares polynomial through `window` points."""
    design = np.vander(np.arange(window) - window // 2, SMOOTHING_DEGREE + 1, increasing=True)
    weights: NDArray[np.float64] = np.linalg.pinv(design.astype(np.float64))[0]
    return weights


@lru_cache(8)
def _band(shape: tuple[int, int]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which of a real transform's frequencies are in the band, and how often each stands for itself."""
    down, across = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    radius = np.hypot(down, across)
    twice = np.full(across.shape, 2.0)
    twice[:, 0] = 1.0
    if shape[1] % 2 == 0:
        twice[:, -1] = 1.0
    return (radius >= BAND[0]) & (radius < BAND[1]), twice

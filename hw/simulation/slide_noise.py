"""Smooth random fields that repeat, and their values anywhere on the slide."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["RepeatingNoise"]

REACH = 0.6
"""Frequencies up to this over the grain's sigma are drawn: what is beyond has 1e-3 of the amplitude."""


class RepeatingNoise:
    """Gaussian noise of unit RMS with a grain, on a square that repeats in both directions.

    Parameters
    ----------
    rng : it is drawn from this
    points : side of the square in points
    spacing_um : between points, um
    grain_um : size of its grains, from dark to dark; at least two points
    """

    def __init__(self, rng: np.random.Generator, points: int, spacing_um: float, grain_um: float) -> None:
        down, across = np.fft.fftfreq(points), np.fft.rfftfreq(points)
        sigma = max(grain_um / spacing_um, 2.0) / 4
        # Only the frequencies that a grain leaves are drawn; the others stay 0.
        reach = min(math.ceil(REACH / sigma * points) + 1, points // 2)
        rows = np.concatenate([np.arange(reach), np.arange(points - reach, points)])
        drawn = rng.standard_normal((2 * reach, reach, 2), dtype=np.float32).view(np.complex64)[..., 0]
        squared = down[rows, None] ** 2 + across[:reach] ** 2
        drawn *= np.exp(-2 * (np.pi * sigma) ** 2 * squared).astype(np.float32)
        drawn[0, 0] = 0
        spectrum = np.zeros((points, points // 2 + 1), np.complex64)
        spectrum[rows, :reach] = drawn
        smooth = np.fft.irfft2(spectrum, (points, points))
        self._values = np.asarray(smooth / smooth.std(), np.float32)
        self._spacing_um = spacing_um

    @property
    def values(self) -> NDArray[np.float32]:
        """The square itself."""
        return self._values

    def on_grid(self, left: int, top: int, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Values on its own points: `shape` (H, W) of them from column `left` and row `top` on."""
        size = len(self._values)
        rows = np.arange(top, top + shape[0]) % size
        columns = np.arange(left, left + shape[1]) % size
        return self._values[rows[:, None], columns]

    def at(self, x_um: NDArray[np.float32], y_um: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values at places, both (H, W), in um; cubic between points."""
        return np.asarray(
            cv2.remap(
                self._values,
                np.asarray(x_um / self._spacing_um % len(self._values), np.float32),
                np.asarray(y_um / self._spacing_um % len(self._values), np.float32),
                cv2.INTER_CUBIC,
                borderMode=cv2.BORDER_WRAP,
            ),
            np.float32,
        )

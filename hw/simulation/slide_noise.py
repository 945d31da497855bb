"""Smooth random fields that repeat, and their values anywhere on the slide."""

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["RepeatingNoise"]


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
        white = rng.standard_normal((points, points), dtype=np.float32)
        frequency = np.hypot(np.fft.fftfreq(points)[:, None], np.fft.rfftfreq(points))
        sigma = max(grain_um / spacing_um, 2.0) / 4
        smooth = np.fft.irfft2(np.fft.rfft2(white) * np.exp(-2 * (np.pi * sigma * frequency) ** 2), white.shape)
        smooth -= smooth.mean()
        self._values = np.asarray(smooth / max(float(smooth.std()), 1e-9), np.float32)
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

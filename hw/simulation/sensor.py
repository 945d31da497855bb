"""The sensor and its image pipeline: photons in, 8-bit RGB out."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hw.simulation.config import SensorConfig, draw

__all__ = ["Sensor"]

TONE_LEVELS = 4096
NOISE_POOL = 1 << 20


class Sensor:
    """Photon and read noise, tone curve, quantization; drawn from the ranges of a rig file.

    Noise is cut from a pool of normal deviates at a random place for every image: drawing fresh ones would
    cost more than all the optics.

    Parameters
    ----------
    config : the rig file's `simulation.sensor`
    rng : what is random is drawn from it, now and for every image
    """

    def __init__(self, config: SensorConfig, rng: np.random.Generator) -> None:
        self._white_e = draw(rng, config.electrons_at_white)
        self._read_e = draw(rng, config.read_noise_e)
        self._background = draw(rng, config.background_level)
        self._drop = draw(rng, config.drop_probability)
        gamma = draw(rng, config.gamma)
        tone = np.linspace(0, 1, TONE_LEVELS, dtype=np.float64) ** gamma
        self._tone = np.round(tone * 255).astype(np.uint8)
        self._rng = rng
        self._pool = rng.standard_normal(NOISE_POOL, dtype=np.float32)

    def drops_frame(self) -> bool:
        """Whether the next frame gets lost."""
        return bool(self._rng.random() < self._drop)

    def develop(
        self, intensity: NDArray[np.float32], grid_px: int, *, binned: bool, noise: bool = True
    ) -> NDArray[np.uint8]:
        """Turn intensity into an image.

        Parameters
        ----------
        intensity : (H, W, 3), 1 is the empty field
        grid_px : camera pixels per point of the grid
        binned : average `grid_px` x `grid_px` camera pixels into one
        noise : of photons and of reading out

        Returns
        -------
        uint8 RGB, (H, W, 3) when binned, else (H * grid_px, W * grid_px, 3)
        """
        signal = intensity * np.float32(self._background)
        if grid_px > 1:
            signal = self._resample(signal, grid_px, binned)
        electrons = self._white_e * (grid_px**2 if binned else 1)
        read = self._read_e * (grid_px if binned else 1)
        if noise:
            deviation = np.sqrt(
                np.maximum(signal, 0) / np.float32(electrons) + np.float32((read / electrons) ** 2)
            )
            deviation *= self._noise(signal.shape)
            signal += deviation
        np.clip(signal, 0, 1, out=signal)
        signal *= TONE_LEVELS - 1
        return self._tone[signal.astype(np.uint16)]

    def _resample(self, signal: NDArray[np.float32], grid_px: int, binned: bool) -> NDArray[np.float32]:
        if not binned:
            fine = cv2.resize(signal, None, fx=grid_px, fy=grid_px, interpolation=cv2.INTER_LINEAR)
            return np.asarray(fine, np.float32)
        # Linear interpolation to camera pixels followed by their average is this short filter.
        side = (grid_px - grid_px % 2 / grid_px) / (8 * grid_px)
        kernel = np.array([side, 1 - 2 * side, side], np.float32)
        coarse = cv2.sepFilter2D(signal, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(coarse, np.float32)

    def _noise(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        count = int(np.prod(shape))
        if count > NOISE_POOL:
            repeats = -(-count // NOISE_POOL)
            return np.tile(np.roll(self._pool, int(self._rng.integers(NOISE_POOL))), repeats)[:count].reshape(
                shape
            )
        start = int(self._rng.integers(NOISE_POOL - count + 1))
        return self._pool[start : start + count].reshape(shape)

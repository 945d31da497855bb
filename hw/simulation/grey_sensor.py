"""A monochrome sensor behind the seam of RGB frames: three equal channels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hw.simulation.config import SensorConfig
from hw.simulation.sensor import Sensor

__all__ = ["GreySensor"]


class GreySensor(Sensor):
    """Develops one channel and gives it three times.

    Parameters
    ----------
    config, rng : as for `Sensor`
    follows_peak : the exposure brings the brightest pixel of every image to `background_level`, so that
        images of a beam that spreads over ten thousand times its area fit into 8 bits; otherwise 1 is white
        times `background_level`
    """

    def __init__(self, config: SensorConfig, rng: np.random.Generator, *, follows_peak: bool) -> None:
        super().__init__(config, rng)
        self._follows_peak = follows_peak

    def develop(
        self, intensity: NDArray[np.float32], grid_px: int, *, binned: bool, noise: bool = True
    ) -> NDArray[np.uint8]:
        """Turn intensity into an image; see `Sensor.develop`. Only the first channel counts."""
        grey = intensity[..., :1]
        if self._follows_peak:
            grey = grey / np.float32(max(float(grey.max()), 1e-30))
        one = super().develop(grey, grid_px, binned=binned, noise=noise)
        return np.asarray(cv2.merge((one, one, one)), np.uint8)

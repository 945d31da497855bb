"""What fields of several specimens have in common: a slope that is drawn, and light that falls off."""

import math

import numpy as np
from numpy.typing import NDArray

from hw.simulation.config import ValueOrRange, draw

__all__ = ["draw_slope", "uneven_light"]


def draw_slope(rng: np.random.Generator, tilt_rad: ValueOrRange) -> tuple[float, float]:
    """Draw the slope along x and along y of what is tilted by so much, in a random direction."""
    tilt, direction = draw(rng, tilt_rad), rng.uniform(0, 2 * math.pi)
    return tilt * math.cos(direction), tilt * math.sin(direction)


def uneven_light(size_px: tuple[int, int], fall: float) -> NDArray[np.float32]:
    """Brightness of a field's light, (height, width) float32, 1 in the middle.

    Parameters
    ----------
    size_px : width and height
    fall : of the brightness from the middle to the corners, as a share
    """
    x, y = (np.linspace(-1, 1, size, dtype=np.float32) for size in size_px)
    light: NDArray[np.float32] = 1 - np.float32(fall / 2) * (x[None, :] ** 2 + y[:, None] ** 2)
    return light

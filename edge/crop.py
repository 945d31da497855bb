"""Cutting the window that the network sees out of a full frame."""

import numpy as np
from numpy.typing import NDArray

from hw.frame import Box

__all__ = ["cut_window"]


def cut_window(
    pixels: NDArray[np.uint8], centre: tuple[float, float], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], Box]:
    """Cut a window of exactly `size` around a point, shifted where it would leave the frame.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C) uint8
    centre : (x, y) in pixels; it may lie outside the frame
    size : (width, height) of the window in pixels

    Returns
    -------
    window : (height, width) or (height, width, C) uint8, a view of `pixels`
    box : where it lies in the frame

    Raises
    ------
    ValueError
        The window is empty or larger than the frame: no view of that size exists.
    """
    frame_height, frame_width = pixels.shape[:2]
    width, height = size
    if not (0 < width <= frame_width and 0 < height <= frame_height):
        raise ValueError(
            f"a window of {width}x{height} px cannot be cut from a frame of {frame_width}x{frame_height} px; "
            "use a bundle whose field of view is smaller, or a larger sensor mode"
        )
    x = min(max(round(centre[0] - width / 2), 0), frame_width - width)
    y = min(max(round(centre[1] - height / 2), 0), frame_height - height)
    return pixels[y : y + height, x : x + width], Box(x, y, width, height)

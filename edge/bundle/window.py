"""From camera pixels to the network's input: how much to cut, and how to shrink it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.bundle.card import InputSpec

__all__ = ["resize_to_input", "window_px"]


def window_px(spec: InputSpec, um_per_px: float) -> tuple[int, int]:
    """Width and height in camera pixels of the window that shows the network's field.

    Parameters
    ----------
    spec : the network's input
    um_per_px : specimen distance per camera pixel, um
    """
    width_um, height_um = spec.field_um
    return max(1, round(width_um / um_per_px)), max(1, round(height_um / um_per_px))


def resize_to_input(window: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Bring a window to the network's size by averaging over areas, which does not alias when shrinking.

    Parameters
    ----------
    window : (H, W, 3) uint8, RGB, of any size; a view into a frame is fine
    spec : the network's input

    Returns
    -------
    (height_px, width_px, 3) uint8
        The window itself when it has that size already.
    """
    if window.shape[:2] == (spec.height_px, spec.width_px):
        return window
    resized = cv2.resize(window, (spec.width_px, spec.height_px), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, dtype=np.uint8)

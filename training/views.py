"""What a network is shown of a plane: a window of its field, or the whole frame (paper 1 trains on both)."""

import math

import numpy as np
from numpy.typing import NDArray

from calibration.stack import ZStack
from edge.bundle import InputSpec, resize_to_input, window_px
from hw.errors import StackError

__all__ = ["WHOLE_FRAME", "full_view", "native_window", "rgb_planes", "shows_more", "window_view"]

WHOLE_FRAME = 1.5
"""A stack that shows so many times a network's field, in both directions, shows whole frames."""


def rgb_planes(stack: ZStack) -> NDArray[np.uint8]:
    """Return the planes as (Z, H, W, 3) uint8: grey repeated, 16 bits scaled by the maximum."""
    if stack.images.dtype == np.uint8:
        images = np.asarray(stack.images, np.uint8)
    else:
        images = np.round(stack.images * (255.0 / max(1, int(stack.images.max())))).astype(np.uint8)
    return np.repeat(images[..., None], 3, axis=3) if images.ndim == 3 else images


def native_window(images: NDArray[np.uint8], um_per_px: float, spec: InputSpec) -> NDArray[np.uint8]:
    """Cut the network's field around the centre, in the stack's own pixels.

    Parameters
    ----------
    images : (Z, H, W, 3)
    um_per_px : specimen distance per pixel of the stack, um

    Returns
    -------
    (Z, height, width, 3)
        A view.

    Raises
    ------
    StackError
        The stack does not say its pixel size, or shows less than the network's field.
    """
    if not math.isfinite(um_per_px):
        raise StackError(
            "no pixel size (OME PhysicalSizeX), so the network's field is unknown; record it again"
        )
    width, height = window_px(spec, um_per_px)
    rows, columns = images.shape[1:3]
    if height > rows or width > columns:
        raise StackError(
            f"{columns}x{rows} pixels of {um_per_px:g} um show less than the network's field of "
            f"{width}x{height}; record larger windows or choose a smaller input"
        )
    top, left = (rows - height) // 2, (columns - width) // 2
    return images[:, top : top + height, left : left + width]


def window_view(
    images: NDArray[np.uint8], um_per_px: float, spec: InputSpec, margin_px: int = 0
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Return the central window at the input's resolution, with a margin for shifts where there is one.

    Parameters
    ----------
    images : (Z, H, W, 3)
    um_per_px : of the stack, um
    spec : the network's input
    margin_px : wanted on each side, pixels of the input

    Returns
    -------
    windows : (Z, height_px + 2 down, width_px + 2 right, 3)
    (down, right) : the margins that the stack has room for, at most `margin_px`

    Raises
    ------
    StackError
        As for `native_window`.
    """
    native_window(images, um_per_px, spec)
    rows, columns = images.shape[1:3]
    scale = spec.um_per_px / um_per_px
    down = min(margin_px, int((rows / scale - spec.height_px) / 2 + 1e-9))
    right = min(margin_px, int((columns / scale - spec.width_px) / 2 + 1e-9))
    wider = spec.model_copy(
        update={"width_px": spec.width_px + 2 * right, "height_px": spec.height_px + 2 * down}
    )
    windows = native_window(images, um_per_px, wider)
    return np.stack([resize_to_input(window, wider) for window in windows]), (down, right)


def shows_more(images: NDArray[np.uint8], um_per_px: float, spec: InputSpec) -> bool:
    """Return whether (Z, H, W, 3) images are whole frames, and not windows with a margin for shifts."""
    width, height = window_px(spec, um_per_px)
    return images.shape[1] >= WHOLE_FRAME * height and images.shape[2] >= WHOLE_FRAME * width


def full_view(images: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Return whole frames at the input's size: the largest centred part of its shape, shrunk.

    Parameters
    ----------
    images : (Z, H, W, 3)

    Returns
    -------
    (Z, height_px, width_px, 3)
    """
    rows, columns = images.shape[1:3]
    scale = min(rows / spec.height_px, columns / spec.width_px)
    height, width = round(spec.height_px * scale), round(spec.width_px * scale)
    top, left = (rows - height) // 2, (columns - width) // 2
    parts = images[:, top : top + height, left : left + width]
    return np.stack([resize_to_input(part, spec) for part in parts])

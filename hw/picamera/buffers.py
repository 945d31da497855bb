"""Pictures in the camera's own buffers, seen as arrays without copying them."""

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["BufferLoans", "luma_of", "rgb_of"]

Picture = NDArray[np.uint8]


class BufferLoans:
    """Lends a camera's buffers as arrays; a buffer goes back when nothing shows its pixels any more.

    A frame may be kept for as long as anybody likes. When so many are kept that the camera would run out of
    buffers, the next ones are copied.

    Parameters
    ----------
    mapped_array : picamera2's `MappedArray`
    limit : arrays on loan at a time
    """

    def __init__(self, mapped_array: Callable[..., Any], limit: int) -> None:
        self._mapped_array = mapped_array
        self._limit = limit
        self._lent = 0
        # An array may die in any thread, also in the middle of picamera2's own work: only note it there.
        self._returned: deque[tuple[Any, Any]] = deque()

    def borrow(self, request: Any, stream: str) -> Picture:
        """Return a stream's buffer of a request as (N,) uint8, read-only."""
        self.settle()
        if self._lent >= self._limit:
            with self._mapped_array(request, stream, reshape=False, write=False) as mapped:
                return np.array(mapped.array)
        request.acquire()
        mapped = self._mapped_array(request, stream, reshape=False, write=False).__enter__()
        # Of a memoryview: of an array, views would name that array as their base, and not this one.
        pixels: Picture = np.frombuffer(memoryview(mapped.array), np.uint8)
        pixels.flags.writeable = False
        self._lent += 1
        # Views of views keep this very array, which is the one that has the buffer as its memory.
        weakref.finalize(pixels, self._returned.append, (mapped, request)).atexit = False
        return pixels

    def settle(self) -> None:
        """Give back what nobody shows any more."""
        while self._returned:
            mapped, request = self._returned.popleft()
            self._lent -= 1
            mapped.__exit__(None, None, None)
            request.release()


def rgb_of(buffer: Picture, stream: dict[str, Any]) -> Picture:
    """Return a main stream's picture.

    Parameters
    ----------
    buffer : (N,) uint8
    stream : picamera2's configuration of the stream: `format`, `size` in pixels and `stride` in bytes

    Returns
    -------
    (H, W, 3) uint8, RGB
        A view of the buffer for BGR888, whose name counts from the highest byte of a little-endian word:
        in memory red comes first. A conversion of full-range BT.601, as in JPEG files, for NV12.
    """
    width, height = stream["size"]
    stride = stream["stride"]
    if stream["format"] == "BGR888":
        rows = buffer[: height * stride].reshape(height, stride)
        return rows[:, : width * 3].reshape(height, width, 3)
    rows = buffer[: height * stride * 3 // 2].reshape(height * 3 // 2, stride)[:, :width]
    blue_red = rows[height:].reshape(height // 2, width // 2, 2)
    rgb = np.empty((height, width, 3), np.uint8)
    # Samples of colour lie in the middle of four pixels.
    full = cv2.resize(np.ascontiguousarray(blue_red), (width, height), interpolation=cv2.INTER_LINEAR)
    cv2.mixChannels([rows[:height], full], [rgb], [0, 0, 2, 1, 1, 2])
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_YCrCb2RGB, dst=rgb), np.uint8)


def luma_of(buffer: Picture, stream: dict[str, Any]) -> Picture:
    """Return the brightness of a YUV420 or NV12 picture: (H, W) uint8, a view of the buffer."""
    width, height = stream["size"]
    stride = stream["stride"]
    return buffer[: height * stride].reshape(height, stride)[:, :width]

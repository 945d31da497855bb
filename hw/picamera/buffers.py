"""Pictures in the camera's own buffers, seen as arrays without copying them."""

import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hw.picamera.newest import give_back

__all__ = ["BufferLoans", "luma_of", "rgb_of"]

Picture = NDArray[np.uint8]


@dataclass(slots=True)
class _Loan:
    """A request whose buffers are shown by so many arrays."""

    request: Any
    mapped: list[Any]
    arrays: int


class BufferLoans:
    """Lends the buffers of requests as arrays; they go back when nothing shows their pixels any more.

    A frame may be kept for as long as anybody likes. When so many are kept that the camera would run out of
    buffers, the next ones are copied.

    Parameters
    ----------
    mapped_array : picamera2's `MappedArray`
    limit : requests on loan at a time
    """

    def __init__(self, mapped_array: Callable[..., Any], limit: int) -> None:
        self._mapped_array = mapped_array
        self._limit = limit
        self._lent = 0
        # An array may die in any thread, also in the middle of picamera2's own work: only note it there.
        self._returned: deque[_Loan] = deque()

    def borrow(self, request: Any, streams: Sequence[str]) -> list[Picture]:
        """Return the buffers of these streams of a request, each (N,) uint8 and read-only."""
        self.settle()
        if self._lent >= self._limit:
            return [self._copy(request, stream) for stream in streams]
        request.acquire()
        self._lent += 1
        loan = _Loan(request, [], len(streams))
        lent = []
        for stream in streams:
            mapped = self._mapped_array(request, stream, reshape=False, write=False).__enter__()
            loan.mapped.append(mapped)
            # Of a memoryview: of an array, views would name that array as their base, and not this one.
            pixels: Picture = np.frombuffer(memoryview(mapped.array), np.uint8)
            pixels.flags.writeable = False
            weakref.finalize(pixels, self._returned.append, loan).atexit = False
            lent.append(pixels)
        return lent

    def settle(self) -> None:
        """Give back what nobody shows any more."""
        while self._returned:
            loan = self._returned.popleft()
            loan.arrays -= 1
            if loan.arrays == 0:
                for mapped in loan.mapped:
                    mapped.__exit__(None, None, None)
                give_back(loan.request)
                self._lent -= 1

    def _copy(self, request: Any, stream: str) -> Picture:
        with self._mapped_array(request, stream, reshape=False, write=False) as mapped:
            copy: Picture = np.array(mapped.array)
        copy.flags.writeable = False
        return copy


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

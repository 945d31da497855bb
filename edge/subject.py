"""What is to be brought into focus: where it is in a frame, and the window that shows it."""

import numpy as np
from numpy.typing import NDArray

from edge.crop import cut_window
from edge.track import WormTracker
from hw.config import RigConfig
from hw.frame import Box, Frame

__all__ = ["Subject"]


class Subject:
    """The window to look at: around the worm where it was last seen, or in the middle of the frame.

    Parameters
    ----------
    config : the rig file; with `tracking.follow: false` nothing is tracked
    size_px : width and height of the window; None for the whole frame
    """

    def __init__(self, config: RigConfig, size_px: tuple[int, int] | None) -> None:
        optics, camera = config.optics, config.camera
        self._size = size_px
        self._tracker = None
        if config.tracking.follow:
            self._tracker = WormTracker(config.tracking, optics.um_per_px, 1 / camera.fps)
        self._centre: tuple[float, float] | None = None
        self._last_index: int | None = None
        self.seen = True
        self.note = ""

    @property
    def found(self) -> bool:
        """Whether it was ever seen."""
        return self._centre is not None

    def find(self, frame: Frame, *, closely: bool = False) -> None:
        """Update where the subject is; `closely` where windows of several frames are to be compared."""
        if self._tracker is None:
            return
        passed = 1 if self._last_index is None else max(1, frame.index - self._last_index)
        self._last_index = frame.index
        # Where the camera has made a smaller picture already, nobody need make one again.
        image = frame.pixels if frame.preview is None else frame.preview
        sighting = self._tracker.track(image, passed, frame.pixels.shape[1] / image.shape[1], closely=closely)
        self.seen = sighting.state == "tracked"
        self.note = "" if self.seen else f"worm {sighting.state}: {sighting.reason}"
        if sighting.centre_px is not None:
            self._centre = sighting.centre_px

    def cut(self, frame: Frame) -> tuple[NDArray[np.uint8], Box]:
        """Cut the window out of a frame, and say where it lies."""
        height, width = frame.pixels.shape[:2]
        wanted = self._size or (width, height)
        size = (min(wanted[0], width), min(wanted[1], height))
        return cut_window(frame.pixels, self._centre or (width / 2, height / 2), size)

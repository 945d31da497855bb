"""The camera's seam."""

from collections.abc import Iterator
from typing import Protocol

from hw.frame import Frame

__all__ = ["Camera"]


class Camera(Protocol):
    """A source of frames; exposure, gain and white balance stay locked while it runs."""

    def frames(self) -> Iterator[Frame]:
        """Yield frames as they arrive, the newest each time: stale ones are dropped.

        Raises
        ------
        CameraStalled
            When no frame arrives within the rig file's `camera.stall_timeout_s`.
        """

    def close(self) -> None:
        """Release the camera; closing twice is fine."""

"""The newest frame of a camera: one place, filled by picamera2's thread and emptied by ours."""

import logging
import threading
import time
from typing import Any

__all__ = ["NewestRequest", "give_back"]

_log = logging.getLogger(__name__)


def give_back(request: Any) -> None:
    """Release a request.

    A camera that has broken down does not take its buffers back. That is not the affair of whoever looked at
    a frame: it will send no more, and whoever waits for the next one will notice.
    """
    try:
        request.release()
    except RuntimeError as error:
        _log.info("camera: does not take a buffer back (%s)", error)


class NewestRequest:
    """Holds one completed request; a newer one takes its place and sends it back to the camera.

    Attributes
    ----------
    last_s : when the last request came, on the system's monotonic clock; at first, when this was made
    """

    def __init__(self) -> None:
        self.last_s = time.monotonic()
        self._changed = threading.Condition()
        self._request: Any = None
        self._open = True

    def put(self, request: Any) -> None:
        """Take a request over; called by picamera2 for every one that is complete."""
        with self._changed:
            if not self._open:
                return
            request.acquire()
            self.last_s = time.monotonic()
            stale, self._request = self._request, request
            self._changed.notify()
        if stale is not None:
            give_back(stale)

    def take(self, timeout_s: float) -> Any | None:
        """Wait for a request and return it; the caller releases it.

        None when none has come for `timeout_s`, which is counted from the last one: that one is stale by then
        and goes back to the camera, taken before or not.
        """
        with self._changed:
            while self._open and self._request is None:
                if not self._changed.wait(max(0.0, self.last_s + timeout_s - time.monotonic())):
                    break
            request, self._request = self._request, None
            stale = time.monotonic() - self.last_s > timeout_s
        if request is not None and stale:
            give_back(request)
            return None
        return request

    def close(self) -> None:
        """Refuse further requests, give the last one back, and wake who waits."""
        with self._changed:
            self._open = False
            request, self._request = self._request, None
            self._changed.notify()
        if request is not None:
            give_back(request)

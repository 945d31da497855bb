"""The newest frame of a camera: one place, filled by picamera2's thread and emptied by ours."""

import threading
from typing import Any

__all__ = ["NewestRequest"]


class NewestRequest:
    """Holds one completed request; a newer one takes its place and sends it back to the camera."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._request: Any = None
        self._open = True
        self.replaced = 0

    def put(self, request: Any) -> None:
        """Take a request over; called by picamera2 for every one that is complete."""
        with self._changed:
            if not self._open:
                return
            request.acquire()
            stale, self._request = self._request, request
            self._changed.notify()
        if stale is not None:
            self.replaced += 1
            stale.release()

    def take(self, timeout_s: float) -> Any | None:
        """Wait for a request and return it, or None after the timeout; the caller releases it."""
        with self._changed:
            self._changed.wait_for(lambda: self._request is not None or not self._open, max(0.0, timeout_s))
            request, self._request = self._request, None
        return request

    def close(self) -> None:
        """Refuse further requests, give the last one back, and wake who waits."""
        with self._changed:
            self._open = False
            request, self._request = self._request, None
            self._changed.notify()
        if request is not None:
            request.release()

"""The rig's clock: seconds, monotonic, from the system or virtual.

Nothing else in the project asks the operating system for the time of a frame or a move, so that an
experiment of a day runs in minutes and gives the same result for the same seed.
"""

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock", "VirtualClock"]


class Clock(Protocol):
    """Seconds since an arbitrary start, never going backwards."""

    def now(self) -> float:
        """Return the time in seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait; a negative duration is no wait."""


class SystemClock:
    """The system's monotonic clock, the one that the kernel stamps frames and GPIO edges with."""

    def now(self) -> float:
        """Return the time in seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; a negative duration is no wait."""
        if seconds > 0:
            time.sleep(seconds)


class VirtualClock:
    """A clock that moves only when told to, starting at 0 s."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def now(self) -> float:
        """Return the time in seconds."""
        return self._now_s

    def sleep(self, seconds: float) -> None:
        """Move on by `seconds`; a negative duration is no move."""
        self._now_s += max(0.0, seconds)

    def advance_to(self, t: float) -> None:
        """Move on to time `t` in seconds; a time in the past is no move."""
        self._now_s = max(self._now_s, t)

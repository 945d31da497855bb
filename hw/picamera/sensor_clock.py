"""From the kernel's time stamps of frames to the rig's clock.

libcamera says that `SensorTimestamp` is in nanoseconds of CLOCK_BOOTTIME; a Pi's receivers stamp with
CLOCK_MONOTONIC. The two differ by the time that the machine was suspended, so that on most machines either
would do. Which one it is, the age of the first frame tells: no frame comes from the future.
"""

import time
from collections.abc import Callable

from hw.clock import Clock
from hw.errors import CameraUnavailable

__all__ = ["SensorClock"]

# A frame that was just delivered is younger than this on its own clock.
_LONGEST_AGE_S = 10.0
_CLOCKS = {"CLOCK_MONOTONIC": time.CLOCK_MONOTONIC, "CLOCK_BOOTTIME": time.CLOCK_BOOTTIME}


class SensorClock:
    """Brings time stamps to the rig's clock.

    Parameters
    ----------
    clock : the rig's
    read_ns : reads one of the kernel's clocks
    """

    def __init__(self, clock: Clock, read_ns: Callable[[int], int] = time.clock_gettime_ns) -> None:
        self._clock = clock
        self._read_ns = read_ns
        self._offset_s: float | None = None

    def seconds(self, timestamp_ns: int) -> float:
        """Return a frame's time stamp in seconds on the rig's clock.

        Raises
        ------
        CameraUnavailable
            The first one, of a frame just delivered, is on neither of the kernel's clocks.
        """
        if self._offset_s is None:
            self._offset_s = self._clock.now() - self._read_ns(self._source(timestamp_ns)) * 1e-9
        return timestamp_ns * 1e-9 + self._offset_s

    def _source(self, timestamp_ns: int) -> int:
        ages_s = {name: (self._read_ns(id_) - timestamp_ns) * 1e-9 for name, id_ in _CLOCKS.items()}
        for name, age_s in ages_s.items():
            if 0 <= age_s < _LONGEST_AGE_S:
                return _CLOCKS[name]
        said = ", ".join(f"{age_s:.3f} s old by {name}" for name, age_s in ages_s.items())
        raise CameraUnavailable(
            f"camera: its time stamps are on no known clock (a new frame is {said}); update libcamera"
        )

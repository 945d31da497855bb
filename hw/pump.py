"""What makes an axis send its steps in time: a thread of its own, or, in virtual time, the calls to it."""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from hw.clock import Clock
from hw.scheduling import real_time

__all__ = ["CHUNK_S", "CallPump", "Feed", "Pump", "ThreadPump"]

CHUNK_S = 0.01
"""Steps are sent in chunks of this length, so that a stop or an end stop acts within two of them, s."""

# A chunk is prepared this long before its time, s.
LEAD_S = 0.002
JOIN_S = 2.0

Feed = Callable[[float], float]
"""Send what is due until a time, one chunk at most; return the time at which there is more to do, or inf."""

log = logging.getLogger(__name__)


class Pump(Protocol):
    """Calls an axis's feed when something is due."""

    def start(self, feed: Feed) -> None:
        """Begin; called once."""

    def catch_up(self) -> None:
        """See to it that an answer given now accounts for all that is due."""

    def wake(self) -> None:
        """Something new is to be done."""

    def close(self) -> None:
        """End; closing twice is fine."""


class CallPump:
    """Sends what is due whenever the axis is asked something: for virtual time, which has no 'meanwhile'."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._feed: Feed | None = None

    def start(self, feed: Feed) -> None:
        """Begin."""
        self._feed = feed

    def catch_up(self) -> None:
        """Send all that was due until now."""
        if self._feed is not None:
            now = self._clock.now()
            while self._feed(now) < now:
                pass

    def wake(self) -> None:
        """Do nothing: the next call will see."""

    def close(self) -> None:
        """End."""
        self._feed = None


class ThreadPump:
    """Sends steps from a thread, under real-time scheduling where that is allowed.

    Parameters
    ----------
    clock : one that runs by itself
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self.scheduling = "not started"

    def start(self, feed: Feed) -> None:
        """Start the thread; return when it runs and its scheduling is known."""
        ready = threading.Event()

        def work() -> None:
            self.scheduling = real_time()
            _say_once(self.scheduling)
            ready.set()
            while not self._closing:
                self._event.clear()
                more_s = feed(self._clock.now() + CHUNK_S)
                wait_s = more_s - self._clock.now() - LEAD_S
                if wait_s > 0:
                    self._event.wait(min(wait_s, threading.TIMEOUT_MAX))

        self._thread = threading.Thread(target=work, name="focus axis", daemon=True)
        self._thread.start()
        ready.wait(JOIN_S)

    def catch_up(self) -> None:
        """Do nothing: the thread keeps up."""

    def wake(self) -> None:
        """Call the feed at once."""
        self._event.set()

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._event.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)


_said: set[str] = set()


def _say_once(scheduling: str) -> None:
    if scheduling.startswith("SCHED_FIFO") or scheduling in _said:
        return
    _said.add(scheduling)
    log.warning(
        f"focus axis: steps are timed under {scheduling} scheduling; for SCHED_FIFO give the program the "
        "right to it (systemd: LimitRTPRIO=20; limits.conf: rtprio)"
    )

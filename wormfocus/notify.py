"""Telling systemd how a service is: ready, alive, stopping.

The protocol of sd_notify(3): lines `KEY=VALUE` in a datagram to the socket that NOTIFY_SOCKET names. A run
says that it is alive from its own loop, frame by frame, so that a loop that hangs is a service that hangs.
"""

import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from hw.clock import Clock, SystemClock
from hw.closing import Closing
from hw.errors import ConfigError

if TYPE_CHECKING:
    from edge.figures import Step

__all__ = ["Notifier"]

# Without a watchdog, the status line is still worth a look every so often.
STATUS_S = 10.0
# A ping may come late by three such intervals before the watchdog bites.
PINGS_PER_TIMEOUT = 4


class Notifier(Closing):
    """Speaks to the service manager, or to nobody where there is none.

    Parameters
    ----------
    address : of the socket, as in NOTIFY_SOCKET ('@' begins an abstract one); None where nobody listens
    watchdog_s : silence after which the manager ends the service, s; None where it does not
    clock : the system's, for the manager does not know the rig's

    Raises
    ------
    ConfigError
        The socket cannot be reached.
    """

    def __init__(self, address: str | None, watchdog_s: float | None, clock: Clock) -> None:
        self._clock = clock
        self._interval_s = STATUS_S if watchdog_s is None else watchdog_s / PINGS_PER_TIMEOUT
        self._ready, self._next_s = False, 0.0
        self._socket: socket.socket | None = None
        if address is None:
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # The loop never waits for the manager to read.
        self._socket.setblocking(False)
        try:
            self._socket.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"NOTIFY_SOCKET={address}: cannot be reached ({error.strerror}); unset it to run without "
                "systemd"
            ) from error

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID as systemd sets them.

        Raises
        ------
        ConfigError
            WATCHDOG_USEC or WATCHDOG_PID is no number, or the socket cannot be reached.
        """
        watchdog_s = None
        try:
            # Without a process id, the timeout is meant for whoever reads it.
            if int(environment.get("WATCHDOG_PID") or os.getpid()) == os.getpid():
                watchdog_s = int(environment.get("WATCHDOG_USEC") or 0) / 1e6 or None
        except ValueError as error:
            raise ConfigError(
                f"WATCHDOG_USEC or WATCHDOG_PID is no number ({error}); unset both to run without a watchdog"
            ) from error
        return cls(environment.get("NOTIFY_SOCKET") or None, watchdog_s, SystemClock())

    def step(self, step: "Step") -> None:
        """Say that the loop has come round: ready at the first step, alive now and then, and how it is."""
        now = self._clock.now()
        if self._ready and now < self._next_s:
            return
        self._next_s = now + self._interval_s
        first, self._ready = not self._ready, True
        self._send(*(("READY=1",) if first else ()), "WATCHDOG=1", f"STATUS={_status(step)}")

    def stopping(self) -> None:
        """Say that the run is over and only its record is being finished."""
        self._send("STOPPING=1", "STATUS=finishing the session")

    def close(self) -> None:
        """Close the socket; closing twice is fine."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send("\n".join(lines).encode())
        except BlockingIOError:
            # The manager's queue is full; READY must not be lost, a ping may.
            if lines[0] == "READY=1":
                self._ready = False


def _status(step: "Step") -> str:
    decision = step.look.decision
    reason = " ".join(decision.reason.split())
    return f"{decision.state} ({reason}), lens at {step.axis.position_steps:.0f} steps"

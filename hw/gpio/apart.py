"""A step driver in a process of its own, which nothing that this program does can hold up.

Python runs one thread at a time, and a thread that computes keeps the others waiting for milliseconds,
whatever their priority. With an interpreter to itself the timing of steps is between it and the kernel, and
the motor is switched off even when this program is killed.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hw.clock import SystemClock
from hw.drive import DriveConfig
from hw.errors import AxisFault, WormfocusError
from hw.gpio.config import GpioConfig
from hw.gpio.opening import open_driver
from hw.scheduling import real_time
from hw.step_driver import Played, Pulses, StepDriver

__all__ = ["ApartDriver", "heed", "serve"]

# The process needs a second or two to start on a Pi, and ends within 0.2 s, s.
START_S, END_S = 30.0, 2.0
# Python lets a thread compute for 5 ms before another may send the next chunk: half a chunk.
SWITCH_S = 5e-4


class ApartDriver:
    """A `StepDriver` whose lines, timing and library are in another process.

    The threads of this program give way to each other sooner from then on, so that chunks are sent in time.

    Parameters
    ----------
    config : the rig file's `gpio`
    drive : its `axis.drive`

    Attributes
    ----------
    scheduling : class under which the steps are timed, or why not under SCHED_FIFO

    Raises
    ------
    GpioUnavailable
        No such chip, library or pin; one line that says which there are, or what to install.
    AxisFault
        The process does not start.
    """

    def __init__(self, config: GpioConfig, drive: DriveConfig) -> None:
        self._one_at_a_time = threading.Lock()
        self._closed = False
        sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
        calls, their_calls = socket.socketpair()
        stops, their_stops = socket.socketpair()
        with their_calls, their_stops:
            descriptors = (their_calls.fileno(), their_stops.fileno())
            folder = str(Path(__file__).parents[2])
            paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
            # A session of its own: Ctrl-C is for this program, which then closes the driver.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hw.gpio.apart", *map(str, descriptors)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
        self._calls, self._stops = Connection(calls.detach()), Connection(stops.detach())
        try:
            self._calls.send((config, drive))
            if not self._calls.poll(START_S):
                raise AxisFault(
                    f"focus axis: its driver did not start within {START_S:g} s; open the rig again"
                )
            self.scheduling = str(self._answer())
        except BaseException:
            self._end()
            raise

    def enable(self, on: bool) -> None:
        """Switch the motor's current."""
        self._ask("enable", on)

    def play(self, pulses: Pulses) -> Played:
        """Send steps when they are due; blocks until all are out."""
        played = self._ask("play", pulses)
        assert isinstance(played, Played)
        return played

    def interrupt(self) -> None:
        """End the `play` in progress; without one, nothing happens."""
        with suppress(OSError):
            self._stops.send_bytes(b"stop")

    @property
    def end_stop(self) -> bool | None:
        """Whether the end stop is pressed; None where there is none."""
        pressed = self._ask("end_stop", None)
        return None if pressed is None else bool(pressed)

    def close(self) -> None:
        """End what is being played, switch the motor off and release the lines; twice is fine."""
        self.interrupt()
        with self._one_at_a_time:
            if self._closed:
                return
            try:
                self._exchange("close", None)
            finally:
                self._end()

    def _ask(self, name: str, argument: object) -> Any:
        with self._one_at_a_time:
            if self._closed:
                raise AxisFault("focus axis: its driver is closed; open the rig again")
            return self._exchange(name, argument)

    def _exchange(self, name: str, argument: object) -> Any:
        try:
            self._calls.send((name, argument))
        except OSError:
            self._gone()
        return self._answer()

    def _answer(self) -> Any:
        try:
            answer = self._calls.recv()
        except (EOFError, OSError):
            self._gone()
        if isinstance(answer, WormfocusError):
            raise answer
        return answer

    def _gone(self) -> None:
        raise AxisFault(
            "focus axis: the process that sends its steps has ended; open the rig again and home it"
        )

    def _end(self) -> None:
        self._closed = True
        # The process ends when nobody holds the other ends any more.
        self._calls.close()
        self._stops.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve(calls: Connection, driver: StepDriver) -> None:
    """Do what is asked until `close` is, or nobody is left to ask; the driver is closed afterwards."""
    try:
        while True:
            name, argument = calls.recv()
            reply: object
            try:
                match name:
                    case "play":
                        reply = driver.play(argument)
                    case "enable":
                        reply = None
                        driver.enable(argument)
                    case "end_stop":
                        reply = driver.end_stop
                    case _:
                        reply = None
                        driver.close()
            except WormfocusError as error:
                reply = error
            calls.send(reply)
            if name == "close":
                return
    except (EOFError, OSError):
        return
    finally:
        with suppress(WormfocusError):
            driver.close()


def heed(stops: Connection, driver: StepDriver) -> None:
    """Interrupt the driver whenever told to, and when nobody is left to tell."""
    with suppress(EOFError, OSError):
        while stops.recv_bytes():
            driver.interrupt()
    driver.interrupt()


def main() -> None:
    """Serve one driver to the process at the other end of two sockets."""
    calls, stops = (Connection(int(number)) for number in sys.argv[1:3])
    # It ends when the program has closed the driver; a signal to all of a service must not come before.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    config, drive = calls.recv()
    try:
        driver = open_driver(config, drive, SystemClock())
    except WormfocusError as error:
        calls.send(error)
        return
    threading.Thread(target=heed, args=(stops, driver), daemon=True).start()
    calls.send(real_time())
    serve(calls, driver)


if __name__ == "__main__":
    main()

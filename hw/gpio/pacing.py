"""Steps put on GPIO lines one by one, each when it is due and none too early after the one before."""

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hw.clock import Clock
from hw.drive import DriveConfig
from hw.errors import AxisFault
from hw.gpio.config import GpioConfig
from hw.gpio.lines import Lines
from hw.step_driver import Played, Pulses

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PacedDriver"]

# The kernel wakes a sleeper some 60 us late unless it has real-time priority, so the rest is spun. Spinning
# all the time would run into the kernel's throttle for real-time threads: 50 ms without a step every second.
SPIN_S = 2e-4
# How long a wait goes on unasked whether it was interrupted.
SLICE_S = 4e-3


class PacedDriver:
    """A `StepDriver` that times every edge itself and leaves the wire to a GPIO library.

    An edge comes at some time while the library writes it. The next is timed from the end of that write, so
    no interval on the wire is ever shorter than the one asked for, whatever held this process up; what a
    write takes is added to the move. lgpio could time whole waves in a thread of its own, but after a stall
    that thread sends what it missed at once, which a motor cannot follow (`benchmarks/step_timing.py`).

    Parameters
    ----------
    config : the rig file's `gpio`
    drive : its `axis.drive`, for the driver's pulse width and DIR set-up
    clock : the rig's
    lines : of that configuration, claimed; the driver releases them
    """

    def __init__(self, config: GpioConfig, drive: DriveConfig, clock: Clock, lines: Lines) -> None:
        self._config = config
        self._drive = drive
        self._clock = clock
        self._lines = lines
        self._forward: bool | None = None
        self._on = False
        self._not_before_s = clock.now()
        self._interrupted = threading.Event()
        self._playing = threading.Lock()
        self._closed = False

    def enable(self, on: bool) -> None:
        """Switch the motor's current.

        Raises
        ------
        AxisFault
            Closed, or the line cannot be written.
        """
        with self._playing, self._faults():
            self._refuse_closed()
            self._on = on
            self._lines.write(self._config.enable_pin, on != self._config.enable_active_low)

    def play(self, pulses: Pulses) -> Played:
        """Send steps when they are due, or as soon after as the intervals allow; blocks until all are out.

        Raises
        ------
        AxisFault
            Closed, or a line cannot be written.
        """
        with self._playing, self._faults():
            self._refuse_closed()
            self._interrupted.clear()
            return self._send(pulses)

    def interrupt(self) -> None:
        """End the `play` in progress; without one, nothing happens."""
        self._interrupted.set()

    @property
    def end_stop(self) -> bool | None:
        """Whether the end stop is pressed; None where there is none.

        Raises
        ------
        AxisFault
            Closed, or the line cannot be read.
        """
        stop = self._config.end_stop
        if stop is None:
            return None
        with self._faults():
            self._refuse_closed()
            return self._lines.read(stop.pin) == (stop.active == "high")

    def close(self) -> None:
        """End what is being played, switch the motor off and release the lines; twice is fine."""
        while not self._playing.acquire(timeout=SLICE_S):
            self._interrupted.set()
        try:
            if self._closed:
                return
            self._closed = True
            try:
                with self._faults():
                    if self._on:
                        self._lines.write(self._config.enable_pin, self._config.enable_active_low)
            finally:
                self._lines.release()
        finally:
            self._playing.release()

    def _send(self, pulses: Pulses) -> Played:
        step_pin, pulse_s = self._config.step_pin, self._drive.pulse_s
        now, write = self._clock.now, self._lines.write
        if pulses.forward != self._forward:
            write(self._config.dir_pin, pulses.forward)
            self._forward = pulses.forward
            self._not_before_s = max(self._not_before_s, now() + self._drive.dir_setup_s)
        count, late_s = 0, 0.0
        for due_s in pulses.due_s.tolist():
            if not self._wait_until(max(due_s + late_s, self._not_before_s)):
                break
            write(step_pin, True)
            edge_s = now()
            while now() < edge_s + pulse_s:
                pass
            write(step_pin, False)
            self._not_before_s = now() + pulse_s
            count, late_s = count + 1, edge_s - due_s
        return Played(count, max(0.0, late_s))

    def _wait_until(self, time_s: float) -> bool:
        """Wait, and say whether nobody interrupted."""
        while not self._interrupted.is_set():
            left_s = time_s - self._clock.now()
            if left_s <= 0:
                return True
            if left_s > SPIN_S:
                self._clock.sleep(min(left_s - SPIN_S, SLICE_S))
        return False

    def _refuse_closed(self) -> None:
        if self._closed:
            raise AxisFault("focus axis: its driver is closed; open the rig again")

    @contextmanager
    def _faults(self) -> "Iterator[None]":
        """Say in one line what a GPIO library complains about."""
        try:
            yield
        except self._lines.failures as error:
            raise AxisFault(
                f"focus axis: a GPIO line failed ({error}); check that nothing else uses the pins, then open "
                "the rig again"
            ) from error

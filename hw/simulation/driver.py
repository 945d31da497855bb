"""The simulated motor driver: what the pulses really do to the motor, and the motor to the lens."""

import math
import threading
from bisect import bisect_right

import numpy as np

from hw.clock import Clock
from hw.drive import DriveConfig
from hw.errors import AxisFault
from hw.simulation.config import SimulatedAxisConfig, draw
from hw.step_driver import Line, LineEdge, Played, Pulses

__all__ = ["SimulatedStepDriver"]

# The driver waits in slices of this, so that an interruption acts in time, s.
SLICE_S = 0.002
# So many lens positions are remembered, at least.
KEPT = 20_000


class SimulatedStepDriver:
    """A motor driver, a motor and a lens on a screw with play.

    Each pulse turns the motor by one step at the moment it is due; pulses that come faster than the motor's
    safe speed turn it by less. Pushed up, the lens sits at the motor's position; pushed down, `backlash`
    above it. DIR set-up time and pulse width are kept, as a real driver needs them. With `inverted`, it turns
    the other way than DIR asks for.

    Parameters
    ----------
    drive : the rig file's `axis.drive`
    truth : its `simulation.axis`
    clock : waits for the pulses, where it does not stand still
    rng : what is random is drawn from it
    start_steps : where motor and lens are at the beginning, steps
    end_stop_steps : lens position from which on, outwards, the end stop of `drive.homing` is pressed
    trace : filled with every edge on the lines; not recorded when absent
    """

    def __init__(
        self,
        drive: DriveConfig,
        truth: SimulatedAxisConfig,
        clock: Clock,
        rng: np.random.Generator,
        *,
        start_steps: float = 0.0,
        end_stop_steps: float | None = None,
        trace: list[LineEdge] | None = None,
    ) -> None:
        self._drive = drive
        self._clock = clock
        self._rng = rng
        self._backlash = draw(rng, truth.backlash_steps)
        self._shortest_safe_s = 1 / draw(rng, truth.safe_speed_steps_s)
        self._mean_missed = draw(rng, truth.missed_share)
        self._missed_share = 0.0
        self._inverted = truth.inverted
        self._motor = start_steps
        self._times = [-math.inf]
        self._lenses = [start_steps]
        self._end_stop_steps = end_stop_steps
        self._trace = trace
        self._enabled = False
        self._forward = False
        self._last_s = -math.inf
        self._interrupted = threading.Event()
        self._closed = False

    def enable(self, on: bool) -> None:
        """Switch the coils' current; a motor without it stays where it is."""
        if on != self._enabled:
            # EN of these drivers is low when they are on.
            self._note(self._clock.now(), "EN", not on)
        self._enabled = on

    def play(self, pulses: Pulses) -> Played:
        """Send steps: at once in virtual time, where they are due already; else when they are due."""
        if self._closed or not self._enabled:
            raise AxisFault("the driver is not enabled, and would not turn the motor; open the rig again")
        self._interrupted.clear()
        late_s = 0.0
        if pulses.forward != self._forward:
            self._forward = pulses.forward
            first_s, setup_s = float(pulses.due_s[0]), self._drive.dir_setup_s
            turned_s = max(first_s - setup_s, self._last_s + self._drive.pulse_s)
            late_s = max(0.0, turned_s + setup_s - first_s)
            self._note(turned_s, "DIR", pulses.forward)
        for count, due_s in enumerate(pulses.due_s.tolist()):
            if not self._wait(due_s + late_s):
                return Played(count, late_s)
            self._step(due_s + late_s)
        return Played(len(pulses.due_s), late_s)

    def interrupt(self) -> None:
        """Make `play` end."""
        self._interrupted.set()

    @property
    def end_stop(self) -> bool | None:
        """Whether the lens presses the end stop; None where there is none."""
        end, place = self._drive.homing.end_stop, self._end_stop_steps
        if end == "none" or place is None:
            return None
        return self._lenses[-1] <= place if end == "low" else self._lenses[-1] >= place

    def close(self) -> None:
        """Switch EN off."""
        if not self._closed:
            self.enable(False)
        self._closed = True

    def true_position_at(self, t: float) -> float:
        """Lens position in steps at time `t` in seconds: where the last pulse has put it."""
        return self._lenses[bisect_right(self._times, t) - 1]

    def _wait(self, due_s: float) -> bool:
        """Wait until a pulse is due; False when interrupted."""
        while (left_s := due_s - self._clock.now()) > 0:
            if self._interrupted.is_set():
                return False
            self._clock.sleep(min(left_s, SLICE_S))
        return True

    def _step(self, t: float) -> None:
        interval_s = t - self._last_s
        if interval_s < self._shortest_safe_s * (1 - 1e-9):
            if self._missed_share == 0.0:
                self._missed_share = self._mean_missed * self._rng.uniform(0, 2)
        else:
            self._missed_share = 0.0
        self._last_s = t
        self._motor += (1 - self._missed_share) * (1 if self._forward != self._inverted else -1)
        lens = min(max(self._lenses[-1], self._motor), self._motor + self._backlash)
        self._times.append(t)
        self._lenses.append(lens)
        if len(self._times) > 2 * KEPT:
            del self._times[:-KEPT], self._lenses[:-KEPT]
        if self._trace is not None:
            self._trace += [LineEdge(t, "STEP", True), LineEdge(t + self._drive.pulse_s, "STEP", False)]

    def _note(self, t: float, line: Line, level: bool) -> None:
        if self._trace is not None:
            self._trace.append(LineEdge(t, line, level))

"""How regular the steps of this machine would be: the timing loop itself, in a process of its own as always.

    python -m hw.gpio.timing RATE SECONDS PULSE_S DIR_SETUP_S

Nothing is wired to it, so no motor moves and no library is needed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hw.check import Check, Status
from hw.clock import Clock, SystemClock
from hw.drive import DriveConfig
from hw.errors import AxisFault
from hw.gpio.config import GpioConfig
from hw.gpio.pacing import PacedDriver
from hw.pump import CHUNK_S
from hw.scheduling import real_time
from hw.step_driver import Played, Pulses

__all__ = ["StepTiming", "Unwired", "check_step_timing", "measure_apart", "measure_here", "play_steadily"]

# The promise of benchmarks/step_timing.py: 99 of 100 intervals are wrong by less than half an interval.
PROMISED_SHARE = 0.5
START_S = 30.0
PINS = GpioConfig(step_pin=0, dir_pin=1, enable_pin=2)


@dataclass(frozen=True, slots=True)
class StepTiming:
    """Intervals between steps, measured.

    Attributes
    ----------
    rate_steps_s : asked for
    shortest_s : shortest interval
    error_p99_s, error_max_s : how far intervals were from the one asked for
    scheduling : class under which they were timed
    """

    rate_steps_s: float
    shortest_s: float
    error_p99_s: float
    error_max_s: float
    scheduling: str


class Unwired:
    """Lines that end here.

    Parameters
    ----------
    clock : the one that steps are timed by
    step_pin : number of STEP

    Attributes
    ----------
    rising_s : when STEP rose
    """

    failures: tuple[type[Exception], ...] = ()

    def __init__(self, clock: Clock, step_pin: int) -> None:
        self._clock, self._step_pin = clock, step_pin
        self.rising_s: list[float] = []

    def write(self, pin: int, high: bool) -> None:
        """Note the time."""
        if pin == self._step_pin and high:
            self.rising_s.append(self._clock.now())

    def read(self, pin: int) -> bool:
        """Nothing is pressed."""
        return False

    def release(self) -> None:
        """Nothing is held."""


def play_steadily(
    play: Callable[[Pulses], Played], clock: Clock, rate_steps_s: float, seconds: float
) -> None:
    """Send steps at one rate as an axis does: in chunks, each as late as those before it were."""
    due_s = clock.now() + CHUNK_S + np.arange(max(3, int(rate_steps_s * seconds))) / rate_steps_s
    size, late_s = max(1, int(rate_steps_s * CHUNK_S)), 0.0
    for begin in range(0, due_s.size, size):
        late_s += play(Pulses(True, due_s[begin : begin + size] + late_s)).late_s


def measure_here(rate_steps_s: float, seconds: float, drive: DriveConfig) -> StepTiming:
    """Time steps at one rate in this thread, under real-time scheduling where that is allowed."""
    scheduling = real_time()
    clock = SystemClock()
    lines = Unwired(clock, PINS.step_pin)
    driver = PacedDriver(PINS, drive, clock, lines)
    play_steadily(driver.play, clock, rate_steps_s, seconds)
    driver.close()
    intervals = np.diff(lines.rising_s)
    errors = np.abs(intervals - 1 / rate_steps_s)
    return StepTiming(
        rate_steps_s,
        float(intervals.min()),
        float(np.quantile(errors, 0.99)),
        float(errors.max()),
        scheduling,
    )


def measure_apart(rate_steps_s: float, seconds: float, drive: DriveConfig) -> StepTiming:
    """Do so in a process of its own, as the steps of a real rig are timed.

    Raises
    ------
    AxisFault
        The process does not start or does not end.
    """
    numbers = (rate_steps_s, seconds, drive.pulse_s, drive.dir_setup_s)
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hw.gpio.timing", *map(repr, numbers)],
            capture_output=True,
            text=True,
            timeout=START_S + 10 * seconds,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        return StepTiming(**json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        raise AxisFault(
            f"step timing: its process failed ({error}); try 'python -m hw.gpio.timing' by hand"
        ) from error


def check_step_timing(timing: StepTiming) -> list[Check]:
    """Judge a measurement at the rig's highest speed, and the scheduling class it ran under."""
    interval_s = 1 / timing.rate_steps_s
    seen = (
        f"at {timing.rate_steps_s:g} steps/s (interval {interval_s * 1e6:.0f} us): shortest "
        f"{timing.shortest_s * 1e6:.0f} us, error {timing.error_p99_s * 1e6:.0f} us at 99 %, "
        f"{timing.error_max_s * 1e6:.0f} us at most"
    )
    name, less = "step timing", "stop other programs, or lower axis.max_speed_steps_s"
    # An interval is counted from clock readings at both its ends.
    if timing.shortest_s < 0.99 * interval_s:
        steady = Check(name, Status.failed, f"{seen}: steps bunch up", less)
    elif timing.error_p99_s > PROMISED_SHARE * interval_s:
        steady = Check(name, Status.failed, f"{seen}: more than half an interval", less)
    elif timing.error_max_s > interval_s:
        steady = Check(
            name, Status.warning, f"{seen}: a stall; moves take longer by it, no step is lost", less
        )
    else:
        steady = Check(name, Status.ok, seen)
    real_time = timing.scheduling.startswith("SCHED_FIFO")
    right = "give the program the right to SCHED_FIFO (systemd: LimitRTPRIO=20; limits.conf: rtprio)"
    status = Status.ok if real_time else Status.warning
    return [Check("scheduling", status, timing.scheduling, "" if real_time else right), steady]


def main() -> None:
    """Measure, and print the result as JSON."""
    rate, seconds, pulse_s, dir_setup_s = map(float, sys.argv[1:5])
    drive = DriveConfig(pulse_s=pulse_s, dir_setup_s=dir_setup_s)
    print(json.dumps(asdict(measure_here(rate, seconds, drive))))


if __name__ == "__main__":
    main()

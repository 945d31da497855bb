"""Forks processes that move an axis until they are killed.

    python moving_process.py POSITION_FILE TRUTH_FILE

For every line on standard input a child is forked, whose process id is printed when its axis is open. The
truth, as little-endian 64-bit integers, is the motor's step as of the last pulse, and whether a move is on.
"""

import os
import struct
import sys
import time
from pathlib import Path

import numpy as np

from hw.clock import SystemClock
from hw.config import AxisConfig
from hw.drive import DriveConfig
from hw.position_file import PositionFile
from hw.pump import ThreadPump
from hw.simulation.config import SimulatedAxisConfig
from hw.simulation.driver import SimulatedStepDriver
from hw.stepper import StepperAxis

TRUTH = SimulatedAxisConfig(
    start_offset_steps=0, backlash_steps=0, safe_speed_steps_s=1e6, missed_share=0, shake_um=0
)


class WitnessedDriver(SimulatedStepDriver):
    """Writes down every pulse as soon as it is out."""

    truth = -1

    def _step(self, t: float) -> None:
        super()._step(t)
        os.pwrite(self.truth, struct.pack("<q", round(self._motor)), 0)


def _kept(position_file: Path) -> bool:
    """Whether the file says that the motor rests where it does."""
    kept = PositionFile(position_file).read()
    return kept is not None and kept.trusted


def move_about(position_file: Path, truth: int) -> None:
    """Move at random, from wherever the motor is, until killed."""
    rng = np.random.default_rng(os.getpid())
    (start,) = struct.unpack("<q", os.pread(truth, 8, 0))
    config = AxisConfig(
        um_per_step=5,
        min_steps=-1000,
        max_steps=1000,
        max_speed_steps_s=2000,
        acceleration_steps_s2=40000,
        backlash_steps=0,
        settle_s=0.0,
        drive=DriveConfig(position_file=position_file, keep_after_s=0.005, wake_s=0.001),
    )
    clock = SystemClock()
    driver = WitnessedDriver(config.drive, TRUTH, clock, rng, start_steps=start)
    driver.truth = truth
    axis = StepperAxis(config, driver, clock, ThreadPump(clock))
    if axis.homed and axis.position_steps != start:
        os._exit(3)
    if not axis.homed:
        axis.confirm_position(start)
    print(os.getpid(), flush=True)
    while True:
        pause_s = float(rng.choice([0.0, 0.001, 0.02]))
        # The longest rest begins when it stands in the file: a busy disk takes its time.
        while pause_s == 0.02 and axis.fault is None and not _kept(position_file):
            time.sleep(0.001)
        time.sleep(pause_s)
        os.pwrite(truth, struct.pack("<q", 1), 8)
        axis.move_to(int(rng.integers(-60, 60)))
        while axis.moving:
            time.sleep(0.001)
        os.pwrite(truth, struct.pack("<q", 0), 8)
        if axis.fault is not None:
            os._exit(4)


def main() -> None:
    """Fork, and tell how each child ended."""
    position_file, truth = Path(sys.argv[1]), os.open(sys.argv[2], os.O_RDWR)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                move_about(position_file, truth)
            finally:
                os._exit(5)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()

"""Backlash and repeatability, from focus curves taken upwards and downwards."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.axis.bench import Bench, Sweep
from calibration.axis.curves import Shifts, align
from hw.errors import StackError

__all__ = ["Backlash", "measure_backlash", "sweep_positions"]

SWEEP_REACH_DOF = 1.6
SWEEP_STEP_DOF = 0.13
# The run-up must take up the play with so much to spare.
RUN_UP_SPARE = 1.6
MOST_TRIES = 3


@dataclass(frozen=True)
class Backlash:
    """What the sweeps say.

    Attributes
    ----------
    backlash_steps, sigma_steps : true lost motion at a reversal, and its standard deviation
    repeatability_steps : standard deviation of focus found again by sweeps from one side, drift taken out;
        the measurement's own noise is in it
    drift_steps_s : how fast focus wandered meanwhile, steps/s
    sweeps : in the order they were made
    shifts : of the sweeps
    """

    backlash_steps: float
    sigma_steps: float
    repeatability_steps: float
    drift_steps_s: float
    sweeps: tuple[Sweep, ...]
    shifts: Shifts


def sweep_positions(bench: Bench, focus_steps: float, *, upward: bool = True) -> NDArray[np.float64]:
    """Lens positions of one sweep about a focus, in steps, in the order of the visits.

    Raises
    ------
    StackError
        There is no room for it within the axis's limits.
    """
    reach, step = SWEEP_REACH_DOF * bench.dof_steps, SWEEP_STEP_DOF * bench.dof_steps
    count = math.ceil(2 * reach / step) + 1
    # On whole steps, which is where a motor stands, and at least one apart.
    positions = np.unique(np.round(np.linspace(focus_steps - reach, focus_steps + reach, count)))
    low, high = bench.limits_steps
    if positions[0] - bench.run_up_steps < low or positions[-1] + bench.run_up_steps > high:
        raise StackError(
            f"focus at {focus_steps:.0f} steps is too near to an end of the axis's travel to sweep through "
            "it; raise or lower the target"
        )
    return positions if upward else positions[::-1]


def measure_backlash(bench: Bench, focus_steps: float, pairs: int = 3) -> Backlash:
    """Sweep through focus upwards and downwards in turn.

    The axis believes in `axis.backlash_steps`, and makes up for it at a reversal. Where the true play is
    larger, the lens lags on the way down by the difference, and focus is found that much lower. A steady
    drift of the plate is a slope over time that up and down have in common.

    Parameters
    ----------
    bench : with a target
    focus_steps : where it is sharp
    pairs : of sweeps up and down, two or more

    Raises
    ------
    StackError
        Too near to the limits, the target moves, or the play is larger than the run-up can take up.
    """
    believed = bench.rig.config.axis.backlash_steps
    for _ in range(MOST_TRIES):
        sweeps: list[Sweep] = []
        for number in range(2 * pairs):
            # Up, down, down, up, ...: so that nothing that comes with every second sweep looks like play.
            upward = number % 4 in (0, 3)
            bench.say(f"sweep {number + 1} of {2 * pairs}, {'up' if upward else 'down'}")
            sweeps.append(bench.visit(sweep_positions(bench, focus_steps, upward=upward)))
        found = _judge(sweeps, believed)
        if bench.run_up_steps >= RUN_UP_SPARE * found.backlash_steps:
            return found
        bench.widen_run_up(2 * RUN_UP_SPARE * found.backlash_steps)
    raise StackError(
        f"the play of about {found.backlash_steps:.0f} steps is more than can be taken up; mend the screw or "
        "its nut"
    )


def _judge(sweeps: list[Sweep], believed: float) -> Backlash:
    shifts = align([s.position_steps for s in sweeps], [s.luminance for s in sweeps])
    t = np.array([s.time_s for s in sweeps])
    t = t - t.mean()
    up = np.array([1.0 if s.upward else 0.0 for s in sweeps])
    design = np.column_stack([np.ones_like(t), t, up])
    fitted, *_ = np.linalg.lstsq(design, shifts.shift, rcond=None)
    rest = shifts.shift - design @ fitted
    scatter = math.sqrt(float(np.square(rest).sum()) / max(1, len(t) - 3))
    spread = max(scatter, shifts.sigma)
    covariance = np.linalg.inv(design.T @ design)
    return Backlash(
        max(0.0, believed + float(fitted[2])),
        spread * math.sqrt(float(covariance[2, 2])),
        scatter,
        float(fitted[1]),
        tuple(sweeps),
        shifts,
    )

"""Missed steps: far away and back, and focus is looked for where it was.

What is missed on the way there would be made up for, in part, by what is missed on the way back. So each trip
goes there as it is tried, and comes back more slowly: only one of the ways can lose anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from calibration.axis.backlash import sweep_positions
from calibration.axis.bench import Bench, Sweep
from calibration.axis.curves import Shifts, align

__all__ = ["MissedSteps", "Speed", "Trip", "fast_ways", "gentle_way", "make_trips"]

Speed = Literal["gentle", "fast"]

# A full step is the least that a motor can miss and keep; what is found must stand out of the noise as well.
LEAST_STEPS = 1.0
LEAST_SIGMAS = 5.0
# Focus may be found so much elsewhere that the sweep must be made again around it, DOF.
LOST_DOF = 0.8
# How far the control goes, in its hops; single steps back take long.
GENTLE_HOPS = 50


@dataclass(frozen=True)
class Trip:
    """One way there and back.

    Attributes
    ----------
    speed : 'gentle', in the hops that sweeps are made of, and back in single steps; or 'fast', at once and at
        full speed, and back gently
    to_steps : where it turned
    lost_steps : how much further up the lens stands afterwards than the axis counts, steps; 0 for none
    significant : whether that is more than the noise
    """

    speed: Speed
    to_steps: float
    lost_steps: float
    significant: bool


@dataclass(frozen=True)
class MissedSteps:
    """What trips of one speed say.

    Attributes
    ----------
    trips : in the order they were made
    sigma_steps : standard deviation of each trip's loss
    sweeps, shifts : before the first trip, and after each
    """

    trips: tuple[Trip, ...]
    sigma_steps: float
    sweeps: tuple[Sweep, ...]
    shifts: Shifts

    @property
    def found(self) -> bool:
        """Whether steps were missed."""
        return any(trip.significant for trip in self.trips)

    @property
    def worst_steps(self) -> float:
        """Largest loss of a trip, signed."""
        return max((trip.lost_steps for trip in self.trips), key=abs, default=0.0)

    @property
    def lost_steps(self) -> float:
        """What the trips that missed steps have lost in all, signed."""
        return sum(trip.lost_steps for trip in self.trips if trip.significant)


def gentle_way(bench: Bench, focus_steps: float) -> list[float]:
    """Where the control trip goes: towards the middle of the travel, 50 hops."""
    low, high = bench.limits_steps
    towards = 1 if focus_steps < (low + high) / 2 else -1
    return [min(max(focus_steps + towards * GENTLE_HOPS * bench.hop_steps, low), high)]


def fast_ways(bench: Bench, focus_steps: float, far_steps: float, trips: int) -> list[float]:
    """Where fast trips go, up and down in turn; where one side has little room, all go to the other."""
    low, high = bench.limits_steps
    ends = (min(focus_steps + far_steps, high), max(focus_steps - far_steps, low))
    room = max(abs(end - focus_steps) for end in ends)
    sides = [end for end in ends if abs(end - focus_steps) >= 0.5 * room]
    return [sides[number % len(sides)] for number in range(trips)]


def make_trips(
    bench: Bench, focus_steps: float, speed: Speed, ends: Sequence[float], scatter_steps: float = 0.0
) -> MissedSteps:
    """Go far away and back, and compare focus before and after.

    Every sweep is made upwards, so that the screw's play is in none of the differences; what a motor has
    missed stays missed, and shows as a focus found elsewhere.

    Parameters
    ----------
    bench : with a target
    focus_steps : where it is sharp
    speed : that is tried
    ends : where each trip turns, steps
    scatter_steps : repeatability of focus, where it is known

    Raises
    ------
    StackError
        Too near to the limits, or the target moves.
    """
    centre = focus_steps
    bench.say("sweep before the trips")
    sweeps = [bench.visit(sweep_positions(bench, centre))]
    for number, end in enumerate(ends, 1):
        bench.say(f"trip {number} of {len(ends)}, {speed}, to {end:+.0f} steps and back")
        if speed == "fast":
            bench.go(end)
            bench.creep(centre)
        else:
            bench.creep(end)
            bench.creep(centre, hop_steps=1)
        sweep = bench.visit(sweep_positions(bench, centre))
        if abs(moved := _peak(sweep) - _peak(sweeps[-1])) > LOST_DOF * bench.dof_steps:
            centre += round(moved)
            sweep = bench.visit(sweep_positions(bench, centre))
        sweeps.append(sweep)
    shifts = align([s.position_steps for s in sweeps], [s.luminance for s in sweeps])
    sigma = max(shifts.sigma, scatter_steps) * 2**0.5
    least = max(LEAST_STEPS, LEAST_SIGMAS * sigma)
    trips = tuple(
        # Focus found lower by the count means that the lens stands higher than is counted.
        Trip(speed, end, float(lost), bool(abs(lost) >= least))
        for end, lost in zip(ends, -np.diff(shifts.shift), strict=True)
    )
    return MissedSteps(trips, sigma, tuple(sweeps), shifts)


def _peak(sweep: Sweep) -> float:
    return float(sweep.position_steps[sweep.luminance.argmax()])

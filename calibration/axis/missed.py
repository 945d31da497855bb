"""Missed steps: far away and back, and focus is looked for where it was."""

from dataclasses import dataclass

import numpy as np

from calibration.axis.backlash import sweep_positions
from calibration.axis.bench import Bench, Sweep
from calibration.axis.curves import Shifts, align

__all__ = ["MissedSteps", "Trip", "measure_missed_steps"]

# A full step is the least that a motor can miss and keep; what is found must stand out of the noise as well.
LEAST_STEPS = 1.0
LEAST_SIGMAS = 5.0
# Focus may be found so much elsewhere that the sweep must be made again around it, DOF.
LOST_DOF = 0.8


@dataclass(frozen=True)
class Trip:
    """One way there and back.

    Attributes
    ----------
    kind : 'gentle', in hops with a stop after each, or 'fast', at once and at full speed
    to_steps : where it turned
    lost_steps : how much further up the lens stands afterwards than the axis counts, steps; 0 for none
    significant : whether that is more than the noise
    """

    kind: str
    to_steps: float
    lost_steps: float
    significant: bool


@dataclass(frozen=True)
class MissedSteps:
    """What the trips say.

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
    def at_speed(self) -> bool:
        """Whether steps were missed on a fast trip."""
        return any(trip.significant for trip in self.trips if trip.kind == "fast")

    @property
    def gently(self) -> bool:
        """Whether steps were missed even by small hops, so that nothing else measured can be trusted."""
        return any(trip.significant for trip in self.trips if trip.kind == "gentle")

    @property
    def worst_steps(self) -> float:
        """Largest loss of a fast trip, signed."""
        return max((trip.lost_steps for trip in self.trips if trip.kind == "fast"), key=abs, default=0.0)


def measure_missed_steps(
    bench: Bench, focus_steps: float, far_steps: float, *, fast_trips: int = 4, scatter_steps: float = 0.0
) -> MissedSteps:
    """Go far away and back, once gently and then at full speed, and compare focus before and after.

    Every sweep is made upwards, so that the screw's play is in none of the differences; what a motor has
    missed stays missed, and shows as a focus found elsewhere.

    Parameters
    ----------
    bench : with a target
    focus_steps : where it is sharp
    far_steps : how far a trip goes; less where a limit is nearer
    fast_trips : number of them, up and down in turn
    scatter_steps : repeatability of focus, where it is known

    Raises
    ------
    StackError
        Too near to the limits, or the target moves.
    """
    low, high = bench.limits_steps
    ends = (min(focus_steps + far_steps, high), max(focus_steps - far_steps, low))
    room = [abs(end - focus_steps) for end in ends]
    # Where one side has little room, all trips go to the other.
    sides = [end for end, way in zip(ends, room, strict=True) if way >= 0.5 * max(room)]
    plan = [("gentle", sides[0])] + [("fast", sides[n % len(sides)]) for n in range(fast_trips)]
    centre = focus_steps
    bench.say("sweep before the trips")
    sweeps = [bench.visit(sweep_positions(bench, centre))]
    for number, (kind, end) in enumerate(plan, 1):
        bench.say(f"trip {number} of {len(plan)}, {kind}, to {end:+.0f} steps and back")
        move = bench.creep if kind == "gentle" else bench.go
        move(end)
        move(centre)
        sweep = bench.visit(sweep_positions(bench, centre))
        shift = _shift(sweeps[-1], sweep)
        if abs(shift) > LOST_DOF * bench.dof_steps:
            sweep = bench.visit(sweep_positions(bench, centre + round(shift)))
            centre += round(shift)
        sweeps.append(sweep)
    shifts = align([s.position_steps for s in sweeps], [s.luminance for s in sweeps])
    sigma = max(shifts.sigma, scatter_steps) * 2**0.5
    least = max(LEAST_STEPS, LEAST_SIGMAS * sigma)
    trips = tuple(
        # Focus found lower by the count means that the lens stands higher than is counted.
        Trip(kind, end, float(lost), bool(abs(lost) >= least))
        for (kind, end), lost in zip(plan, -np.diff(shifts.shift), strict=True)
    )
    return MissedSteps(trips, sigma, tuple(sweeps), shifts)


def _shift(before: Sweep, after: Sweep) -> float:
    return float(
        after.position_steps[after.luminance.argmax()] - before.position_steps[before.luminance.argmax()]
    )

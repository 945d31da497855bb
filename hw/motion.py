"""The planner: the motion profile that every axis follows, and the times of a motor's steps along it.

A profile is made of stretches of constant acceleration. A motor stands on the whole step nearest to its
profile: it steps where the profile crosses half steps. Profiles come to rest, and turn, on whole steps only,
so that a whole step lies between any two crossings, and no two pulses are ever closer together than at full
speed.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw.step_driver import Pulses

__all__ = ["Profile", "Segment", "braking_steps", "nearest_whole", "plan_move", "plan_path", "pulses_between"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of constant acceleration: start time (s), position (steps), speed and acceleration."""

    start_s: float
    position: float
    speed: float
    acceleration: float

    def position_at(self, t: float) -> float:
        """Position in steps at time `t` in seconds."""
        dt = t - self.start_s
        return self.position + self.speed * dt + 0.5 * self.acceleration * dt * dt

    def speed_at(self, t: float) -> float:
        """Speed in steps/s at time `t` in seconds."""
        return self.speed + self.acceleration * (t - self.start_s)

    @property
    def direction(self) -> float:
        """1 upwards, -1 downwards; a stretch never turns within itself."""
        return math.copysign(1.0, self.speed or self.acceleration)

    def time_to(self, position: float) -> float:
        """Seconds from the start to the passage of a position ahead, in steps."""
        # Rounding may put a position a hair behind, or, where the stretch ends at rest, out of reach.
        way = max(0.0, self.direction * (position - self.position))
        speed = abs(self.speed)
        root = math.sqrt(max(0.0, speed * speed + 2 * self.direction * self.acceleration * way))
        return 2 * way / (speed + root) if way > 0 and speed + root > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """A move as segments of constant acceleration, ending at rest at `target` at `end_s`."""

    segments: tuple[Segment, ...]
    target: float
    end_s: float

    def _segment(self, t: float) -> Segment:
        current = self.segments[0]
        for segment in self.segments:
            if segment.start_s > t:
                break
            current = segment
        return current

    def position_at(self, t: float) -> float:
        """Position in steps at time `t` in seconds; at rest before the start and after the end."""
        if not self.segments or t >= self.end_s:
            return self.target
        return self._segment(max(t, self.segments[0].start_s)).position_at(max(t, self.segments[0].start_s))

    def speed_at(self, t: float) -> float:
        """Speed in steps/s at time `t` in seconds."""
        if not self.segments or t >= self.end_s or t < self.segments[0].start_s:
            return 0.0
        return self._segment(t).speed_at(t)

    def delayed(self, from_s: float, late_s: float) -> "Profile":
        """Return the rest of this profile after a standstill of `late_s` at `from_s`: all of it comes later.

        The speed goes on as it was, for the intervals between the steps are to be kept.
        """
        if not self.segments or from_s >= self.end_s:
            return self
        later = [replace(s, start_s=s.start_s + late_s) for s in self.segments if s.start_s > from_s]
        current = self._segment(from_s)
        stands = Segment(from_s, self.position_at(from_s), 0.0, 0.0)
        if current.start_s <= from_s:
            goes_on = Segment(
                from_s + late_s, stands.position, current.speed_at(from_s), current.acceleration
            )
            later.insert(0, goes_on)
        return Profile((stands, *later), self.target, self.end_s + late_s)


def plan_move(
    start_s: float, position: float, speed: float, target: float, max_speed: float, acceleration: float
) -> Profile:
    """Plan the fastest trapezoidal move to rest at `target`, from any position and speed.

    A lens that runs towards the target keeps its speed; one that runs away from it, or cannot stop before
    it, decelerates to rest first and then turns.

    Parameters
    ----------
    start_s : time at the start in seconds
    position, speed : steps and steps/s at the start
    target : steps
    max_speed, acceleration : steps/s and steps/s^2, both above zero

    Returns
    -------
    Profile
    """
    segments: list[Segment] = []
    t, x, v = start_s, position, speed
    direction = math.copysign(1.0, target - x)
    stopping = v * v / (2 * acceleration)
    if v != 0.0 and (v * direction < 0 or stopping > abs(target - x) + 1e-9):
        brake = -math.copysign(acceleration, v)
        segments.append(Segment(t, x, v, brake))
        t += abs(v) / acceleration
        x += math.copysign(stopping, v)
        v = 0.0
        direction = math.copysign(1.0, target - x)
    distance = abs(target - x)
    if distance > 0:
        v0 = min(abs(v), max_speed)
        peak = min(max_speed, math.sqrt(acceleration * distance + v0 * v0 / 2))
        up = (peak - v0) / acceleration
        down = peak / acceleration
        cruise = max(0.0, distance - (peak + v0) / 2 * up - peak / 2 * down) / peak
        for duration, entry, accel in (
            (up, v0, acceleration),
            (cruise, peak, 0.0),
            (down, peak, -acceleration),
        ):
            if duration > 0:
                segments.append(Segment(t, x, direction * entry, direction * accel))
                x = segments[-1].position_at(t + duration)
                t += duration
    return Profile(tuple(segments), target, t)


def plan_path(
    start_s: float,
    position: float,
    speed: float,
    waypoints: Sequence[float],
    max_speed: float,
    acceleration: float,
) -> Profile:
    """Plan moves from one position of rest to the next, as one profile.

    Parameters
    ----------
    start_s, position, speed : as `plan_move`
    waypoints : steps, one or more; the last one is the target
    max_speed, acceleration : as `plan_move`
    """
    segments: list[Segment] = []
    t, x, v = start_s, position, speed
    for waypoint in waypoints:
        leg = plan_move(t, x, v, waypoint, max_speed, acceleration)
        segments += leg.segments
        t, x, v = leg.end_s, waypoint, 0.0
    return Profile(tuple(segments), x, t)


def braking_steps(speed: float, acceleration: float) -> float:
    """Signed way from a speed in steps/s to a stop, in steps."""
    return speed * abs(speed) / (2 * acceleration)


def nearest_whole(steps: float) -> int:
    """Return the nearest whole step, the upper one of two."""
    return math.floor(steps + 0.5)


def pulses_between(profile: Profile, motor: int, start_s: float, end_s: float) -> Iterator[Pulses]:
    """Yield the steps of a motor along a profile in the interval (`start_s`, `end_s`].

    Parameters
    ----------
    profile : in steps by seconds
    motor : the whole step that the motor stands on at `start_s`
    start_s, end_s : seconds

    Yields
    ------
    Pulses
        One for each direction, in the order of time; `forward` is up.
    """
    if not profile.segments:
        return
    ends = [*(segment.start_s for segment in profile.segments[1:]), profile.end_s]
    run: list[float] = []
    upwards = True
    for segment, until in zip(profile.segments, ends, strict=True):
        begin, end = max(start_s, segment.start_s), min(end_s, until)
        if begin >= end:
            continue
        # The last stretch ends on the target itself, whatever rounding has done.
        position = profile.target if end >= profile.end_s else segment.position_at(end)
        reached = nearest_whole(position)
        up = segment.direction > 0
        if reached == motor or (reached > motor) != up:
            continue
        if run and up != upwards:
            yield Pulses(upwards, np.array(run))
            run = []
        upwards = up
        sign = 1 if up else -1
        for step in range(motor, reached, sign):
            due = segment.start_s + segment.time_to(step + 0.5 * sign)
            # Rounding must not move a step out of its interval.
            run.append(min(max(due, begin), end))
        motor = reached
    if run:
        yield Pulses(upwards, np.array(run))

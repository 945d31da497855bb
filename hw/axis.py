"""The focus axis's seam, and the motion profile that every axis follows."""

import math
from dataclasses import dataclass
from typing import Protocol

__all__ = ["FocusAxis", "Profile", "plan_move"]


class FocusAxis(Protocol):
    """The lens on its screw. Positions are lens positions in motor steps, 0 at home.

    `move_to` returns at once and may be called again in mid-move. An axis refuses to move unhomed or past
    a limit, and a fault latches until the axis is closed.
    """

    @property
    def um_per_step(self) -> float:
        """Lens travel per motor step in um."""

    @property
    def limits_steps(self) -> tuple[float, float]:
        """Lowest and highest lens position allowed, both inclusive, in steps."""

    @property
    def position_steps(self) -> float:
        """Lens position now, in steps."""

    @property
    def target_steps(self) -> float:
        """Where the lens is or will come to rest, in steps."""

    @property
    def moving(self) -> bool:
        """Whether the lens is moving or settling now."""

    @property
    def homed(self) -> bool:
        """Whether positions can be trusted."""

    @property
    def fault(self) -> str | None:
        """Cause and next step of a latched fault, or None."""

    def home(self) -> None:
        """Find or confirm position 0."""

    def move_to(self, steps: float) -> None:
        """Start moving to a lens position, replacing the move in progress.

        Raises
        ------
        AxisFault
            Unhomed, past a limit, or after a latched fault.
        """

    def position_at(self, t: float) -> float:
        """Lens position in steps at time `t` in seconds, from the history or the profile in progress."""

    def moving_during(self, start_s: float, end_s: float) -> bool:
        """Whether the lens moved or settled at some time in an interval of the rig's clock."""

    def stop(self) -> None:
        """Decelerate to a stop; the position stays known."""

    def close(self) -> None:
        """Stop and release the driver; closing twice is fine."""


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

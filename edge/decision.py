"""What the loop tells the axis to do, and why."""

from dataclasses import dataclass
from typing import Literal, Self

from hw.axis import FocusAxis

__all__ = ["Action", "AxisReading", "Decision", "State"]

State = Literal["idle", "ready", "locking", "locked", "lost", "searching", "fault"]
Action = Literal["move", "hold", "wait", "search", "fault"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One frame's decision with its reason.

    Attributes
    ----------
    action : `move` and `search` start a move, `hold` needs none, `wait` leaves the move in progress or
        waits for a frame, `fault` ends the run
    target_steps : lens position to move to; None unless the action starts a move
    reason : a few words for a person
    state : of the whole loop. Only `locked` says that the subject is in focus
    """

    action: Action
    target_steps: float | None
    reason: str
    state: State


@dataclass(frozen=True, slots=True)
class AxisReading:
    """What the axis said when a decision was due; positions in steps."""

    position_steps: float
    target_steps: float
    moving: bool
    limits_steps: tuple[float, float]
    fault: str | None = None

    @classmethod
    def of(cls, axis: FocusAxis) -> Self:
        """Read an axis."""
        return cls(axis.position_steps, axis.target_steps, axis.moving, axis.limits_steps, axis.fault)

    def clamp(self, steps: float) -> float:
        """Return the nearest lens position within the limits."""
        low, high = self.limits_steps
        return min(max(steps, low), high)

"""Where a motor and its lens were, are and will be: the moves of an axis, by time."""

import math
from collections import deque
from dataclasses import dataclass

from hw.motion import Profile

__all__ = ["MoveHistory"]

KEPT = 1000


@dataclass(frozen=True, slots=True)
class _Move:
    """A profile that holds from `start_s` on, and where the lens was then, in steps."""

    start_s: float
    profile: Profile
    lens: float


class MoveHistory:
    """The last moves of a motor, and of a lens that follows it with lost motion.

    Pushed up, the lens sits at the motor's position; pushed down, `backlash_steps` above it. Times are
    seconds on the rig's clock; a move may be noted before its time comes.

    Parameters
    ----------
    motor : where the motor rests at the beginning, steps
    settle_s : time after a move until the lens stands still
    backlash_steps : lost motion taken up at each reversal
    lens : where the lens rests at the beginning; at the motor's position when absent
    """

    def __init__(
        self, motor: float, settle_s: float, backlash_steps: float = 0.0, lens: float | None = None
    ) -> None:
        self._settle_s = settle_s
        self._backlash = backlash_steps
        rest = Profile((), motor, -math.inf)
        self._moves = deque([_Move(-math.inf, rest, motor if lens is None else lens)], maxlen=KEPT)

    @property
    def profile(self) -> Profile:
        """The newest profile of the motor."""
        return self._moves[-1].profile

    @property
    def still_s(self) -> float:
        """When the newest move has come to rest and settled."""
        return self.profile.end_s + self._settle_s

    @property
    def rest_position(self) -> float:
        """Where the lens will be when the newest move is over, steps."""
        return self.position_at(max(self.profile.end_s, self._moves[-1].start_s))

    def begin(self, start_s: float, profile: Profile) -> None:
        """Note a move that replaces, from `start_s` on, what was planned before."""
        self._moves.append(_Move(start_s, profile, self.position_at(start_s)))

    def delay(self, from_s: float, late_s: float) -> None:
        """Note that all that was planned after `from_s` comes later."""
        if late_s > 0:
            from_s = max(from_s, self._moves[-1].start_s)
            self.begin(from_s, self.profile.delayed(from_s, late_s))

    def rest(self, at_s: float, motor: float) -> None:
        """Note that the motor rests at a position in steps since `at_s`, whatever was planned."""
        at_s = max(at_s, self._moves[-1].start_s)
        lens = min(max(self.position_at(at_s), motor), motor + self._backlash)
        self._moves.append(_Move(at_s, Profile((), motor, at_s), lens))

    def recount(self, at_s: float, motor: float, lens: float) -> None:
        """Count from other positions in steps from `at_s` on; nothing moves."""
        at_s = max(at_s, self._moves[-1].start_s)
        self._moves.append(_Move(at_s, Profile((), motor, -math.inf), lens))

    def motor_at(self, t: float) -> float:
        """Position of the motor's profile at time `t`, steps."""
        return self._move_at(t).profile.position_at(t)

    def speed_at(self, t: float) -> float:
        """Speed of the motor's profile at time `t`, steps/s."""
        return self._move_at(t).profile.speed_at(t)

    def position_at(self, t: float) -> float:
        """Position of the lens at time `t`, steps."""
        move = self._move_at(t)
        motor = move.profile.position_at(t)
        if self._backlash == 0.0:
            return motor
        lens = move.lens
        # Within a segment the motor keeps its direction, so its ends are all that can push the lens.
        for segment in move.profile.segments:
            if segment.start_s > t:
                break
            lens = min(max(lens, segment.position), segment.position + self._backlash)
        return min(max(lens, motor), motor + self._backlash)

    def moving_during(self, start_s: float, end_s: float, settle_s: float | None = None) -> bool:
        """Whether the lens moved or settled at some time from `start_s` until before `end_s`.

        `settle_s` stands for another settle time than this history's.
        """
        settle_s = self._settle_s if settle_s is None else settle_s
        replaced_s = math.inf
        for move in reversed(self._moves):
            still_s = min(move.profile.end_s + settle_s, replaced_s)
            if (move.start_s < end_s or move.start_s <= start_s) and still_s > start_s:
                return True
            if move.start_s <= start_s:
                return False
            replaced_s = move.start_s
        return False

    def _move_at(self, t: float) -> _Move:
        for move in reversed(self._moves):
            if move.start_s <= t:
                return move
        return self._moves[0]

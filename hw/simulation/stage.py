"""The simulated focus axis: what it believes, and where the lens really is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hw.axis import Profile, plan_move
from hw.clock import Clock
from hw.config import AxisConfig
from hw.errors import AxisFault
from hw.simulation.config import SimulatedAxisConfig, draw

__all__ = ["SimulatedAxis"]


@dataclass(frozen=True, slots=True)
class _Move:
    """A planned move of the motor, and the lens's place on its screw when it began.

    Attributes
    ----------
    start_s : when it began, s
    profile : of the motor, in steps as the axis counts them
    motor : the profile's position when it began
    believed, true : lens position when it began, as the axis believes and as it was
    missed : how far the motor's true place was from the profile's when it began, steps
    missed_share : share of this move's steps that the motor misses
    """

    start_s: float
    profile: Profile
    motor: float
    believed: float
    true: float
    missed: float
    missed_share: float

    def slip(self, motor: float) -> float:
        """How far the motor's true place is from where the profile has it, in steps."""
        return self.missed - self.missed_share * (motor - self.motor)


class SimulatedAxis:
    """A lens on a screw with play, turned by a stepper motor, in virtual time.

    The motor follows trapezoidal profiles. The lens follows the motor with lost motion: pushed up, it sits at
    the motor's position; pushed down, `backlash` above it. The axis believes in the rig file's backlash and
    in a motor that never misses a step; the true values are the simulation's. Missed steps build up evenly
    along a move.

    Parameters
    ----------
    config : the rig file's `axis`, which the axis believes
    truth : its `simulation.axis`
    clock : the rig's
    rng : what is random is drawn from it, now and at every move that misses steps
    """

    def __init__(
        self, config: AxisConfig, truth: SimulatedAxisConfig, clock: Clock, rng: np.random.Generator
    ) -> None:
        self._config = config
        self._clock = clock
        self._rng = rng
        self._true_backlash = draw(rng, truth.backlash_steps)
        self._missed_share = (
            draw(rng, truth.missed_share)
            if config.max_speed_steps_s > draw(rng, truth.safe_speed_steps_s)
            else 0.0
        )
        rest = Profile((), 0.0, clock.now())
        self._moves = [_Move(clock.now(), rest, 0.0, 0.0, 0.0, 0.0, 0.0)]
        self._target = 0.0
        self._homed = False
        self._fault: str | None = None

    @property
    def um_per_step(self) -> float:
        """Lens travel per motor step in um."""
        return self._config.um_per_step

    @property
    def limits_steps(self) -> tuple[float, float]:
        """Lowest and highest lens position allowed."""
        return self._config.min_steps, self._config.max_steps

    @property
    def position_steps(self) -> float:
        """Lens position now, as the axis believes."""
        return self.position_at(self._clock.now())

    @property
    def target_steps(self) -> float:
        """Where the lens is or will come to rest."""
        return self._target

    @property
    def moving(self) -> bool:
        """Whether the lens is moving or settling now."""
        now = self._clock.now()
        return self.moving_during(now, now)

    @property
    def homed(self) -> bool:
        """Whether positions can be trusted."""
        return self._homed

    @property
    def fault(self) -> str | None:
        """Cause and next step of a latched fault."""
        return self._fault

    def home(self) -> None:
        """Call the present position 0; a simulated lens starts at home."""
        self._homed = True

    def move_to(self, steps: float) -> None:
        """Start moving to a lens position, replacing the move in progress.

        Raises
        ------
        AxisFault
            Unhomed, past a limit, or closed.
        """
        if self._fault:
            raise AxisFault(self._fault)
        if not self._homed:
            raise AxisFault("focus axis: not homed, so positions mean nothing; home it first")
        low, high = self.limits_steps
        if not low <= steps <= high:
            raise AxisFault(
                f"focus axis: {steps:.0f} steps is outside its limits {low:.0f} to {high:.0f}; stay inside"
            )
        now = self._clock.now()
        motor = self._motor_at(now)
        believed = self.position_at(now)
        # A lens too fast to stop in time passes its target and comes back to it from the other side.
        play = self._config.backlash_steps
        turn = motor + self._braking_steps(now)
        passed = min(max(believed, turn), turn + play)
        if steps == passed:
            self._begin(now, turn)
        else:
            self._begin(now, steps if steps > passed else steps - play)
        self._target = steps

    def stop(self) -> None:
        """Decelerate to a stop; the position stays known."""
        now = self._clock.now()
        if self._moves[-1].profile.speed_at(now) == 0:
            return
        self._begin(now, self._motor_at(now) + self._braking_steps(now))
        self._target = self.position_at(self._moves[-1].profile.end_s)

    def close(self) -> None:
        """Stop, and refuse further moves."""
        self.stop()
        self._fault = "focus axis: closed; open the rig again"

    def position_at(self, t: float) -> float:
        """Lens position in steps at time `t`, as the axis believes."""
        move = self._move_at(t)
        return _follow(move.profile, t, move.believed, self._config.backlash_steps, _no_slip)

    def true_position_at(self, t: float) -> float:
        """Lens position in steps at time `t`, as it really is."""
        move = self._move_at(t)
        return _follow(move.profile, t, move.true, self._true_backlash, move.slip)

    def moving_during(self, start_s: float, end_s: float) -> bool:
        """Whether the lens moved or settled at some time in an interval."""
        for number in range(len(self._moves) - 1, -1, -1):
            move = self._moves[number]
            if move.profile.segments and move.start_s <= end_s:
                until = move.profile.end_s + self._config.settle_s
                if number + 1 < len(self._moves):
                    until = min(until, self._moves[number + 1].start_s + self._config.settle_s)
                return until > start_s
        return False

    def _begin(self, now: float, motor_target: float) -> None:
        believed, true = self.position_at(now), self.true_position_at(now)
        motor, speed = self._motor_at(now), self._moves[-1].profile.speed_at(now)
        missed = self._moves[-1].slip(motor)
        share = self._missed_share * self._rng.uniform(0, 2) if self._missed_share else 0.0
        profile = plan_move(
            now,
            motor,
            speed,
            motor_target,
            self._config.max_speed_steps_s,
            self._config.acceleration_steps_s2,
        )
        self._moves.append(_Move(now, profile, motor, believed, true, missed, share))
        del self._moves[:-HISTORY]

    def _braking_steps(self, now: float) -> float:
        """Signed way of the motor from its present speed to a stop."""
        speed = self._moves[-1].profile.speed_at(now)
        return speed * abs(speed) / (2 * self._config.acceleration_steps_s2)

    def _motor_at(self, t: float) -> float:
        return self._move_at(t).profile.position_at(t)

    def _move_at(self, t: float) -> _Move:
        for move in reversed(self._moves):
            if move.start_s <= t:
                return move
        return self._moves[0]


HISTORY = 256


def _no_slip(motor: float) -> float:
    return 0.0


def _follow(
    profile: Profile, t: float, lens: float, backlash: float, slip: Callable[[float], float]
) -> float:
    """Lens position after the motor has followed a profile until time `t`, with lost motion and slip."""
    # Within a segment the motor keeps its direction, so its ends are all that can push the lens.
    turns = [segment.position for segment in profile.segments if segment.start_s <= t]
    for counted in (*turns, profile.position_at(t)):
        motor = counted + slip(counted)
        lens = min(max(lens, motor), motor + backlash)
    return lens

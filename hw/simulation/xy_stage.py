"""The simulated XY stage: it is where it believes to be, in virtual time."""

import math

from hw.clock import Clock
from hw.errors import AxisFault
from hw.motion import plan_move
from hw.move_history import MoveHistory
from hw.stage import StageConfig

__all__ = ["SimulatedXYStage"]


class SimulatedXYStage:
    """An XY stage without play, each of its two axes on a trapezoidal profile of its own.

    Parameters
    ----------
    config : the rig file's `stage`
    clock : the rig's
    start_um : where it stands at the beginning, (x, y) in um
    """

    def __init__(self, config: StageConfig, clock: Clock, start_um: tuple[float, float] = (0.0, 0.0)) -> None:
        self._config = config
        self._clock = clock
        self._axes = tuple(MoveHistory(place, config.settle_s) for place in start_um)

    @property
    def limits_um(self) -> tuple[float, float, float, float]:
        """Lowest x and y, highest x and y allowed, all inclusive, in um."""
        c = self._config
        return c.min_x_um, c.min_y_um, c.max_x_um, c.max_y_um

    @property
    def position_um(self) -> tuple[float, float]:
        """Place under the middle of the field now, (x, y) in um."""
        return self.position_at(self._clock.now())

    @property
    def moving(self) -> bool:
        """Whether the stage is moving or settling now."""
        now = self._clock.now()
        return any(axis.still_s > now for axis in self._axes)

    def position_at(self, t: float) -> tuple[float, float]:
        """Place under the middle of the field at time `t` in seconds, (x, y) in um."""
        x, y = (axis.position_at(t) for axis in self._axes)
        return x, y

    def move_to(self, x_um: float, y_um: float) -> None:
        """Start moving to a place, replacing the move in progress.

        Raises
        ------
        AxisFault
            Past a limit, or a place that is not finite.
        """
        left, top, right, bottom = self.limits_um
        if not (math.isfinite(x_um) and math.isfinite(y_um)):
            raise AxisFault(f"stage: ({x_um:g}, {y_um:g}) um is no place; give two numbers")
        if not (left <= x_um <= right and top <= y_um <= bottom):
            raise AxisFault(
                f"stage: ({x_um:g}, {y_um:g}) um is past its limits, x {left:g} to {right:g} and "
                f"y {top:g} to {bottom:g} um; choose a place within"
            )
        for axis, target in zip(self._axes, (x_um, y_um), strict=True):
            self._send(axis, target)

    def stop(self) -> None:
        """Decelerate to a stop; the position stays known."""
        now = self._clock.now()
        for axis in self._axes:
            speed = axis.speed_at(now)
            braking = math.copysign(speed * speed / (2 * self._config.acceleration_um_s2), speed)
            self._send(axis, axis.position_at(now) + braking)

    def close(self) -> None:
        """Stop; closing twice is fine."""
        self.stop()

    def _send(self, axis: MoveHistory, target: float) -> None:
        now, c = self._clock.now(), self._config
        position, speed = axis.position_at(now), axis.speed_at(now)
        axis.begin(now, plan_move(now, position, speed, target, c.max_speed_um_s, c.acceleration_um_s2))

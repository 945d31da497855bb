"""Finding the end stop: fast, back, and slowly again."""

from typing import Protocol

from hw.drive import HomingConfig
from hw.errors import AxisFault

__all__ = ["Seeker", "find_end_stop"]


class Seeker(Protocol):
    """A motor that can turn until its end stop changes."""

    @property
    def pressed(self) -> bool | None:
        """Whether the end stop is pressed; None where there is none."""

    def seek(self, steps: int, speed: float, *, pressed: bool | None) -> int | None:
        """Turn by so many steps, or until the end stop is `pressed`; return the step of that, or None."""


def find_end_stop(motor: Seeker, outwards: int, travel_steps: int, homing: HomingConfig) -> int:
    """Find the end stop, and leave the motor on it.

    Parameters
    ----------
    motor : at rest
    outwards : direction of the end stop, -1 or 1
    travel_steps : further than this it cannot be
    homing : speeds and way back

    Returns
    -------
    int
        The motor's step at which the switch was pressed in the slow approach.

    Raises
    ------
    AxisFault
        There is no switch, it is never pressed, or it is not released; with cause and next step.
    """
    if motor.pressed is None:
        raise AxisFault(
            "focus axis: homing: the driver has no end stop; give it a line, or set "
            "axis.drive.homing.end_stop to none"
        )
    retract = round(homing.retract_steps)
    if motor.pressed and motor.seek(-outwards * retract, homing.slow_steps_s, pressed=False) is None:
        raise AxisFault(
            f"focus axis: homing: the end stop is pressed and is not released within {retract} steps; check "
            "that the switch is free and wired the right way (open or closed), and axis.invert_direction"
        )
    if motor.seek(outwards * travel_steps, homing.fast_steps_s, pressed=True) is None:
        raise AxisFault(
            f"focus axis: homing: the end stop was not reached within {travel_steps} steps, more than the "
            "whole travel; check the switch's wiring, axis.invert_direction and that the lens moves"
        )
    motor.seek(-outwards * retract, homing.fast_steps_s, pressed=None)
    if motor.pressed:
        raise AxisFault(
            f"focus axis: homing: the end stop is still pressed {retract} steps after it was reached; check "
            "that the switch springs back, or make axis.drive.homing.retract_steps larger"
        )
    at = motor.seek(outwards * 3 * retract, homing.slow_steps_s, pressed=True)
    if at is None:
        raise AxisFault(
            "focus axis: homing: the end stop was reached fast, but not again slowly; check that it sits "
            "firmly"
        )
    return at

"""The `axis.drive` section of a rig file: how the focus motor is driven, homed and remembered."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hw.section import Section

__all__ = ["DriveConfig", "HomingConfig", "check_end_stop"]

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class HomingConfig(Section):
    """The end stop, and how it is looked for: fast, back, and slowly again."""

    end_stop: Literal["none", "low", "high"] = Field(
        "none", description="At which end of the travel the switch is."
    )
    end_stop_steps: float | None = Field(
        None,
        description="Lens position at which the switch presses, steps; outside of the axis's limits, so that "
        "no move presses it.",
    )
    fast_steps_s: Positive = Field(200.0, description="Speed of the first approach, steps/s.")
    slow_steps_s: Positive = Field(50.0, description="Speed of the approach that counts, steps/s.")
    retract_steps: Positive = Field(
        40.0, description="Way back between the two, steps; the switch must be free again by then."
    )


class DriveConfig(Section):
    """Motor driver and its timing. The defaults suit A4988, DRV8825 and TMC2209."""

    pulse_s: Positive = Field(
        4e-6, description="Width of a STEP pulse, and shortest pause between two, s; DRV8825: 1.9e-6."
    )
    dir_setup_s: NonNegative = Field(
        2e-6, description="Time from a change of DIR to the next STEP, s; DRV8825: 0.65e-6."
    )
    wake_s: NonNegative = Field(
        0.002, description="Time from switching the coils' current on to the first STEP, s."
    )
    idle_off_s: NonNegative | None = Field(
        None, description="Time at rest after which the coils' current goes off, s; never when absent."
    )
    holds_unpowered: bool = Field(
        True,
        description="Whether screw and load stay in place without current. If so, the position stays known "
        "when the current goes off; if not, it is unknown from then on and the axis must be homed again.",
    )
    approach: Literal["shortest", "upward"] = Field(
        "shortest",
        description="How a move ends. 'shortest' reverses with the backlash taken up, trusting "
        "`axis.backlash_steps`; 'upward' always ends upwards, so that only its constancy matters, and a move "
        "down takes longer.",
    )
    run_up_steps: Positive = Field(
        4.0, description="Way of that last part upwards, on top of the backlash, steps."
    )
    homing: HomingConfig = HomingConfig()
    position_file: Path | None = Field(
        None, description="Where the position is kept while the program does not run; not kept when absent."
    )
    keep_after_s: NonNegative = Field(
        0.5, description="Time at rest after which the position is written there, s."
    )


def check_end_stop(homing: HomingConfig, min_steps: float, max_steps: float) -> None:
    """Check an end stop against the limits of its axis.

    Raises
    ------
    ValueError
        The switch has no position, or one that moves within the limits would press.
    """
    if homing.end_stop == "none":
        return
    limit, past = (
        (min_steps, "below min_steps") if homing.end_stop == "low" else (max_steps, "above max_steps")
    )
    outwards = -1 if homing.end_stop == "low" else 1
    if homing.end_stop_steps is None:
        raise ValueError("drive.homing.end_stop_steps is missing: the lens position at which it presses")
    if (homing.end_stop_steps - limit) * outwards <= 0:
        raise ValueError(
            f"drive.homing.end_stop_steps {homing.end_stop_steps:g} must be {past} {limit:g}, so that no "
            "move presses the switch"
        )

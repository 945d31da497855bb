"""`wormfocus jog`: an operator's small moves of the lens."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import finite_or_none

if TYPE_CHECKING:
    from hw.axis import MotorAxis
    from hw.clock import Clock
    from hw.config import RigConfig

__all__ = ["jog_once", "position_line", "rest"]

POLL_S = 0.01


@app.command("jog")
def jog(
    rig: Annotated[str, typer.Option(help="Rig file, or the name of a shipped rig.")],
    by: Annotated[int | None, typer.Option(help="Move by so many steps, signed.")] = None,
    by_um: Annotated[
        float | None, typer.Option(callback=finite_or_none, help="Move by so many um, signed.")
    ] = None,
    to: Annotated[
        float | None, typer.Option(callback=finite_or_none, help="Move to a lens position, steps.")
    ] = None,
    home: Annotated[bool, typer.Option("--home", help="Home the axis; with an end stop, it moves.")] = False,
    confirm_position: Annotated[
        float | None,
        typer.Option(callback=finite_or_none, help="Say where the lens is now, steps; nothing moves."),
    ] = None,
    unhomed: Annotated[
        bool, typer.Option("--unhomed", help="Move also when the position is not known, slowly.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of a simulated rig.")] = 0,
) -> None:
    """Move the lens by hand: one move, or, without one, by keys in the terminal."""
    from hw.config import load_rig
    from hw.errors import ConfigError
    from hw.rig import open_axis
    from wormfocus.jog_keys import Panel, keys_of_terminal, tell

    config = load_rig(rig)
    asked = {"--by": by, "--by-um": by_um, "--to": to, "--confirm-position": confirm_position}
    given = [name for name, value in asked.items() if value is not None] + ["--home"] * home
    if len(given) > 1:
        raise ConfigError(f"jog: {' and '.join(given)} at once; give one of them")
    if not given and not sys.stdin.isatty():
        raise ConfigError(
            "jog: no terminal to take keys from; give --by, --by-um, --to, --home or --confirm-position"
        )
    with open_axis(config, seed=seed) as part:
        title = " ".join(filter(None, (part.notice, config.name)))
        # Where nothing has to move for it, the position is taken up.
        if not part.axis.homed and part.axis.knows_position:
            part.axis.home()
        if given:
            print(f"{title}: {position_line(part.axis)}")
            jog_once(
                part.axis, part.clock, by=by, by_um=by_um, to=to, home=home, confirm=confirm_position,
                unhomed=unhomed,
            )  # fmt: skip
            print(f"{title}: {position_line(part.axis)}")
            print(f"{title}: {_afterwards(config, part.axis)}")
        else:
            with keys_of_terminal() as read_keys:
                Panel(title, part.axis, part.clock, unhomed=unhomed).run(read_keys)
            tell(f"{title}: {_afterwards(config, part.axis)}\n")


def jog_once(
    axis: "MotorAxis",
    clock: "Clock",
    *,
    by: int | None = None,
    by_um: float | None = None,
    to: float | None = None,
    home: bool = False,
    confirm: float | None = None,
    unhomed: bool = False,
) -> None:
    """Do one of an operator's moves and wait until the lens stands still; an interruption stops the lens.

    Raises
    ------
    ConfigError
        It would end outside of the limits.
    AxisFault
        The axis refuses, or fails on the way.
    """
    try:
        if home:
            axis.home()
        elif confirm is not None:
            _refuse_outside(axis, confirm)
            axis.confirm_position(confirm)
        elif to is not None:
            _refuse_outside(axis, to)
            axis.move_to(to)
        else:
            steps = by if by is not None else round((by_um or 0.0) / axis.um_per_step)
            if axis.homed:
                _refuse_outside(axis, axis.target_steps + steps)
            axis.jog(steps, unhomed=unhomed)
        rest(axis, clock)
    except KeyboardInterrupt:
        axis.stop()
        rest(axis, clock)
        raise


def rest(axis: "MotorAxis", clock: "Clock") -> None:
    """Wait until the lens stands still.

    Raises
    ------
    AxisFault
        A fault has latched.
    """
    from hw.errors import AxisFault

    while axis.moving:
        clock.sleep(POLL_S)
    if axis.fault is not None:
        raise AxisFault(axis.fault)


def position_line(axis: "MotorAxis") -> str:
    """Say in one line where the lens is, how far it may go, and whether that can be trusted."""
    steps, (low, high) = axis.position_steps, axis.limits_steps
    trust = "trusted" if axis.homed else "NOT TRUSTED"
    return (
        f"{steps:+.0f} steps = {steps * axis.um_per_step:+.1f} um, {trust}, limits {low:+.0f} to {high:+.0f}"
    )


def _refuse_outside(axis: "MotorAxis", steps: float) -> None:
    from hw.errors import ConfigError

    low, high = axis.limits_steps
    if not low <= steps <= high:
        raise ConfigError(
            f"jog: {steps:.0f} steps is outside the axis's limits {low:.0f} to {high:.0f}; stay inside"
        )


def _afterwards(config: "RigConfig", axis: "MotorAxis") -> str:
    drive = config.axis.drive
    if not axis.homed:
        return f"current off; the position is not known: {axis.doubt or 'nobody has confirmed it'}"
    if axis.powered and not drive.holds_unpowered:
        return "current off; the screw does not hold the lens without it, so home or confirm it again"
    kept = "is not kept (no axis.drive.position_file)"
    if drive.position_file is not None:
        kept = f"is kept in {drive.position_file}"
    return f"current off; the position {kept}"

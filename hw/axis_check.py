"""Whether a focus axis is ready: its position, its end stop, its travel; and, if asked for, a small move."""

from hw.axis import MotorAxis
from hw.check import Check, Status
from hw.clock import Clock
from hw.config import AxisConfig
from hw.position_file import PositionKeeper

__all__ = ["check_axis", "check_kept_position", "check_move"]

POLL_S = 0.01


def check_axis(config: AxisConfig, axis: MotorAxis) -> list[Check]:
    """Look at an open axis; nothing moves.

    Parameters
    ----------
    config : the rig file's `axis`
    axis : on it
    """
    return [_check_position(config, axis), _check_end_stop(config, axis), _check_travel(config)]


def check_kept_position(config: AxisConfig) -> Check:
    """Look at the position file alone, where the axis itself cannot be opened."""
    drive = config.drive
    keeper = PositionKeeper(drive.position_file, config.um_per_step, drive.keep_after_s)
    if keeper.found is not None:
        seen = f"{keeper.found.lens_steps:+.0f} steps, trusted, kept in {drive.position_file}"
        return Check("position", Status.ok, seen)
    if drive.homing.end_stop != "none":
        return Check("position", Status.ok, "to be found at the end stop by homing")
    return _unknown(config, keeper.doubt or "nobody has said it")


def check_move(axis: MotorAxis, clock: Clock, steps: int) -> Check:
    """Move a little and back again.

    Parameters
    ----------
    axis, clock : of the rig
    steps : how far; the other way where a limit is nearer than that
    """
    name = "move"
    if not axis.homed and axis.knows_position:
        axis.home()
    if not axis.homed:
        return Check(name, Status.failed, "not tried: the position is not known", "wormfocus jog --home")
    start, (low, high) = axis.target_steps, axis.limits_steps
    ways = [way for way in (steps, -steps) if low <= start + way <= high]
    if not ways:
        return Check(name, Status.failed, f"not tried: {steps} steps leave the limits", "ask for fewer")
    begin_s = clock.now()
    for way in (ways[0], -ways[0]):
        axis.jog(way)
        while axis.moving:
            clock.sleep(POLL_S)
        if axis.fault is not None:
            seen, _, step = axis.fault.rpartition("; ")
            return Check(name, Status.failed, seen, step)
    seen = (
        f"{ways[0]:+d} steps and back in {clock.now() - begin_s:.2f} s, counted back at "
        f"{axis.position_steps:+.0f}; only an eye on the lens knows whether it moved"
    )
    back = abs(axis.position_steps - start) <= 0.5
    return Check(name, Status.ok if back else Status.failed, seen, "" if back else "home the axis")


def _check_position(config: AxisConfig, axis: MotorAxis) -> Check:
    name, kept = "position", config.drive.position_file
    where = "not kept across restarts" if kept is None else f"kept in {kept}"
    if axis.homed:
        steps = axis.position_steps
        low, high = axis.limits_steps
        seen = f"{steps:+.0f} steps = {steps * axis.um_per_step:+.1f} um, trusted, {where}"
        if not low <= steps <= high:
            return Check(name, Status.failed, f"{seen}; outside the limits", "wormfocus jog --to 0")
        return Check(name, Status.ok, seen)
    if config.drive.homing.end_stop != "none":
        doubt = f" ({axis.doubt})" if axis.doubt else ""
        return Check(name, Status.ok, f"to be found at the end stop by homing{doubt}")
    if axis.knows_position:
        return Check(name, Status.ok, f"known when a program starts, {where}")
    return _unknown(config, axis.doubt or "nobody has said it")


def _check_end_stop(config: AxisConfig, axis: MotorAxis) -> Check:
    name, homing = "end stop", config.drive.homing
    pressed = axis.end_stop
    if homing.end_stop == "none":
        if pressed is None:
            return Check(name, Status.ok, "none; an operator confirms the position")
        return Check(
            name,
            Status.warning,
            "wired, but axis.drive.homing.end_stop is none: nothing heeds it",
            "set axis.drive.homing.end_stop and end_stop_steps",
        )
    if pressed is None:
        return Check(
            name,
            Status.missing,
            f"axis.drive.homing expects one at the {homing.end_stop} end, the driver has none",
            "wire it and name it in gpio.end_stop",
        )
    seen = f"at the {homing.end_stop} end, {'pressed' if pressed else 'free'} now"
    if pressed and axis.homed:
        return Check(
            name,
            Status.failed,
            f"{seen}, where the position says it should be free",
            "check the switch and gpio.end_stop.active, then home the axis",
        )
    step = "press it by hand and look again: it must change"
    return Check(name, Status.warning if pressed else Status.ok, seen, step if pressed else "")


def _check_travel(config: AxisConfig) -> Check:
    travel = config.max_steps - config.min_steps
    seen = (
        f"{config.min_steps:+g} to {config.max_steps:+g} steps = {travel * config.um_per_step / 1000:g} mm, "
        f"at most {config.max_speed_steps_s:g} steps/s"
    )
    return Check("limits", Status.ok, seen)


def _unknown(config: AxisConfig, doubt: str) -> Check:
    step = "wormfocus jog --unhomed to a place you know, then wormfocus jog --confirm-position"
    if config.drive.position_file is None:
        step = f"name axis.drive.position_file in the rig file; {step}"
    return Check("position", Status.failed, f"not trusted: {doubt}", step)

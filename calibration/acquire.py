"""Record z-stacks on any rig."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.stack import ZStack
from hw.axis import FocusAxis
from hw.config import RigConfig
from hw.errors import AxisFault, CameraStalled, StackError
from hw.frame import Frame
from hw.rig import Rig

__all__ = [
    "acquire_stack",
    "end_of_move_s",
    "frames_from",
    "home_if_needed",
    "move_and_rest",
    "move_stage_and_rest",
    "plan_positions",
    "run_up_steps",
]

POLL_S = 0.002
"""How often the axis is asked whether it stands, s."""

MOVE_SLACK = 2.0
"""A move may take this many times as long as planned, and a second more, before it counts as failed."""


def plan_positions(
    config: RigConfig,
    centre_um: float | None = None,
    span_um: float | None = None,
    step_um: float | None = None,
    *,
    room: float = 0.0,
) -> NDArray[np.float64]:
    """Return the lens positions of a stack in steps, ascending, both ends inclusive.

    Parameters
    ----------
    config : the rig file
    centre_um : middle of the stack, um; the middle of the axis's travel when absent
    span_um : from the first to the last plane, um; by default `control.search_span_um`, as far as it fits
    step_um : distance between planes, um; a quarter of the depth of field when absent
    room : to be left to the axis's limits on either side, in distances between planes

    Raises
    ------
    StackError
        A number is not finite, or the range is empty or reaches past the axis's limits.
    """
    for option, value in (("--centre-um", centre_um), ("--span-um", span_um), ("--step-um", step_um)):
        if value is not None and not math.isfinite(value):
            raise StackError(f"{option} {value:g} is no place or length; give a number in um")
    scale, low, high = config.axis.um_per_step, config.axis.min_steps, config.axis.max_steps
    centre = (low + high) / 2 if centre_um is None else centre_um / scale
    # Room to take up the backlash before the first plane.
    low += run_up_steps(config)
    step = (config.optics.dof_um / 4 if step_um is None else step_um) / scale
    low, high = low + room * step, high - room * step
    fits = 2 * min(centre - low, high - centre)
    span = min(config.control.search_span_um / scale, fits) if span_um is None else span_um / scale
    if not (span > 0 and 0 < step <= span):
        raise StackError(
            f"a stack of {span * scale:g} um in steps of {step * scale:g} um has no planes; choose others"
        )
    if span > fits * (1 + 1e-9):
        raise StackError(
            f"a stack of {span * scale:g} um about {centre * scale:g} um reaches past the axis's limits "
            f"{low * scale:g} to {high * scale:g} um; choose a smaller --span-um or another --centre-um"
        )
    intervals = math.floor(span / step + 1e-9)
    return centre + step * (np.arange(intervals + 1, dtype=np.float64) - intervals / 2)


def acquire_stack(
    rig: Rig,
    positions_steps: Sequence[float] | NDArray[np.float64],
    *,
    specimen: str = "",
    settle_s: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> ZStack:
    """Record one frame at each lens position.

    Every position is approached from below, the first one after a run-up of twice the backlash, so that the
    play of the screw is always taken up the same way. A frame counts when its exposure began after the lens
    had settled, and its plane's position is where the frame says that the lens was. The axis is homed first
    if it was not.

    Parameters
    ----------
    rig : an open rig
    positions_steps : (Z,) lens positions, all different, in steps; they are visited in ascending order
    specimen : name of what is under the lens
    settle_s : measured time from the motor's last step until the image rests, s; the rig file's
        `axis.settle_s` is waited for in any case
    progress : called with the number of planes recorded and of all

    Returns
    -------
    ZStack
        Ascending; grey where the three channels of every frame are equal.

    Raises
    ------
    StackError
        No positions, two that are equal, or no room to take up the backlash below the lowest.
    AxisFault
        A position past the limits, a fault, or a lens that does not come to rest.
    CameraStalled
        No frame of a lens at rest arrives in time.
    """
    positions = np.sort(np.asarray(positions_steps, dtype=np.float64))
    if positions.size == 0 or (np.diff(positions) <= 0).any():
        raise StackError("a stack needs positions, all different; choose another range")
    run_up = run_up_steps(rig.config)
    if positions[0] - run_up < rig.axis.limits_steps[0]:
        raise StackError(
            f"no room to take up the backlash below {positions[0]:g} steps; begin {run_up:g} steps or more "
            f"above the lower limit of {rig.axis.limits_steps[0]:g}"
        )
    home_if_needed(rig)
    if run_up > 0 or rig.axis.position_steps > positions[0]:
        move_and_rest(rig, float(positions[0]) - run_up)
    frames = rig.camera.frames()
    extra_s = settle_s - rig.config.axis.settle_s
    lens: list[float] = []
    images: NDArray[np.uint8] | None = None
    for number, position in enumerate(positions, 1):
        move_and_rest(rig, float(position))
        rig.clock.sleep(extra_s)
        (frame,) = frames_from(rig, frames, rig.clock.now())
        # One array from the beginning: a stack of full frames is half a gigabyte, and a Pi has no second.
        if images is None:
            images = np.empty((len(positions), *frame.pixels.shape), np.uint8)
        images[number - 1] = frame.pixels
        lens.append(frame.lens_steps)
        if progress is not None:
            progress(number, len(positions))
    assert images is not None
    grey = all((plane == plane[..., :1]).all() for plane in images)
    scale = rig.axis.um_per_step
    return ZStack(
        np.ascontiguousarray(images[..., 0]) if grey else images,
        np.array(lens) * scale,
        rig.config.optics.um_per_px,
        specimen,
        {
            "rig": rig.config.name,
            "source": rig.notice or "hardware",
            "um_per_step": f"{scale:g}",
            "dof_um": f"{rig.config.optics.dof_um:g}",
            "na": f"{rig.config.optics.na:g}",
        }
        | ({"linear": "yes"} if rig.config.camera.linear else {}),
    )


def run_up_steps(config: RigConfig) -> float:
    """Return how far below its place the lens starts, so that the play is taken up on the way."""
    return 2 * config.axis.backlash_steps


def home_if_needed(rig: Rig) -> None:
    """Home the axis if it was not.

    Raises
    ------
    AxisFault
        It cannot be homed.
    """
    if not rig.axis.homed:
        rig.axis.home()
        _wait_for_rest(rig)


def move_and_rest(rig: Rig, steps: float) -> None:
    """Move the lens and wait, for a bounded time, until the axis says that it has settled.

    Raises
    ------
    AxisFault
        Past the limits, a fault, or a lens that does not come to rest.
    """
    rig.axis.move_to(steps)
    _wait_for_rest(rig)


def move_stage_and_rest(rig: Rig, x_um: float, y_um: float) -> None:
    """Move the stage and wait, for a bounded time, until it says that it stands still.

    Raises
    ------
    AxisFault
        No stage, a place past its limits, or a stage that does not come to rest.
    """
    stage, config = rig.stage, rig.config.stage
    if stage is None or config is None:
        raise AxisFault(f"rig '{rig.config.name}' has no stage; record where it stands, with --here")
    x, y = stage.position_um
    stage.move_to(x_um, y_um)
    planned_s = (
        max(abs(x_um - x), abs(y_um - y)) / config.max_speed_um_s
        + 2 * config.max_speed_um_s / config.acceleration_um_s2
        + config.settle_s
    )
    end_s = rig.clock.now() + MOVE_SLACK * planned_s + 1.0
    while stage.moving:
        if rig.clock.now() > end_s:
            raise AxisFault(
                f"the stage did not come to rest at ({x_um:g}, {y_um:g}) um in time; check its drive"
            )
        rig.clock.sleep(POLL_S)


def _wait_for_rest(rig: Rig) -> None:
    """Wait until the lens has settled, for a bounded time."""
    axis, config = rig.axis, rig.config.axis
    planned_s = (
        abs(axis.target_steps - axis.position_steps) / config.max_speed_steps_s
        + 2 * config.max_speed_steps_s / config.acceleration_steps_s2
        + config.settle_s
    )
    end_s = rig.clock.now() + MOVE_SLACK * planned_s + 1.0
    while axis.moving:
        if axis.fault is not None:
            raise AxisFault(axis.fault)
        if rig.clock.now() > end_s:
            raise AxisFault(
                f"the lens did not come to rest at {axis.target_steps:g} steps in time; "
                "check the axis with 'wormfocus doctor'"
            )
        rig.clock.sleep(POLL_S)
    if axis.fault is not None:
        raise AxisFault(axis.fault)


def end_of_move_s(axis: FocusAxis, before_s: float, after_s: float) -> float:
    """Return when the lens position last changed, by the axis's history, to a microsecond.

    Parameters
    ----------
    axis : whose motor stands
    before_s, after_s : times in s before the end of its move and after it
    """
    rest = axis.position_at(after_s)
    while after_s - before_s > 1e-6:
        middle = (before_s + after_s) / 2
        if abs(axis.position_at(middle) - rest) < 1e-6:
            after_s = middle
        else:
            before_s = middle
    return after_s


def frames_from(rig: Rig, frames: Iterator[Frame], since_s: float, count: int = 1) -> list[Frame]:
    """Return the first frames of a resting lens whose exposures began at a time or later.

    Parameters
    ----------
    rig : with the lens at rest
    frames : of its camera
    since_s : on the rig's clock, not later than now
    count : number of frames

    Raises
    ------
    CameraStalled
        They do not arrive in time.
    """
    camera = rig.config.camera
    end_s = (
        rig.clock.now()
        + camera.stall_timeout_s
        + (camera.latency_frames + 1 + count) / camera.fps
        + camera.exposure_s
    )
    found: list[Frame] = []
    for frame in frames:
        if frame.exposure_start_s >= since_s and not frame.lens_moving:
            found.append(frame)
        if len(found) == count:
            return found
        if rig.clock.now() > end_s:
            break
    raise CameraStalled("the camera delivered no frame of the lens at rest in time; check its connection")

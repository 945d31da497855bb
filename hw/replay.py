"""A recorded stack in place of camera, lens and specimen.

The axis moves as a real one would, in virtual time; the camera delivers the recorded plane that is nearest to
the lens at mid-exposure. Nothing is interpolated: what a program sees has been in front of a real microscope.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hw.clock import Clock, VirtualClock
from hw.config import AxisConfig, CameraConfig, ReplayConfig, RigConfig
from hw.errors import AxisFault, ConfigError
from hw.frame import Frame
from hw.motion import braking_steps, plan_move
from hw.move_history import MoveHistory
from hw.plane_folder import read_recording
from hw.rig import Rig
from hw.zstack import Pixels, ZStack

__all__ = ["ReplayedAxis", "ReplayedCamera", "display_planes", "fit_rig", "open_replayed_rig"]

STEPS_PER_PLANE = 10
"""Motor steps between the two nearest planes, where the stack sets the scale."""

DOF_PLANES = 2.0
"""Depth of field in median distances between planes, where neither the stack nor the rig file gives it."""

TRAVEL_S = 2.0
"""Time to cruise through the span, a tenth of it to reach full speed, where the stack sets the scale."""

_SATURATED = 5e-4


def open_replayed_rig(config: RigConfig, section: ReplayConfig) -> Rig:
    """Open a rig whose frames come from a recorded stack.

    Parameters
    ----------
    config : the rig file
    section : its `replay` section, with a stack

    Returns
    -------
    Rig
        In virtual time. Its `config` holds what the stack says: frame size, pixel size and the span as limits
        and, with `scale_from_stack`, everything that `fit_rig` derives.

    Raises
    ------
    ConfigError
        No stack is given, or it lies outside the axis's limits.
    StackError
        The stack cannot be read, or its planes' positions are unknown.
    """
    if section.stack is None:
        raise ConfigError(f"rig '{config.name}' replays a stack, but none is given; add --stack PATH")
    stack = read_recording(section.stack, section.spacing_um)
    config = fit_rig(config, section, stack)
    start_um = float(stack.positions_um[0]) if section.start_um is None else section.start_um
    clock = VirtualClock()
    axis = ReplayedAxis(config.axis, clock, start_um / config.axis.um_per_step)
    camera = ReplayedCamera(config.camera, clock, axis, stack)
    return Rig(config, clock, camera, axis, notice="REPLAYED")


def fit_rig(config: RigConfig, section: ReplayConfig, stack: ZStack) -> RigConfig:
    """Return the rig file as the stack makes it.

    Frame size and, where the stack knows it, pixel size and a linear camera are the stack's; the limits
    shrink to the recorded span. With `scale_from_stack` the axis takes ten steps between the two nearest
    planes and crosses the span in about two seconds; the depth of field is the `dof_um` that the stack's
    notes give, or else twice the median distance between planes; the expected drift keeps its ratio to the
    depth of field, and a search spans the stack.

    Raises
    ------
    ConfigError
        The stack has one position only, or the start or the limits lie outside its span.
    """
    positions = np.unique(stack.positions_um)
    if len(positions) < 2:
        raise ConfigError(
            f"{section.stack}: one plane cannot be focused through; give a stack of two or more"
        )
    low_um, high_um = float(positions[0]), float(positions[-1])
    if section.start_um is not None and not low_um <= section.start_um <= high_um:
        raise ConfigError(
            f"replay.start_um {section.start_um:g} lies outside the stack's {low_um:g} to {high_um:g} um"
        )
    axis = config.axis.model_dump()
    optics = config.optics.model_dump()
    control = config.control.model_dump()
    if section.scale_from_stack:
        um_per_step = stack.spacing_um / STEPS_PER_PLANE
        speed = (high_um - low_um) / um_per_step / TRAVEL_S
        axis |= {"um_per_step": um_per_step, "min_steps": -math.inf, "max_steps": math.inf}
        axis |= {"max_speed_steps_s": speed, "acceleration_steps_s2": 10 * speed / TRAVEL_S}
        dof_um = _noted_dof_um(stack) or DOF_PLANES * float(np.median(np.diff(positions)))
        control["plane_drift_um_s"] *= dof_um / optics["dof_um"]
        control["search_span_um"] = high_um - low_um
        optics["dof_um"] = dof_um
    # Rounding must not shut out the outermost planes.
    margin = 1e-6
    axis["min_steps"] = max(axis["min_steps"], low_um / axis["um_per_step"] - margin)
    axis["max_steps"] = min(axis["max_steps"], high_um / axis["um_per_step"] + margin)
    if axis["min_steps"] >= axis["max_steps"]:
        raise ConfigError(
            f"{section.stack}: {low_um:g} to {high_um:g} um lies outside the axis's limits; "
            "widen axis.min_steps and axis.max_steps"
        )
    if math.isfinite(stack.um_per_px):
        optics["um_per_px"] = stack.um_per_px
    height, width = stack.images.shape[1:3]
    data = config.model_dump() | {
        "optics": optics,
        "axis": axis,
        "control": control,
        "replay": section.model_dump(),
    }
    data["camera"] |= {"width_px": width, "height_px": height}
    # Pixels keep their tone, whatever shows them.
    data["camera"]["linear"] |= stack.notes.get("linear") == "yes"
    return RigConfig.model_validate(data)


def _noted_dof_um(stack: ZStack) -> float | None:
    try:
        dof_um = float(stack.notes.get("dof_um", ""))
    except ValueError:
        return None
    return dof_um if 0 < dof_um < math.inf else None


class ReplayedAxis:
    """An axis without faults, backlash or missed steps, that follows `plan_move` by the clock.

    Parameters
    ----------
    config : limits, speed, acceleration and settle time
    clock : the rig's
    start_steps : where the lens is when the rig opens, in steps
    """

    def __init__(self, config: AxisConfig, clock: Clock, start_steps: float) -> None:
        self._config = config
        self._clock = clock
        self._history = MoveHistory(start_steps, config.settle_s)
        self._homed = False
        self._closed = False

    @property
    def um_per_step(self) -> float:
        """Lens travel per motor step in um."""
        return self._config.um_per_step

    @property
    def limits_steps(self) -> tuple[float, float]:
        """Lowest and highest lens position allowed, both inclusive, in steps."""
        return self._config.min_steps, self._config.max_steps

    @property
    def position_steps(self) -> float:
        """Lens position now, in steps."""
        return self.position_at(self._clock.now())

    @property
    def target_steps(self) -> float:
        """Where the lens is or will come to rest, in steps."""
        return self._history.profile.target

    @property
    def moving(self) -> bool:
        """Whether the lens is moving or settling now."""
        return self._clock.now() < self._history.still_s

    @property
    def homed(self) -> bool:
        """Whether `home` was called."""
        return self._homed

    @property
    def fault(self) -> str | None:
        """None: this axis has no faults."""
        return None

    def home(self) -> None:
        """Trust the recorded positions; the lens stays where it is, since 0 may lie outside the recording."""
        self._homed = True

    def move_to(self, steps: float) -> None:
        """Start moving to a lens position, replacing the move in progress.

        Raises
        ------
        AxisFault
            Closed, unhomed, or past a limit.
        """
        if self._closed:
            raise AxisFault("the axis is closed; open the rig again")
        if not self._homed:
            raise AxisFault("the axis is not homed, so its position is unknown; home it first")
        low, high = self.limits_steps
        if not low <= steps <= high:
            raise AxisFault(f"{steps:g} steps lies past the limits {low:g} to {high:g}; stay within them")
        self._start(steps)

    def position_at(self, t: float) -> float:
        """Lens position in steps at time `t` in seconds, from the history or the profile in progress."""
        return self._history.position_at(t)

    def moving_during(self, start_s: float, end_s: float) -> bool:
        """Whether the lens moved or settled at some time in an interval of the rig's clock."""
        return self._history.moving_during(start_s, end_s)

    def stop(self) -> None:
        """Decelerate to a stop; the position stays known."""
        now = self._clock.now()
        speed = self._history.speed_at(now)
        if speed:
            self._start(self.position_at(now) + braking_steps(speed, self._config.acceleration_steps_s2))

    def close(self) -> None:
        """Stop; closing twice is fine."""
        self.stop()
        self._closed = True

    def _start(self, target: float) -> None:
        now = self._clock.now()
        position, speed = self.position_at(now), self._history.speed_at(now)
        if speed == 0.0 and position == target:
            return
        config = self._config
        self._history.begin(
            now,
            plan_move(now, position, speed, target, config.max_speed_steps_s, config.acceleration_steps_s2),
        )


class ReplayedCamera:
    """A camera that runs freely at the rig file's rate and sees the recorded plane nearest to the lens.

    Frame k is exposed from k / fps after opening, and delivered `latency_frames` periods after its exposure.
    Pixels are read-only: they are the recording's own.

    Parameters
    ----------
    config : rate, exposure and latency
    clock : the rig's, moved on to each delivery
    axis : tells where the lens was
    stack : the recording
    """

    def __init__(self, config: CameraConfig, clock: VirtualClock, axis: ReplayedAxis, stack: ZStack) -> None:
        self._config = config
        self._clock = clock
        self._axis = axis
        self._planes = display_planes(stack.images)
        self._positions_um = stack.positions_um
        self._opened_s = clock.now()
        self._next_index = 0
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """Yield the newest frame delivered, or wait for the next; frames slept through are dropped."""
        while not self._closed:
            # Half a nanosecond keeps rounding from losing a frame that is due just now.
            newest = math.floor((self._clock.now() + 5e-10 - self._delivered_s(0)) * self._config.fps)
            index = max(newest, self._next_index)
            self._clock.advance_to(self._delivered_s(index))
            self._next_index = index + 1
            yield self._expose(index)

    def close(self) -> None:
        """End the frames; closing twice is fine."""
        self._closed = True

    def _delivered_s(self, index: int) -> float:
        start_s = self._opened_s + index / self._config.fps
        return start_s + self._config.exposure_s + self._config.latency_frames / self._config.fps

    def _expose(self, index: int) -> Frame:
        start_s = self._opened_s + index / self._config.fps
        end_s = start_s + self._config.exposure_s
        lens_steps = self._axis.position_at((start_s + end_s) / 2)
        plane = int(np.abs(self._positions_um - lens_steps * self._axis.um_per_step).argmin())
        return Frame(
            self._planes[plane],
            index,
            start_s,
            self._config.exposure_s,
            lens_steps,
            self._axis.moving_during(start_s, end_s),
        )


def display_planes(images: Pixels) -> NDArray[np.uint8]:
    """Return a stack's planes as a camera would deliver them.

    Grey is repeated in three channels. 16 bits become 8 by one window for the whole stack, since a window per
    plane would hide the very change of contrast that focusing looks for; it reaches from the darkest to the
    brightest level, less 0.05 % of the pixels at either end.

    Parameters
    ----------
    images : (Z, H, W) or (Z, H, W, 3), uint8 or uint16

    Returns
    -------
    (Z, H, W, 3) uint8 RGB, read-only
    """
    if images.dtype == np.uint16:
        share = np.cumsum(np.bincount(images.ravel(), minlength=1 << 16)) / images.size
        low = int(np.searchsorted(share, _SATURATED, side="right"))
        high = max(int(np.searchsorted(share, 1 - _SATURATED)), low + 1)
        levels = np.clip((np.arange(1 << 16) - low) / (high - low) * 255, 0, 255)
        images = np.rint(levels).astype(np.uint8)[images]
    planes = images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=3)
    planes = planes.view()
    planes.flags.writeable = False
    return planes.astype(np.uint8, copy=False)

"""A rig on which an axis is measured: moves that end at rest, and looks at a still target."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.acquire import frames_from, home_if_needed, move_and_rest
from calibration.measure import DEFAULT_MEASURE, focus_measure, luminance
from hw.config import RigConfig
from hw.errors import StackError
from hw.frame import Box, Frame
from hw.rig import Rig

__all__ = ["Bench", "Channel", "Sweep", "without_a_preferred_side"]

Channel = Literal["luminance", "red", "green", "blue"]

# Gentle hops reach this share of the axis's top speed: what is lost at speed is not lost by them.
GENTLE_SHARE = 0.4
# Run-up before a sweep, so that the screw's play is taken up: in depths of field, and in believed plays.
RUN_UP_DOF = 0.5
RUN_UP_PLAYS = 4.0
# Extra rest before a frame counts, for a lens that settles later than the rig file says.
EXTRA_REST_S = 0.15


@dataclass(frozen=True)
class Sweep:
    """Focus curves of one pass over lens positions, all approached from the same side.

    Attributes
    ----------
    upward : whether the lens moved to higher positions
    position_steps : (N,) where the axis believed the lens, in the order of the visits
    luminance, red, green, blue : (N,) focus measure of the target in each
    time_s : middle of the sweep on the rig's clock
    """

    upward: bool
    position_steps: NDArray[np.float64]
    luminance: NDArray[np.float64]
    red: NDArray[np.float64]
    green: NDArray[np.float64]
    blue: NDArray[np.float64]
    time_s: float

    def curve(self, channel: Channel = "luminance") -> NDArray[np.float64]:
        """Focus measure in one channel, (N,)."""
        curve: NDArray[np.float64] = getattr(self, channel)
        return curve


def without_a_preferred_side(config: RigConfig) -> RigConfig:
    """Return a rig whose moves end from the side they come from, whatever `axis.drive.approach` says."""
    drive = config.axis.drive.model_copy(update={"approach": "shortest"})
    return config.model_copy(update={"axis": config.axis.model_copy(update={"drive": drive})})


class Bench:
    """An open rig with a still target in `box`.

    Moves that measure are made of small hops with a stop after each (*gentle*), so that a motor that loses
    steps at speed keeps them; `go` is as fast as the axis allows.

    Parameters
    ----------
    rig : opened from `without_a_preferred_side`
    progress : called with what is being done
    """

    def __init__(self, rig: Rig, progress: Callable[[str], None] | None = None) -> None:
        self.rig = rig
        self.box: Box | None = None
        self.extra_rest_s = EXTRA_REST_S
        self._frames = rig.camera.frames()
        self._measure = focus_measure(DEFAULT_MEASURE)
        self._progress = progress
        axis = rig.config.axis
        self.dof_steps = rig.config.optics.dof_um / axis.um_per_step
        self.hop_steps = max(
            1, math.floor((GENTLE_SHARE * axis.max_speed_steps_s) ** 2 / axis.acceleration_steps_s2)
        )
        self.run_up_steps = math.ceil(
            max(RUN_UP_DOF * self.dof_steps, RUN_UP_PLAYS * axis.backlash_steps, self.hop_steps)
        )
        home_if_needed(rig)

    @property
    def limits_steps(self) -> tuple[float, float]:
        """Of the axis."""
        return self.rig.axis.limits_steps

    def say(self, what: str) -> None:
        """Report progress."""
        if self._progress is not None:
            self._progress(what)

    def go(self, steps: float) -> None:
        """Move at once, as fast as the axis allows, and wait for rest."""
        move_and_rest(self.rig, steps)

    def creep(self, steps: float, hop_steps: int | None = None) -> None:
        """Move gently, in hops of `hop_steps` or the usual ones."""
        hop = self.hop_steps if hop_steps is None else hop_steps
        while (left := steps - self.rig.axis.target_steps) != 0:
            self.go(self.rig.axis.target_steps + math.copysign(min(abs(left), hop), left))

    def look(self, count: int = 1, extra_rest_s: float | None = None) -> list[Frame]:
        """Return frames whose exposures began after the lens has rested `extra_rest_s` longer.

        Raises
        ------
        CameraStalled
            They do not arrive in time.
        """
        rig, camera = self.rig, self.rig.config.camera
        extra_rest_s = self.extra_rest_s if extra_rest_s is None else extra_rest_s
        since_s = rig.clock.now() + extra_rest_s
        # Asked only then, the camera's newest frame began after the rest, and none has to be thrown away.
        rig.clock.sleep(extra_rest_s + camera.exposure_s + (camera.latency_frames + 1) / camera.fps)
        return frames_from(rig, self._frames, since_s, count)

    def watch(self, count: int) -> Iterator[Frame]:
        """Yield the next frames, whatever the lens does."""
        return islice(self._frames, count)

    def target(self, frame: Frame) -> NDArray[np.uint8]:
        """Cut the target out of a frame: a view of its pixels."""
        if self.box is None:
            return frame.pixels
        x, y, width, height = self.box
        return frame.pixels[y : y + height, x : x + width]

    def halved(self, frame: Frame) -> NDArray[np.float32]:
        """Return the target at half its size, grey, its mean taken away: flicker of light is no motion."""
        grey = luminance(self.target(frame)).astype(np.float32)
        half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return np.asarray(half - half.mean(), np.float32)

    def sharpness(self, image: NDArray[np.uint8]) -> float:
        """Default focus measure of an image, its mean taken away; squared grey levels.

        The mean goes first because F5's sum has a row fewer than it subtracts, which would let brightness in.
        """
        grey = luminance(image)
        return self._measure(grey - grey.mean())

    def visit(self, positions_steps: NDArray[np.float64]) -> Sweep:
        """Visit positions in the order given, all in one direction, after a run-up from behind the first.

        Raises
        ------
        StackError
            The run-up or the sweep leaves the axis's limits.
        """
        upward = bool(positions_steps[-1] > positions_steps[0])
        start = float(positions_steps[0]) + (-self.run_up_steps if upward else self.run_up_steps)
        low, high = self.limits_steps
        if not (low <= min(start, positions_steps.min()) and max(start, positions_steps.max()) <= high):
            raise StackError(
                f"a sweep from {start:.0f} to {positions_steps[-1]:.0f} steps leaves the axis's limits "
                f"{low:.0f} to {high:.0f}; bring the target nearer to the middle of the travel"
            )
        self.creep(start)
        begin_s = self.rig.clock.now()
        seen, curves = [], []
        for position in positions_steps:
            self.creep(float(position))
            (frame,) = self.look()
            image = self.target(frame)
            seen.append(frame.lens_steps)
            curves.append([self.sharpness(image), *(self.sharpness(image[..., k]) for k in range(3))])
        middle_s = (begin_s + self.rig.clock.now()) / 2
        values = np.array(curves).T
        return Sweep(upward, np.array(seen), values[0], values[1], values[2], values[3], middle_s)

    def widen_run_up(self, steps: float) -> None:
        """Begin sweeps further away, for a play larger than expected."""
        self.run_up_steps = math.ceil(max(self.run_up_steps, steps))

"""Moves and looks of a survey, each timed by kind."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from time import process_time
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from calibration.acquire import (
    frames_from,
    home_if_needed,
    move_and_rest,
    move_stage_and_rest,
    run_up_steps,
)
from hw.frame import Frame
from hw.rig import Rig

__all__ = ["KINDS", "Station"]

T = TypeVar("T")

KINDS = ("move", "settle", "expose", "predict", "scan")
"""What time is spent on: moves from point to point, their settling, single exposures, the network, scans."""


class Station:
    """A rig with a stage, surveyed point by point; `seconds` says what the current point has cost so far.

    Parameters
    ----------
    rig : an open rig with a stage

    Raises
    ------
    AxisFault
        The axis cannot be homed.
    """

    def __init__(self, rig: Rig) -> None:
        if rig.stage is None:
            raise ValueError("a survey needs a rig with a stage")
        self.rig, self._stage = rig, rig.stage
        self._frames: Iterator[Frame] = rig.camera.frames()
        self._beat_s: float | None = None
        self.seconds: dict[str, float] = defaultdict(float)
        home_if_needed(rig)

    @property
    def lens_um(self) -> float:
        """Where the axis believes the lens to be, um."""
        return self.rig.axis.position_steps * self.rig.axis.um_per_step

    @property
    def place_um(self) -> tuple[float, float]:
        """Place under the middle of the field now, um."""
        return self._stage.position_um

    @property
    def limits_um(self) -> tuple[float, float]:
        """Lowest and highest lens position that can be approached from below, um."""
        low, high = self.rig.axis.limits_steps
        scale = self.rig.axis.um_per_step
        return (low + self._run_up) * scale, high * scale

    def start(self) -> None:
        """Count the time of a new point from here on."""
        self.seconds = defaultdict(float)

    def go(self, x_um: float, y_um: float, lens_um: float) -> None:
        """Bring a place under the lens and the lens to a position, both at once, and wait for both."""
        clock, config = self.rig.clock, self.rig.config
        begin_s = clock.now()
        self.rig.axis.move_to(self._steps(lens_um))
        move_stage_and_rest(self.rig, x_um, y_um)
        self._lens_to(lens_um)
        took_s = clock.now() - begin_s
        least_s = config.axis.settle_s
        if config.stage is not None:
            least_s = max(least_s, config.stage.settle_s)
        settle_s = min(took_s, least_s)
        self.seconds["settle"] += settle_s
        self.seconds["move"] += took_s - settle_s

    def look(self) -> Frame:
        """Expose a frame with everything at rest."""
        begin_s = self.rig.clock.now()
        frame = self._frame()
        self.seconds["expose"] += self.rig.clock.now() - begin_s
        return frame

    def think(self, question: Callable[[], T]) -> T:
        """Ask a network; its time is that of the rig's clock, or of the processor where that stands still."""
        begin_s, begin_cpu_s = self.rig.clock.now(), process_time()
        answer = question()
        rig_s = self.rig.clock.now() - begin_s
        self.seconds["predict"] += rig_s if rig_s > 0 else process_time() - begin_cpu_s
        return answer

    def scan(
        self, positions_um: NDArray[np.float64], measure: Callable[[NDArray[np.uint8]], float]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Measure sharpness at lens positions, approached from below like those of a stack.

        The measure's own computing time is not counted: it fits into the next move.

        Returns
        -------
        positions_um, sharpness : (Z,)
            Positions as the frames say.
        """
        begin_s = self.rig.clock.now()
        scale = self.rig.axis.um_per_step
        if self.lens_um > positions_um[0] - self._run_up * scale:
            self._lens_to(float(positions_um[0]) - self._run_up * scale)
        seen, sharpness = [], []
        for position in positions_um:
            self._lens_to(float(position))
            frame = self._frame()
            seen.append(frame.lens_steps * scale)
            sharpness.append(measure(frame.pixels))
        self.seconds["scan"] += self.rig.clock.now() - begin_s
        return np.array(seen), np.array(sharpness)

    @property
    def _run_up(self) -> float:
        return run_up_steps(self.rig.config)

    def _steps(self, lens_um: float) -> float:
        low, high = self.rig.axis.limits_steps
        return min(max(lens_um / self.rig.axis.um_per_step, low), high)

    def _lens_to(self, lens_um: float) -> None:
        move_and_rest(self.rig, self._steps(lens_um))

    def _frame(self) -> Frame:
        """Return the first frame whose exposure starts from now on."""
        since_s, camera = self.rig.clock.now(), self.rig.config.camera
        if self._beat_s is not None:
            # Frames exposed before now are not even asked for: the next one comes on the camera's beat.
            beats = math.ceil((since_s - self._beat_s) * camera.fps - 1e-6)
            due_s = self._beat_s + (beats + camera.latency_frames) / camera.fps + camera.exposure_s
            self.rig.clock.sleep(due_s - since_s + 1e-6)
        # An exposure that begins on the beat may be rounded to just before it.
        (frame,) = frames_from(self.rig, self._frames, since_s - 1e-6)
        self._beat_s = frame.exposure_start_s
        return frame

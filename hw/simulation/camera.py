"""The simulated camera: exposures on a fixed beat, delivered late, sometimes lost.

What is simplified: all rows are exposed at once, gain and white balance stand still, and frames come on the
beat without jitter. What the image itself leaves out is said in `hw.simulation.scene` and `.view`.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from hw.clock import VirtualClock
from hw.config import CameraConfig
from hw.errors import CameraStalled
from hw.frame import Frame
from hw.simulation.sensor import Sensor
from hw.simulation.stage import SimulatedAxis

__all__ = ["SimulatedCamera"]

Expose = Callable[[float, float], NDArray[np.uint8]]


class SimulatedCamera:
    """Frames of a scene, stamped with the lens position that the axis believes in.

    Parameters
    ----------
    config : the rig file's `camera`
    clock : moved on to each frame's delivery
    axis : asked where it believes the lens to be
    sensor : says which frames are lost
    expose : called with start and end of an exposure in seconds, returns the image
    """

    def __init__(
        self, config: CameraConfig, clock: VirtualClock, axis: SimulatedAxis, sensor: Sensor, expose: Expose
    ) -> None:
        self._config = config
        self._clock = clock
        self._axis = axis
        self._sensor = sensor
        self._expose = expose
        self._period_s = 1 / config.fps
        self._delay_s = config.exposure_s + config.latency_frames * self._period_s
        self._next = 0
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """Yield frames, moving the clock on to each one's delivery.

        Raises
        ------
        CameraStalled
            When more frames in a row are lost than the rig file's timeout allows, or the camera is closed.
        """
        waited_from = self._clock.now()
        while not self._closed:
            # The newest frame that has been delivered by now, or else the next one to come.
            newest = math.floor((self._clock.now() - self._delay_s) / self._period_s + 1e-9)
            index = max(self._next, newest)
            self._next = index + 1
            start = index * self._period_s
            self._clock.advance_to(start + self._delay_s)
            if self._sensor.drops_frame():
                if self._clock.now() - waited_from > self._config.stall_timeout_s:
                    timeout = self._config.stall_timeout_s
                    raise CameraStalled(f"camera: no frame for {timeout:g} s; check its cable and restart")
                continue
            yield self._frame(index, start)
            waited_from = self._clock.now()
        raise CameraStalled("camera: closed; open the rig again")

    def close(self) -> None:
        """Stop delivering frames."""
        self._closed = True

    def _frame(self, index: int, start: float) -> Frame:
        end = start + self._config.exposure_s
        return Frame(
            self._expose(start, end),
            index,
            start,
            self._config.exposure_s,
            self._axis.position_at((start + end) / 2),
            self._axis.moving_during(start, end),
        )

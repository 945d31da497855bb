"""A still sample under an XY stage: the seam for simulated rigs that follow no worm.

A family of such rigs is a section of the rig file, which says `specimen: NAME`, and a class that draws a
`Sample` from it and a seed. The rest of the rig, axis, stage, camera and clock, is the same for all.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hw.clock import VirtualClock
from hw.config import RigConfig
from hw.errors import ConfigError
from hw.rig import Rig
from hw.simulation.camera import SimulatedCamera
from hw.simulation.config import SimulatedAxisConfig, draw
from hw.simulation.sensor import Sensor
from hw.simulation.stage import SimulatedAxis
from hw.simulation.xy_stage import SimulatedXYStage

__all__ = ["Sample", "SampleView", "open_sample_rig"]


class Sample(Protocol):
    """One sample under one microscope, drawn from a seed. Lens positions are um, from its own zero.

    Attributes
    ----------
    sensor : what turns intensity into an image
    """

    sensor: Sensor

    def intensity(self, t: float, place_um: tuple[float, float], lens_um: float) -> NDArray[np.float32]:
        """Noise-free image, (height_px, width_px, 3) of the rig's camera; 1 is the empty field.

        Parameters
        ----------
        t : time, s
        place_um : place of the sample in the middle of the field, (x, y) in um
        lens_um : lens position, um
        """

    def plane_um(self, t: float, place_um: tuple[float, float]) -> float:
        """Lens position in um that focuses the sample in the middle of the field by geometrical optics."""

    def focus_um(self, t: float, place_um: tuple[float, float]) -> float | None:
        """Lens position in um of true focus, where the family knows it; None: by the default measure."""


class SampleView:
    """A sample through the simulated axis and stage: what the camera exposes, what a perfect one would see.

    Parameters
    ----------
    sample, axis, stage : what is looked at, and where lens and stage are; without a stage, at (0, 0)
    zero_um : lens position in um on the axis of the sample's own zero
    """

    def __init__(
        self, sample: Sample, axis: SimulatedAxis, stage: SimulatedXYStage | None, zero_um: float
    ) -> None:
        self._sample = sample
        self._axis = axis
        self._stage = stage
        self._zero_um = zero_um

    def expose(self, start: float, end: float) -> NDArray[np.uint8]:
        """Expose a frame from `start` to `end`, seconds; (H, W, 3) uint8 RGB, all of it as at the middle."""
        middle = (start + end) / 2
        lens_um = self._axis.true_um_at(middle) - self._zero_um
        intensity = self._sample.intensity(middle, self._place_um(middle), lens_um)
        return self._sample.sensor.develop(intensity, 1, binned=False)

    def raise_specimen(self, by_um: float) -> None:
        """Put a spacer under the sample, or take it out again (negative)."""
        self._zero_um += by_um

    def plane_um(self, t: float) -> float:
        """Lens position in um that focuses the sample in the middle of the field by geometrical optics."""
        return self._sample.plane_um(t, self._place_um(t)) + self._zero_um

    def focus_um(self, t: float) -> float | None:
        """Lens position in um of true focus, where the sample defines it; None: by the default measure."""
        focus = self._sample.focus_um(t, self._place_um(t))
        return None if focus is None else focus + self._zero_um

    def lens_error_um(self, t: float) -> float:
        """How far the lens really is from where the axis believes it at time `t`, um."""
        return self._axis.lens_error_um(t)

    def render(self, t: float, lens_um: float) -> NDArray[np.float32]:
        """Noise-free (H, W, 3) image at time `t` for a lens position in um; the empty field is 1."""
        return self._sample.intensity(t, self._place_um(t), lens_um - self._zero_um)

    def _place_um(self, t: float) -> tuple[float, float]:
        return (0.0, 0.0) if self._stage is None else self._stage.position_at(t)


def open_sample_rig(
    rig: RigConfig,
    axis_truth: SimulatedAxisConfig,
    sample: Sample,
    rng: np.random.Generator,
    *,
    imaged: Sample | None = None,
) -> Rig:
    """Open a simulated rig that looks at a sample, in virtual time from 0 s.

    At the start, focus lies `simulation.axis.start_offset_steps` from home, on a side that is drawn. The
    stage, where the rig file has one, starts in the middle of its travel.

    Parameters
    ----------
    rig : the rig file
    axis_truth : its `simulation.axis`
    sample : what lies under the lens
    rng : of the axis, and of where focus lies at the start
    imaged : what the rig's `imaging` camera sees of it, where there is one

    Raises
    ------
    ConfigError
        Focus starts past the axis's limits.
    """
    clock = VirtualClock()
    axis = SimulatedAxis(rig.axis, axis_truth, clock, rng)
    stage = None
    if (c := rig.stage) is not None:
        middle = ((c.min_x_um + c.max_x_um) / 2, (c.min_y_um + c.max_y_um) / 2)
        stage = SimulatedXYStage(c, clock, middle)
    start_steps = float(rng.choice([-1.0, 1.0])) * draw(rng, axis_truth.start_offset_steps)
    if not rig.axis.min_steps <= start_steps <= rig.axis.max_steps:
        raise ConfigError(
            f"rig '{rig.name}': simulation.axis.start_offset_steps {start_steps:g} lies past the axis's "
            "limits; make it smaller"
        )
    here = (0.0, 0.0) if stage is None else stage.position_um
    zero_um = start_steps * rig.axis.um_per_step - sample.plane_um(0.0, here)
    view = SampleView(sample, axis, stage, zero_um)
    camera = SimulatedCamera(rig.camera, clock, axis, sample.sensor, view.expose)
    opened = Rig(rig, clock, camera, axis, notice="SIMULATED", ideal=view, stage=stage)
    views = [view]
    if rig.imaging is not None and imaged is not None:
        seen = SampleView(imaged, axis, stage, zero_um)
        views.append(seen)
        opened.imaging = SimulatedCamera(rig.imaging.camera, clock, axis, imaged.sensor, seen.expose)

    def raise_specimen(by_um: float) -> None:
        for one in views:
            one.raise_specimen(by_um)

    opened.raise_specimen = raise_specimen
    return opened

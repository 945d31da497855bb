"""A simulated rig, put together from its rig file and a seed."""

import numpy as np

from hw.clock import VirtualClock
from hw.config import RigConfig
from hw.errors import ConfigError
from hw.rig import AxisAlone, Rig
from hw.simulation.beads_config import BeadsConfig
from hw.simulation.camera import SimulatedCamera
from hw.simulation.config import SimulationConfig, draw
from hw.simulation.families import SimulationSection
from hw.simulation.sample import Sample, open_sample_rig
from hw.simulation.scene import Scene
from hw.simulation.slide_config import SlideConfig
from hw.simulation.slit_config import SlitLaserConfig
from hw.simulation.slit_laser import BeadSample, LaserSample
from hw.simulation.stage import SimulatedAxis
from hw.simulation.view import FieldOfView, IdealView
from hw.simulation.yeast_config import YeastConfig

__all__ = ["open_simulated_axis", "open_simulated_rig", "sample_of", "simulation_section", "worm_section"]

# Each part of a rig draws from a stream of its own.
AXIS_STREAM, SHAKE_STREAM = 2, 3


def simulation_section(rig: RigConfig) -> SimulationSection:
    """Return the `simulation` section of a rig file.

    Raises
    ------
    ConfigError
        The rig is not simulated.
    """
    if rig.kind != "simulated" or rig.simulation is None:
        raise ConfigError(f"rig '{rig.name}' is not simulated: it has no 'simulation' section to draw from")
    return rig.simulation


def worm_section(rig: RigConfig) -> SimulationConfig:
    """Return the `simulation` section of a rig that follows a worm.

    Raises
    ------
    ConfigError
        The rig is not simulated, or has another specimen.
    """
    section = simulation_section(rig)
    if not isinstance(section, SimulationConfig):
        raise ConfigError(
            f"rig '{rig.name}' simulates a {section.specimen}, and this needs a worm; name another rig"
        )
    return section


def sample_of(rig: RigConfig, *, seed: int) -> Sample | None:
    """Draw the still sample of a simulated rig from a seed; None for a rig that follows a worm.

    Raises
    ------
    ConfigError
        The rig is not simulated.
    """
    section = simulation_section(rig)
    if isinstance(section, BeadsConfig):
        from hw.simulation.beads import BeadSlide

        return BeadSlide(rig, section, seed)
    if isinstance(section, YeastConfig):
        from hw.simulation.yeast import YeastChamber

        return YeastChamber(rig, section, seed)
    if isinstance(section, SlideConfig):
        from hw.simulation.slide import Slide

        return Slide(rig, section, seed)
    if isinstance(section, SlitLaserConfig):
        return LaserSample(rig, section, seed)
    return None


def _imaged_sample_of(rig: RigConfig, *, seed: int) -> Sample | None:
    """Draw what the imaging camera of a simulated rig sees of its sample; None where it has none."""
    section = simulation_section(rig)
    if isinstance(section, SlitLaserConfig) and rig.imaging is not None:
        return BeadSample(rig, section, seed)
    return None


def _check_parts(rig: RigConfig) -> None:
    """Refuse parts that would be left out in silence."""
    section = simulation_section(rig)
    if rig.stage is not None and isinstance(section, SimulationConfig):
        raise ConfigError(
            f"rig '{rig.name}': stage: a simulated {section.specimen} crawls where no stage moves; remove it"
        )
    if rig.imaging is not None and not isinstance(section, SlitLaserConfig):
        raise ConfigError(
            f"rig '{rig.name}': imaging: a simulated {section.specimen} is focused and imaged by one camera; "
            "remove it"
        )


def open_simulated_axis(rig: RigConfig, *, seed: int) -> AxisAlone:
    """Open the axis of the simulated rig that a seed stands for, in virtual time from 0 s.

    Raises
    ------
    ConfigError
        The rig is not simulated.
    """
    simulation = simulation_section(rig)
    clock = VirtualClock()
    axis = SimulatedAxis(rig.axis, simulation.axis, clock, np.random.default_rng([seed, AXIS_STREAM]))
    return AxisAlone(clock, axis, notice="SIMULATED")


def open_simulated_rig(rig: RigConfig, *, seed: int) -> Rig:
    """Open the simulated rig that a seed stands for, in virtual time from 0 s.

    The plane of focus starts `simulation.axis.start_offset_steps` from home, on a side that is drawn.

    Raises
    ------
    ConfigError
        The rig is not simulated, or its specimen has no such stage or imaging camera as the file asks for.
    """
    _check_parts(rig)
    axis_stream, shake_stream = (
        np.random.default_rng([seed, number]) for number in (AXIS_STREAM, SHAKE_STREAM)
    )
    if (sample := sample_of(rig, seed=seed)) is not None:
        imaged = _imaged_sample_of(rig, seed=seed)
        return open_sample_rig(rig, simulation_section(rig).axis, sample, axis_stream, imaged=imaged)
    simulation = worm_section(rig)
    clock = VirtualClock()
    scene = Scene(rig, simulation, seed, (rig.camera.width_px, rig.camera.height_px))
    axis = SimulatedAxis(rig.axis, simulation.axis, clock, axis_stream)
    start_um = draw(axis_stream, simulation.axis.start_offset_steps) * rig.axis.um_per_step
    focus_um = float(axis_stream.choice([-1.0, 1.0])) * start_um - scene.plane_um(0.0)
    view = FieldOfView(rig, simulation, scene, axis, focus_um, shake_stream)
    camera = SimulatedCamera(rig.camera, clock, axis, scene.sensor, view.expose)
    ideal = IdealView(scene, axis, focus_um)
    return Rig(rig, clock, camera, axis, notice="SIMULATED", ideal=ideal, raise_specimen=scene.raise_specimen)

"""A simulated rig, put together from its rig file and a seed."""

import numpy as np

from hw.clock import VirtualClock
from hw.config import RigConfig
from hw.errors import ConfigError
from hw.rig import AxisAlone, Rig
from hw.simulation.camera import SimulatedCamera
from hw.simulation.config import SimulationConfig, draw
from hw.simulation.scene import Scene
from hw.simulation.stage import SimulatedAxis
from hw.simulation.view import FieldOfView, IdealView

__all__ = ["open_simulated_axis", "open_simulated_rig", "simulation_section"]

# Each part of a rig draws from a stream of its own.
AXIS_STREAM, SHAKE_STREAM = 2, 3


def simulation_section(rig: RigConfig) -> SimulationConfig:
    """Return the `simulation` section of a rig file.

    Raises
    ------
    ConfigError
        The rig is not simulated.
    """
    if rig.kind != "simulated" or rig.simulation is None:
        raise ConfigError(f"rig '{rig.name}' is not simulated: it has no 'simulation' section to draw from")
    return rig.simulation


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
        The rig is not simulated.
    """
    simulation = simulation_section(rig)
    axis_stream, shake_stream = (
        np.random.default_rng([seed, number]) for number in (AXIS_STREAM, SHAKE_STREAM)
    )
    clock = VirtualClock()
    scene = Scene(rig, simulation, seed, (rig.camera.width_px, rig.camera.height_px))
    axis = SimulatedAxis(rig.axis, simulation.axis, clock, axis_stream)
    start_um = draw(axis_stream, simulation.axis.start_offset_steps) * rig.axis.um_per_step
    focus_um = float(axis_stream.choice([-1.0, 1.0])) * start_um - scene.plane_um(0.0)
    view = FieldOfView(rig, simulation, scene, axis, focus_um, shake_stream)
    camera = SimulatedCamera(rig.camera, clock, axis, scene.sensor, view.expose)
    return Rig(rig, clock, camera, axis, notice="SIMULATED", ideal=IdealView(scene, axis, focus_um))

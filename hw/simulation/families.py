"""The families of simulated rigs: what the `simulation` section of a rig file may be, by its `specimen`."""

from hw.simulation.config import SimulationConfig

__all__ = ["SimulationSection"]

SimulationSection = SimulationConfig

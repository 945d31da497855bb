"""The simulated focus axis: a stepper axis in virtual time, over a driver that knows the truth."""

import numpy as np

from hw.clock import Clock
from hw.config import AxisConfig
from hw.pump import CallPump
from hw.simulation.config import SimulatedAxisConfig
from hw.simulation.driver import SimulatedStepDriver
from hw.stepper import StepperAxis

__all__ = ["SimulatedAxis"]


class SimulatedAxis(StepperAxis):
    """A stepper axis that can also tell where the lens really is.

    It believes in the rig file's backlash and in a motor that never misses a step; the true values are the
    simulation's. A simulated lens starts at home.

    Parameters
    ----------
    config : the rig file's `axis`, which the axis believes
    truth : its `simulation.axis`
    clock : the rig's
    rng : what is random is drawn from it
    """

    def __init__(
        self, config: AxisConfig, truth: SimulatedAxisConfig, clock: Clock, rng: np.random.Generator
    ) -> None:
        self._driver = SimulatedStepDriver(config.drive, truth, clock, rng)
        super().__init__(config, self._driver, clock, CallPump(clock), known_steps=0.0)

    def true_position_at(self, t: float) -> float:
        """Lens position in steps at time `t`, as it really is."""
        self._motor.catch_up()
        return self._driver.true_position_at(t)

"""The simulated focus axis: a stepper axis in virtual time, over a driver that knows the truth."""

import numpy as np

from hw.clock import Clock
from hw.config import AxisConfig
from hw.pump import CallPump
from hw.simulation.config import SimulatedAxisConfig, draw
from hw.simulation.driver import SimulatedStepDriver
from hw.stepper import StepperAxis

__all__ = ["SimulatedAxis"]


class SimulatedAxis(StepperAxis):
    """A stepper axis that can also tell where the lens really is.

    It believes in the rig file's direction, scale, backlash and settle time, and in a motor that never misses
    a step; the true values are the simulation's. A simulated lens starts at home.

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
        self._true_um_per_step = (
            config.um_per_step if truth.um_per_step is None else draw(rng, truth.um_per_step)
        )
        self._true_settle_s = config.settle_s if truth.settle_s is None else draw(rng, truth.settle_s)
        super().__init__(config, self._driver, clock, CallPump(clock), known_steps=0.0)

    def true_position_at(self, t: float) -> float:
        """Lens position in steps at time `t`, as it really is."""
        self._motor.catch_up()
        return self._driver.true_position_at(t)

    def true_um_at(self, t: float) -> float:
        """Lens position in um at time `t`, as it really is."""
        return self.true_position_at(t) * self._true_um_per_step

    def lens_error_um(self, t: float) -> float:
        """How far the lens really is from where the axis believes it at time `t`, um."""
        true_steps = self.true_position_at(t) * (self._true_um_per_step / self.um_per_step)
        return (true_steps - self.position_at(t)) * self.um_per_step

    def shaking_at(self, t: float) -> bool:
        """Whether the lens really moves or has not yet settled at time `t`."""
        self._motor.catch_up()
        return self._motor.history.moving_during(t, t, settle_s=self._true_settle_s)

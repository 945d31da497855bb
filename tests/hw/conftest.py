"""Axes on every kind of step driver, with a record of what went over its lines."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from hw.clock import Clock, SystemClock, VirtualClock
from hw.config import AxisConfig
from hw.drive import DriveConfig
from hw.pump import CallPump, Pump, ThreadPump
from hw.simulation.config import SimulatedAxisConfig
from hw.simulation.driver import SimulatedStepDriver
from hw.step_driver import LineEdge
from hw.stepper import StepperAxis

AXIS = AxisConfig(
    um_per_step=5,
    min_steps=-1000,
    max_steps=1000,
    max_speed_steps_s=400,
    acceleration_steps_s2=4000,
    backlash_steps=0,
    settle_s=0.03,
)
TRUTH = SimulatedAxisConfig(
    start_offset_steps=0, backlash_steps=0, safe_speed_steps_s=5000, missed_share=0.5, shake_um=0
)


@dataclass
class DriverBench:
    """An axis at position 0 on some driver, and the edges that were seen on that driver's lines.

    Attributes
    ----------
    axis, clock, config : under test
    edges : in the order of time; complete when the axis rests
    timing_s : how far an edge may be from where it was asked for, s
    """

    axis: StepperAxis
    clock: Clock
    config: AxisConfig
    edges: Callable[[], list[LineEdge]]
    timing_s: float
    _closers: list[Callable[[], None]] = field(default_factory=list)

    def rest(self) -> None:
        """Wait until the lens stands still."""
        for _ in range(2000):
            if not self.axis.moving:
                return
            self.clock.sleep(0.01)
        raise AssertionError("the axis never came to rest")


def driver_config(**drive: object) -> AxisConfig:
    return AXIS.model_copy(update={"drive": DriveConfig.model_validate(drive)})


def simulated_bench(config: AxisConfig, clock: Clock, pump: Pump) -> DriverBench:
    trace: list[LineEdge] = []
    driver = SimulatedStepDriver(config.drive, TRUTH, clock, np.random.default_rng(0), trace=trace)
    axis = StepperAxis(config, driver, clock, pump)
    axis.confirm_position(0)
    return DriverBench(axis, clock, config, lambda: sorted(trace, key=lambda e: e.t), 1e-9)


def simulated_in_virtual_time(config: AxisConfig) -> DriverBench:
    clock = VirtualClock()
    return simulated_bench(config, clock, CallPump(clock))


def simulated_in_real_time(config: AxisConfig) -> DriverBench:
    clock = SystemClock()
    return simulated_bench(config, clock, ThreadPump(clock))


BENCHES: dict[str, Callable[[AxisConfig], DriverBench]] = {
    "simulated-virtual": simulated_in_virtual_time,
    "simulated-thread": simulated_in_real_time,
}


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Iterator[DriverBench]:
    """An axis on each driver in turn."""
    made = BENCHES[request.param](driver_config())
    yield made
    made.axis.close()


@pytest.fixture(scope="session")
def axis_config() -> Callable[..., AxisConfig]:
    """Build the configuration of the reference rig's axis without backlash; arguments go to `drive`."""
    return driver_config


@pytest.fixture(scope="session")
def axis_truth() -> SimulatedAxisConfig:
    """A motor that does what it is told."""
    return TRUTH

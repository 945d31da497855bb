"""Axes on every kind of step driver, with a record of what went over its lines."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from hw.clock import Clock, SystemClock, VirtualClock
from hw.config import AxisConfig
from hw.drive import DriveConfig
from hw.gpio.apart import ApartDriver
from hw.gpio.config import Backend, GpioConfig
from hw.gpio.opening import open_driver
from hw.pump import CallPump, Pump, ThreadPump
from hw.simulation.config import SimulatedAxisConfig
from hw.simulation.driver import SimulatedStepDriver
from hw.step_driver import Line, LineEdge
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
    edges : levels of the lines as the driver chip sees them (EN is low when on), by the rig's clock, in the
        order of time; complete when the axis rests
    timing_s : how much longer than asked for an interval may be, s
    early_s : how much shorter an interval may look in the record, s
    """

    axis: StepperAxis
    clock: Clock
    config: AxisConfig
    edges: Callable[[], list[LineEdge]]
    timing_s: float
    early_s: float = 1e-9
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


class KernelRecord:
    """Every write to a line of the simulated chip that `make test-gpio` makes, as the kernel saw it."""

    # Whole microseconds, and an interval has two ends.
    resolution_s = 2e-6
    folder = Path("/sys/kernel/tracing")

    def start(self) -> None:
        """Forget what was before."""
        (self.folder / "trace").write_text("")
        for event in ("gpio_value", "gpio_direction"):
            (self.folder / "events/gpio" / event / "enable").write_text("1")

    def edges(self) -> list[tuple[float, int, bool]]:
        """Time in s, pin and level of each write, in order."""
        written = [(t, pin, words) for t, pin, words in self._events("gpio_value") if words[0] == "set"]
        return [(t, pin, words[1] == "1") for t, pin, words in written]

    def directions(self) -> list[tuple[float, int, bool]]:
        """Time in s, pin, and whether it became an output, in order."""
        return [(t, pin, words[0] == "out") for t, pin, words in self._events("gpio_direction")]

    def _events(self, name: str) -> list[tuple[float, int, list[str]]]:
        stats = [file.read_text().splitlines() for file in self.folder.glob("per_cpu/cpu*/stats")]
        lost = {line for lines in stats for line in lines if line.startswith("overrun")}
        assert lost == {"overrun: 0"}
        base, events = int(os.environ["WORMFOCUS_SIM_BASE"]), []
        for line in (self.folder / "trace").read_text().splitlines():
            before, found, after = line.partition(f": {name}: ")
            if found:
                number, *words = after.split()
                events.append((float(before.split()[-1]), int(number) - base, words))
        return events


@pytest.fixture(scope="session")
def kernel_record() -> KernelRecord:
    """The kernel's own account of what went over the lines."""
    return KernelRecord()


def on_gpio(backend: Backend, *, apart: bool = False) -> Callable[[AxisConfig], DriverBench]:
    """An axis on the lines of a real kernel's chip."""
    gpio = GpioConfig(backend=backend, step_pin=17, dir_pin=27, enable_pin=22)
    names: dict[int, Line] = {gpio.step_pin: "STEP", gpio.dir_pin: "DIR", gpio.enable_pin: "EN"}

    def open_bench(config: AxisConfig) -> DriverBench:
        clock, record = SystemClock(), KernelRecord()
        driver = ApartDriver(gpio, config.drive) if apart else open_driver(gpio, config.drive, clock)
        record.start()
        axis = StepperAxis(config, driver, clock, ThreadPump(clock))
        axis.confirm_position(0)

        def edges() -> list[LineEdge]:
            return [LineEdge(t, names[pin], level) for t, pin, level in record.edges()]

        # 400 writes of rpi-lgpio add more than 10 ms to a move.
        return DriverBench(axis, clock, config, edges, timing_s=2e-3, early_s=record.resolution_s)

    return open_bench


# Set in the machine of `make test-gpio`: the libraries that are installed there.
BACKENDS = os.environ.get("WORMFOCUS_GPIO_BACKENDS", "").split()
BENCHES: dict[str, Callable[[AxisConfig], DriverBench]] = {
    "simulated-virtual": simulated_in_virtual_time,
    "simulated-thread": simulated_in_real_time,
    **{name: on_gpio(name) for name in BACKENDS},
    **{f"{name}-apart": on_gpio(name, apart=True) for name in BACKENDS[:1]},
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

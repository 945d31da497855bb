"""A motor driver's wires and a record of them: on paper here, the kernel's own in `make test-gpio`."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pytest

from hw.clock import Clock, SystemClock
from hw.drive import DriveConfig
from hw.gpio.config import Backend, EndStopConfig, GpioConfig
from hw.gpio.opening import open_driver
from hw.gpio.pacing import PacedDriver
from hw.motion import plan_move, pulses_between
from hw.step_driver import Pulses, StepDriver

STEP, DIR, EN, STOP = 17, 27, 22, 5
# The reference rig's.
SPEED, ACCELERATION = 400.0, 4000.0
# As an axis plays: short enough for a stop, long enough not to matter.
CHUNK_S = 0.015


class Edge(NamedTuple):
    """A write to a line: when, s; which pin; the level."""

    time_s: float
    pin: int
    high: bool


class Bench(Protocol):
    config: GpioConfig
    drive: DriveConfig
    clock: Clock
    driver: StepDriver

    def edges(self) -> list[Edge]:
        """Every write to the lines since the driver was opened, the opening left out."""

    def press(self, pressed: bool) -> None: ...
    def stall(self, after_s: float, for_s: float) -> None:
        """Hold the whole program up, as a busy machine does."""

    def later(self, after_s: float, action: Callable[[], None]) -> None: ...


@dataclass
class TickingClock:
    """Virtual time in which looking takes time too, and sleepers wake late, as on a real machine."""

    now_s: float = 100.0
    look_s: float = 1e-6
    wake_s: float = 6e-5
    due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def now(self) -> float:
        self._pass(self.look_s)
        return self.now_s

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self._pass(seconds + self.wake_s)

    def _pass(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.due and min(self.due)[0] <= until_s:
            first = min(self.due)
            self.due.remove(first)
            self.now_s = max(self.now_s, first[0])
            first[1]()
        self.now_s = max(self.now_s, until_s)


@dataclass
class PaperLines:
    """Lines that only write down what happens to them, the step in the middle of the time it takes."""

    clock: Clock
    written: list[Edge] = field(default_factory=list)
    level: bool = True
    released: bool = False
    failures: tuple[type[Exception], ...] = (OSError,)
    broken: bool = False

    def write(self, pin: int, high: bool) -> None:
        if self.broken:
            raise OSError("No such device")
        self.clock.sleep(5e-6)
        self.written.append(Edge(self.clock.now(), pin, high))
        self.clock.sleep(5e-6)

    def read(self, pin: int) -> bool:
        assert pin == STOP
        return self.level

    def release(self) -> None:
        self.released = True


@dataclass
class PaperBench:
    config: GpioConfig
    drive: DriveConfig
    clock: TickingClock
    lines: PaperLines
    driver: StepDriver

    def edges(self) -> list[Edge]:
        return list(self.lines.written)

    def press(self, pressed: bool) -> None:
        self.lines.level = not pressed

    def stall(self, after_s: float, for_s: float) -> None:
        self.later(after_s, lambda: setattr(self.clock, "now_s", self.clock.now_s + for_s))

    def later(self, after_s: float, action: Callable[[], None]) -> None:
        self.clock.due.append((self.clock.now_s + after_s, action))


@dataclass
class KernelBench:
    config: GpioConfig
    drive: DriveConfig
    record: Any
    clock: SystemClock
    driver: StepDriver
    ending: list[Callable[[], object]] = field(default_factory=list)

    def edges(self) -> list[Edge]:
        return [Edge(*edge) for edge in self.record.edges()]

    def press(self, pressed: bool) -> None:
        pull = Path(os.environ["WORMFOCUS_SIM_LINES"]) / f"sim_gpio{STOP}" / "pull"
        pull.write_text("pull-down" if pressed else "pull-up")

    def stall(self, after_s: float, for_s: float) -> None:
        me = os.getpid()
        stalling = subprocess.Popen(
            ["/bin/sh", "-c", f"sleep {after_s}; kill -STOP {me}; sleep {for_s}; kill -CONT {me}"]
        )
        self.ending.append(stalling.wait)

    def later(self, after_s: float, action: Callable[[], None]) -> None:
        timer = threading.Timer(after_s, action)
        timer.start()
        self.ending.append(timer.join)


def paper_bench(config: GpioConfig, drive: DriveConfig) -> PaperBench:
    clock = TickingClock()
    lines = PaperLines(clock)
    return PaperBench(config, drive, clock, lines, PacedDriver(config, drive, clock, lines))


def kernel_bench(config: GpioConfig, drive: DriveConfig, record: Any, backend: Backend) -> KernelBench:
    config = config.model_copy(update={"backend": backend})
    clock = SystemClock()
    driver = open_driver(config, drive, clock)
    record.start()
    return KernelBench(config, drive, record, clock, driver)


@pytest.fixture
def config() -> GpioConfig:
    return GpioConfig(step_pin=STEP, dir_pin=DIR, enable_pin=EN, end_stop=EndStopConfig(pin=STOP))


@pytest.fixture
def drive() -> DriveConfig:
    # A slow driver's, so that what the data sheet asks for shows on the wire.
    return DriveConfig(pulse_s=5e-5, dir_setup_s=1e-3)


@pytest.fixture(params=["paper", *os.environ.get("WORMFOCUS_GPIO_BACKENDS", "").split()])
def bench(
    request: pytest.FixtureRequest, config: GpioConfig, drive: DriveConfig, kernel_record: Any
) -> Iterator[Bench]:
    bench: Bench = (
        paper_bench(config, drive)
        if request.param == "paper"
        else kernel_bench(config, drive, kernel_record, request.param)
    )
    yield bench
    for end in getattr(bench, "ending", []):
        end()
    bench.driver.close()


@pytest.fixture
def paper_in_real_time(config: GpioConfig, drive: DriveConfig) -> tuple[PacedDriver, PaperLines]:
    """For what needs a second thread."""
    lines = PaperLines(SystemClock())
    return PacedDriver(config, drive, SystemClock(), lines), lines


class Player:
    """Moves as an axis makes them: planned, cut into chunks, and stretched by what was late."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.asked_s: list[float] = []
        self.late_s = 0.0

    def move(self, steps: int, until: Callable[[], bool] = lambda: False) -> int:
        """Make `steps` steps, forward above 0, unless `until` says so between chunks; return those made."""
        profile = plan_move(0.0, 0.0, 0.0, abs(steps), SPEED, ACCELERATION)
        (pulses,) = pulses_between(profile, 0, 0.0, profile.end_s)
        due_s = pulses.due_s
        start_s, made = self.bench.clock.now() + 0.02, 0
        self.late_s = 0.0
        while made < due_s.size and not until():
            end = max(made + 1, int(np.searchsorted(due_s, due_s[made] + CHUNK_S)))
            played = self.bench.driver.play(Pulses(steps > 0, start_s + self.late_s + due_s[made:end]))
            self.asked_s.extend(due_s[made : made + played.count])
            self.late_s += played.late_s
            short = played.count < end - made
            made += played.count
            if short:
                break
        return made


@pytest.fixture
def player(bench: Bench) -> Player:
    return Player(bench)

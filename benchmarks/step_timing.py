"""How regular the steps are that the GPIO back ends send, by rate, scheduling class and what else goes on.

Anywhere, the timing alone: the driver's own loop with no wire behind it. On a machine whose GPIO chip is
simulated (`bash tests/vm/gpio.sh .venv/bin/python benchmarks/step_timing.py`), every GPIO library, by the
kernel's record of the writes; that machine has a time of its own, in which an instruction takes 1 ns, so its
figures are those of the programs and of the kernel, without the noise of a real machine.

The interval error is how far the time between two steps is from the one asked for. Exit status 1 when any
interval of the back ends was shorter than asked, or when, at the reference rig's speed, with real-time
scheduling and nothing else going on in the program, the error's 99th percentile exceeds a tenth of it.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from methods.report import print_rows, write_report
from numpy.typing import NDArray

from hw.clock import SystemClock
from hw.config import load_rig
from hw.drive import DriveConfig
from hw.gpio.apart import ApartDriver, serve
from hw.gpio.chips import find_chip, gpio_chips
from hw.gpio.config import GpioConfig
from hw.gpio.lgpio_lines import import_tidily
from hw.gpio.opening import open_driver
from hw.gpio.pacing import PacedDriver
from hw.gpio.timing import Unwired, play_steadily
from hw.pump import CHUNK_S
from hw.scheduling import real_time
from hw.step_driver import Played, Pulses

CLOCK = SystemClock()
TRACE = Path("/sys/kernel/tracing")
# What the record resolves: the kernel's counts whole microseconds.
RESOLUTION_S = 2e-6
PROMISED_SHARE = 0.1
THREADS = ("a Python thread", "a Python thread, switch interval 0.5 ms")
STALL = "a stall of 50 ms every 0.5 s"

Times = NDArray[np.float64]
Record = Callable[[], Times]
Parts = tuple[GpioConfig, DriveConfig]


class Player(Protocol):
    """What plays steps."""

    def play(self, pulses: Pulses) -> Played:
        """Send steps when they are due."""

    def close(self) -> None:
        """Release what was held."""


class Forked:
    """The timing alone in a process of its own, as `hw.gpio.apart` has it; its times come in the end."""

    def __init__(self, parts: Parts) -> None:
        self._calls, theirs = Pipe()
        handle, name = tempfile.mkstemp(suffix=".npy")
        os.close(handle)
        self._file = Path(name)
        self._child = os.fork()
        if self._child == 0:
            self._calls.close()
            real_time()
            lines = Unwired(CLOCK, parts[0].step_pin)
            serve(theirs, PacedDriver(*parts, CLOCK, lines))
            np.save(self._file, np.array(lines.rising_s))
            os._exit(0)
        theirs.close()

    def play(self, pulses: Pulses) -> Played:
        """Have steps sent."""
        self._calls.send(("play", pulses))
        played: Played = self._calls.recv()
        return played

    def times(self) -> Times:
        """End the process and read when STEP rose."""
        self._calls.close()
        os.waitpid(self._child, 0)
        times: Times = np.load(self._file)
        self._file.unlink()
        return times

    def close(self) -> None:
        """Nothing is left."""


def open_case(backend: str, config: GpioConfig, drive: DriveConfig) -> tuple[Player, Record]:
    """Return a driver, and what gives the times at which STEP rose."""
    if backend == "no wire, apart":
        forked = Forked((config, drive))
        return forked, forked.times
    if backend.endswith(", apart"):
        chosen = GpioConfig.model_validate(
            {**config.model_dump(), "backend": backend.removesuffix(", apart")}
        )
        return ApartDriver(chosen, drive), kernel_record(config.step_pin)
    if backend == "no wire":
        lines = Unwired(CLOCK, config.step_pin)
        return PacedDriver(config, drive, CLOCK, lines), lambda: np.array(lines.rising_s)
    chosen = GpioConfig.model_validate({**config.model_dump(), "backend": backend})
    driver = open_driver(chosen, drive, CLOCK)
    return driver, kernel_record(config.step_pin)


def kernel_record(pin: int) -> Record:
    """Start the kernel's record of writes; what is returned reads the times at which `pin` rose."""
    (TRACE / "trace").write_text("")
    (TRACE / "events/gpio/gpio_value/enable").write_text("1")
    number = str(int(os.environ["WORMFOCUS_SIM_BASE"]) + pin)

    def read() -> Times:
        times = []
        for line in (TRACE / "trace").read_text().splitlines():
            before, found, after = line.partition(": gpio_value: ")
            if found and after.split() == [number, "set", "1"]:
                times.append(float(before.split()[-1]))
        return np.array(times)

    return read


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Have something else go on in this process meanwhile."""
    switch_s = sys.getswitchinterval()
    if what == "nothing":
        yield
    elif what == STALL:
        # Held up from outside, every thread at once.
        loop = f"while sleep 0.45; do kill -STOP {os.getpid()}; sleep 0.05; kill -CONT {os.getpid()}; done"
        stalling = subprocess.Popen(["/bin/sh", "-c", loop], start_new_session=True)
        try:
            yield
        finally:
            os.killpg(stalling.pid, signal.SIGKILL)
            stalling.wait()
            os.kill(os.getpid(), signal.SIGCONT)
    else:
        done = threading.Event()
        if what.endswith("0.5 ms"):
            sys.setswitchinterval(5e-4)

        def compute() -> None:
            total = 0
            while not done.is_set():
                for number in range(1000):
                    total += number

        beside = threading.Thread(target=compute)
        beside.start()
        try:
            yield
        finally:
            done.set()
            beside.join()
            sys.setswitchinterval(switch_s)


def figures(rising_s: Times, rate: float) -> dict[str, Any]:
    """Interval errors in us, and the lengthening of the whole."""
    intervals = np.diff(rising_s)
    error_us = np.abs(intervals - 1 / rate) * 1e6
    return {
        "steps": int(rising_s.size),
        "interval_us": round(1e6 / rate),
        "error_p50_us": round(float(np.median(error_us)), 1),
        "error_p99_us": round(float(np.quantile(error_us, 0.99)), 1),
        "error_max_us": round(float(error_us.max()), 1),
        "shortest_us": round(float(intervals.min()) * 1e6, 1),
        "slower_percent": round(float(intervals.mean() * rate - 1) * 100, 2),
    }


def in_real_time(work: Callable[[], None]) -> str | None:
    """Do `work` in a thread with real-time priority; say why not where that is refused."""
    refused: list[str] = []

    def run() -> None:
        scheduling = real_time()
        if scheduling.startswith("SCHED_FIFO"):
            work()
        else:
            refused.append(scheduling)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return refused[0] if refused else None


def steady(
    backend: str, parts: Parts, rate: float, scheduling: str, beside: str, seconds: float
) -> dict[str, Any]:
    """Row for one back end at one rate."""
    driver, record = open_case(backend, *parts)
    row: dict[str, Any] = {"case": f"{backend}, {rate:g} steps/s, {scheduling}, beside it {beside}"}
    row |= {"backend": backend, "rate_steps_s": rate, "scheduling": scheduling, "beside": beside}

    def steps() -> None:
        play_steadily(driver.play, CLOCK, rate, seconds)

    try:
        with going_on(beside):
            if scheduling == "SCHED_FIFO":
                if (refusal := in_real_time(steps)) is not None:
                    return row | {"refused": refusal}
            else:
                steps()
        return row | figures(record(), rate)
    finally:
        driver.close()


def waves(config: GpioConfig, drive: DriveConfig, rate: float, beside: str, seconds: float) -> dict[str, Any]:
    """Row for lgpio's own timing, for comparison: waves of a chunk each, queued two deep in its thread."""
    lgpio = import_tidily("lgpio")
    handle = lgpio.gpiochip_open(find_chip(config.chip, gpio_chips()).number)
    pins = [config.step_pin, config.dir_pin]
    lgpio.group_claim_output(handle, pins, [0, 0])
    record = kernel_record(config.step_pin)
    high_us, interval_us = round(drive.pulse_s * 1e6), round(1e6 / rate)
    size = max(1, int(rate * CHUNK_S))
    chunk = [lgpio.pulse(1, 1, high_us), lgpio.pulse(0, 1, interval_us - high_us)] * size
    full = lgpio.tx_room(handle, pins[0], lgpio.TX_WAVE)
    with going_on(beside):
        for _ in range(int(rate * seconds) // size):
            while lgpio.tx_room(handle, pins[0], lgpio.TX_WAVE) < full - 1:
                time.sleep(0.001)
            lgpio.tx_wave(handle, pins[0], chunk)
        while lgpio.tx_busy(handle, pins[0], lgpio.TX_WAVE):
            time.sleep(0.005)
    rising_s = record()
    lgpio.gpiochip_close(handle)
    row: dict[str, Any] = {"case": f"lgpio's own waves, {rate:g} steps/s, ordinary, beside it {beside}"}
    row |= {"backend": "lgpio's own waves", "rate_steps_s": rate, "scheduling": "ordinary", "beside": beside}
    return row | figures(rising_s, rate)


def broken_promises(rows: list[dict[str, Any]], speed: float) -> list[str]:
    """List what was found that may not be."""
    broken = []
    for row in rows:
        if "refused" in row or row["backend"] == "lgpio's own waves":
            continue
        if row["shortest_us"] < 1e6 / row["rate_steps_s"] - RESOLUTION_S * 1e6:
            broken.append(f"{row['case']}: an interval of {row['shortest_us']} us")
        steady_load = row["scheduling"] == "SCHED_FIFO" and row["beside"] == "nothing"
        if row["rate_steps_s"] == speed and steady_load:
            limit_us = PROMISED_SHARE * 1e6 / speed
            if row["error_p99_us"] > limit_us:
                broken.append(f"{row['case']}: {row['error_p99_us']} us, more than {limit_us:.0f} us")
    return broken


def main() -> int:
    """Measure, print, and say whether the reference rig's speed keeps its margin."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each case")
    parser.add_argument(
        "--alone", action="store_true", help="leave out what else goes on, which takes longest by emulation"
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    rig = load_rig("worm_tracker")
    if rig.gpio is None:
        parser.error("the rig worm_tracker has no gpio section")
    parts, speed = (rig.gpio, rig.axis.drive), rig.axis.max_speed_steps_s
    backends = os.environ.get("WORMFOCUS_GPIO_BACKENDS", "").split() or ["no wire"]
    rows = []
    for backend in backends:
        for rate in (speed, 1000.0, 2000.0):
            for scheduling in ("ordinary", "SCHED_FIFO"):
                rows.append(steady(backend, parts, rate, scheduling, "nothing", options.seconds))
                print_rows(rows[-1:])
        for beside in () if options.alone else (*THREADS, STALL):
            for place in (backend, f"{backend}, apart"):
                rows.append(steady(place, parts, speed, "SCHED_FIFO", beside, options.seconds))
                print_rows(rows[-1:])
    if "lgpio" in backends:
        for beside in ("nothing",) if options.alone else ("nothing", THREADS[0], STALL):
            rows.append(waves(*parts, speed, beside, options.seconds))
            print_rows(rows[-1:])
    if options.json is not None:
        write_report(options.json, rows)
    broken = broken_promises(rows, speed)
    for promise in broken:
        print(f"PROMISE BROKEN: {promise}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

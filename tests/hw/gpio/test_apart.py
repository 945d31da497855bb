"""The driver in a process of its own: what passes between the two, and what happens when one is gone."""

import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe
from typing import Any

import numpy as np
import pytest

from hw.drive import DriveConfig
from hw.errors import AxisFault, GpioUnavailable
from hw.gpio import apart
from hw.gpio.apart import ApartDriver, heed, serve
from hw.gpio.config import GpioConfig
from hw.step_driver import Pulses

BACKENDS = os.environ.get("WORMFOCUS_GPIO_BACKENDS", "").split()
EN = 22
# In the emulated machine time flies while it waits for files, minutes for milliseconds outside.
START_S = 86400.0


@pytest.fixture(autouse=True)
def _slow_machines_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "START_S", START_S)


@pytest.fixture
def served(paper_in_real_time: Any) -> Any:
    """Both ends of the calls, the end for stops, the driver's lines, and the thread that serves them."""
    driver, lines = paper_in_real_time
    calls, theirs = Pipe()
    stops, their_stops = Pipe()
    serving = threading.Thread(target=serve, args=(theirs, driver))
    heeding = threading.Thread(target=heed, args=(their_stops, driver))
    serving.start()
    heeding.start()
    yield calls, stops, lines
    calls.close()
    stops.close()
    serving.join(2)
    heeding.join(2)
    assert not serving.is_alive()
    assert not heeding.is_alive()


def test_calls_are_answered_in_turn(served: Any) -> None:
    calls, _, lines = served
    for call, answer in (
        (("enable", True), None),
        (("end_stop", None), False),
        (("close", None), None),
    ):
        calls.send(call)
        assert calls.recv() == answer
    assert [(edge.pin, edge.high) for edge in lines.written] == [(EN, False), (EN, True)]
    assert lines.released


def test_steps_are_played_and_a_stop_ends_them(served: Any) -> None:
    calls, stops, lines = served
    calls.send(("play", Pulses(True, time.monotonic() + np.arange(4000) / 400)))
    time.sleep(0.2)
    stops.send_bytes(b"stop")
    played = calls.recv()
    assert 0 < played.count < 4000
    assert played.count == sum(edge.high for edge in lines.written if edge.pin == 17)


def test_a_fault_comes_back_as_a_fault(served: Any) -> None:
    calls, _, lines = served
    lines.broken = True
    calls.send(("enable", True))
    answer = calls.recv()
    assert isinstance(answer, AxisFault)
    assert "a GPIO line failed" in str(answer)


def test_the_motor_goes_off_when_the_program_is_gone(served: Any) -> None:
    calls, stops, lines = served
    calls.send(("enable", True))
    calls.recv()
    calls.send(("play", Pulses(True, time.monotonic() + np.arange(4000) / 400)))
    time.sleep(0.1)
    calls.close()
    stops.close()
    until = time.monotonic() + 2
    while not lines.released and time.monotonic() < until:
        time.sleep(0.01)
    assert lines.released
    assert lines.written[-1][1:] == (EN, True)


# What the process runs where there is no chip: the same, with lines that end there.
STAND_IN = """
from hw.gpio import apart
from hw.gpio.pacing import PacedDriver

class NoWire:
    failures = (OSError,)
    def write(self, pin, high): pass
    def read(self, pin): return True
    def release(self): pass

apart.open_driver = lambda config, drive, clock: PacedDriver(config, drive, clock, NoWire())
apart.main()
"""


@pytest.fixture
def driver(config: GpioConfig, monkeypatch: pytest.MonkeyPatch) -> ApartDriver:
    start = subprocess.Popen

    def start_stand_in(command: list[str], **options: Any) -> Any:
        assert command[:3] == [sys.executable, "-m", "hw.gpio.apart"]
        return start([sys.executable, "-c", STAND_IN, *command[3:]], **options)

    monkeypatch.setattr(apart.subprocess, "Popen", start_stand_in)
    return ApartDriver(config, DriveConfig())


def test_a_process_does_what_a_driver_does(driver: ApartDriver) -> None:
    assert driver.scheduling.startswith(("SCHED_FIFO", "ordinary"))
    driver.enable(True)
    # The line is high, and the switch is active low.
    assert driver.end_stop is False
    played = driver.play(Pulses(True, time.monotonic() + np.arange(10) / 400))
    assert played.count == 10
    stopping = threading.Timer(0.2, driver.interrupt)
    stopping.start()
    assert 0 < driver.play(Pulses(True, time.monotonic() + np.arange(4000) / 400)).count < 4000
    stopping.join()
    driver.close()
    driver.close()
    driver.interrupt()
    assert driver._process.returncode == 0
    with pytest.raises(AxisFault, match="closed; open the rig again"):
        driver.enable(True)


def test_closing_ends_a_play_in_progress(driver: ApartDriver) -> None:
    closing = threading.Timer(0.2, driver.close)
    closing.start()
    assert driver.play(Pulses(True, time.monotonic() + np.arange(4000) / 400)).count < 4000
    closing.join()
    assert driver._process.returncode == 0


def test_a_process_that_died_is_a_fault_that_says_what_to_do(driver: ApartDriver) -> None:
    driver._process.kill()
    driver._process.wait()
    for use in (lambda: driver.enable(True), driver.close):
        with pytest.raises(AxisFault, match=r"has ended; open the rig again and home it"):
            use()
    driver.close()


def test_a_process_that_finds_no_chip_says_so_here(config: GpioConfig) -> None:
    with pytest.raises(GpioUnavailable, match="no chip is called 'no such chip'"):
        ApartDriver(config.model_copy(update={"chip": "no such chip"}), DriveConfig())
    assert sys.getswitchinterval() <= apart.SWITCH_S


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_killed_program_leaves_the_motor_off(backend: str, config: GpioConfig, kernel_record: Any) -> None:
    program = f"""
import time
import numpy as np
from hw.drive import DriveConfig
from hw.gpio import apart
from hw.gpio.config import GpioConfig
from hw.step_driver import Pulses
apart.START_S = {START_S}
wiring = GpioConfig(backend="{backend}", step_pin=17, dir_pin=27, enable_pin=22)
driver = apart.ApartDriver(wiring, DriveConfig())
driver.enable(True)
print("on", flush=True)
driver.play(Pulses(True, time.monotonic() + np.arange(4000) / 400))
"""
    kernel_record.start()
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "on\n"
        time.sleep(0.2)
        os.kill(running.pid, signal.SIGKILL)
    killed_s = time.monotonic()
    time.sleep(0.5)
    edges = kernel_record.edges()
    assert [high for _, pin, high in edges if pin == EN][-1] is True
    steps = [t for t, pin, high in edges if pin == 17 and high]
    assert len(steps) > 10
    assert steps[-1] - killed_s < 0.02

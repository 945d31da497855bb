"""What the doctor says of a motor driver's lines, and of the timing of its steps."""

import os
from pathlib import Path

import pytest

from hw.check import Check, Status
from hw.drive import DriveConfig
from hw.errors import AxisFault, GpioUnavailable
from hw.gpio import checks, timing
from hw.gpio.checks import LINE_INFO, LINE_INFO_SIZE, LineUse, check_gpio, line_use
from hw.gpio.chips import Chip, find_chip, gpio_chips
from hw.gpio.config import GpioConfig
from hw.gpio.timing import StepTiming, check_step_timing, measure_apart, measure_here

CHIP = Chip(Path("/dev/gpiochip0"), 0, "pinctrl-bcm2711", 58)
CONFIG = GpioConfig.model_validate(
    {"step_pin": 17, "dir_pin": 27, "enable_pin": 22, "end_stop": {"pin": 5}, "backend": "gpiod"}
)


def free(chip: Chip, pin: int) -> LineUse:
    return LineUse(pin, None)


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the chip and the library of a Pi."""
    monkeypatch.setattr(checks, "gpio_chips", lambda: [CHIP])
    monkeypatch.setattr(checks, "_is_installed", lambda module: module == "gpiod")


@pytest.mark.usefixtures("pi")
def test_all_is_there_and_free() -> None:
    library, chip, lines = check_gpio(CONFIG, free)
    assert [c.status for c in (library, chip, lines)] == [Status.ok] * 3
    assert "pinctrl-bcm2711" in chip.seen
    assert lines.seen == "STEP 17, DIR 27, EN 22, end stop 5: all free"


@pytest.mark.usefixtures("pi")
def test_who_holds_a_line_is_named() -> None:
    *_, lines = check_gpio(CONFIG, lambda chip, pin: LineUse(pin, "fan" if pin == 22 else None))
    assert lines.status is Status.failed
    assert "held: 22 by 'fan'" in lines.seen
    assert lines.next_step


@pytest.mark.usefixtures("pi")
def test_a_line_that_the_chip_does_not_have() -> None:
    *_, lines = check_gpio(CONFIG.model_copy(update={"step_pin": 60}), free)
    assert (lines.status, lines.seen) == (Status.failed, "pinctrl-bcm2711 has no line 60: only 0 to 57")


@pytest.mark.usefixtures("pi")
def test_a_library_that_is_not_installed() -> None:
    library, *_ = check_gpio(CONFIG.model_copy(update={"backend": "lgpio"}), free)
    assert library.status is Status.missing
    assert "lgpio" in library.next_step
    library, *_ = check_gpio(CONFIG.model_copy(update={"backend": "auto"}), free)
    assert (library.status, library.seen) == (Status.ok, "backend auto: gpiod installed")


def test_no_chip_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> list[Chip]:
        raise GpioUnavailable("GPIO: /dev/gpiochip0 may not be opened; add the user to group gpio")

    for chips in (refused, list):
        monkeypatch.setattr(checks, "gpio_chips", chips)
        _, chip, lines = check_gpio(CONFIG, free)
        assert (chip.status, lines.status) == (Status.missing, Status.missing)
        assert chip.next_step


@pytest.mark.parametrize(("flags", "holder"), [(0, None), (1, "spi0 CS0"), (8, None)])
def test_the_kernels_answer_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: int, holder: str | None
) -> None:
    device = tmp_path / "gpiochip0"
    device.touch()

    def answer(file: object, request: int, asked: bytes) -> bytes:
        assert (request, len(asked)) == (0xC100B405, LINE_INFO_SIZE)
        pin = LINE_INFO.unpack_from(asked)[2]
        consumer = b"spi0 CS0" if flags & 1 else b""
        return LINE_INFO.pack(b"GPIO8", consumer, pin, 0, flags).ljust(LINE_INFO_SIZE, b"\0")

    monkeypatch.setattr(checks.fcntl, "ioctl", answer)
    assert line_use(Chip(device, 0, "x", 58), 8) == LineUse(8, holder)


@pytest.mark.skipif(
    "WORMFOCUS_GPIO_BACKENDS" not in os.environ, reason="only in the machine of make test-gpio"
)
def test_a_real_kernel_says_who_holds_a_line() -> None:
    import gpiod

    chip = find_chip(None, gpio_chips())
    assert line_use(chip, 6) == LineUse(6, None)
    with gpiod.request_lines(str(chip.path), consumer="another", config={6: gpiod.LineSettings()}):
        assert line_use(chip, 6) == LineUse(6, "another")
    assert line_use(chip, 6) == LineUse(6, None)


def test_steps_are_timed_without_a_wire() -> None:
    measured = measure_here(400.0, 0.2, DriveConfig())
    assert measured.shortest_s >= 1 / 400 - 1e-6, "late is late: never closer together"
    assert 0 <= measured.error_p99_s <= measured.error_max_s


def test_steps_are_timed_in_a_process_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    # In the emulated machine time flies while it waits for the files of another process.
    monkeypatch.setattr(timing, "START_S", 86400.0)
    measured = measure_apart(400.0, 0.2, DriveConfig())
    assert measured.rate_steps_s == 400
    assert measured.shortest_s >= 1 / 400 - 1e-6
    assert measured.scheduling.startswith(("SCHED_FIFO", "ordinary"))


def test_a_process_that_fails_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing.sys, "executable", "/bin/false")
    with pytest.raises(AxisFault, match=r"its process failed .*; try 'python -m hw\.gpio\.timing'"):
        measure_apart(400.0, 0.2, DriveConfig())


@pytest.mark.parametrize(
    ("shortest_s", "p99_s", "max_s", "status"),
    [
        (0.0025, 1e-5, 2e-5, Status.ok),
        (0.0025, 1e-5, 3e-3, Status.warning),
        (0.0025, 1.3e-3, 2e-3, Status.failed),
        (0.0020, 1e-5, 5e-4, Status.failed),
    ],
)
def test_timing_is_judged_against_the_interval(
    shortest_s: float, p99_s: float, max_s: float, status: Status
) -> None:
    scheduling, steady = check_step_timing(StepTiming(400.0, shortest_s, p99_s, max_s, "SCHED_FIFO 20"))
    assert scheduling == Check("scheduling", Status.ok, "SCHED_FIFO 20")
    assert steady.status is status
    assert bool(steady.next_step) == (status is not Status.ok)


def test_ordinary_scheduling_is_a_warning() -> None:
    refused = StepTiming(400.0, 0.0025, 0, 0, "ordinary (Operation not permitted)")
    scheduling, _ = check_step_timing(refused)
    assert scheduling.status is Status.warning
    assert "LimitRTPRIO" in scheduling.next_step

"""Which library and which chip, and what is said when there is none."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.clock import SystemClock
from hw.config import load_model, load_rig
from hw.drive import DriveConfig
from hw.errors import AxisFault, ConfigError, GpioUnavailable
from hw.gpio import opening
from hw.gpio.chips import Chip, find_chip, gpio_chips
from hw.gpio.config import GpioConfig
from hw.gpio.lines import Wiring
from hw.gpio.opening import open_driver
from hw.gpio.pacing import PacedDriver
from hw.step_driver import Pulses

BACKENDS = os.environ.get("WORMFOCUS_GPIO_BACKENDS", "").split()
needs_a_chip = pytest.mark.skipif(not BACKENDS, reason="no simulated GPIO chip; run: make test-gpio")
PI4 = Chip(Path("/dev/gpiochip0"), 0, "pinctrl-bcm2711", 58)
EXPANDER = Chip(Path("/dev/gpiochip1"), 1, "raspberrypi-exp-gpio", 8)
PI5 = Chip(Path("/dev/gpiochip4"), 4, "pinctrl-rp1", 54)


@pytest.mark.parametrize(
    ("label", "chips", "number"),
    [(None, [EXPANDER, PI4], 0), (None, [EXPANDER, PI5], 4), ("raspberrypi-exp-gpio", [PI4, EXPANDER], 1)],
)
def test_a_chip_is_found_by_its_label(label: str | None, chips: list[Chip], number: int) -> None:
    assert find_chip(label, chips).number == number


@pytest.mark.parametrize(
    ("label", "chips", "says"),
    [
        (
            None,
            [],
            r"called 'pinctrl-bcm2711' or 'pinctrl-rp1'; chips here: none at all; .* Pi 4 or 5",
        ),
        ("pinctrl-rp1", [PI4, EXPANDER], r"'pinctrl-rp1'; chips here: pinctrl-bcm2711 \(gpiochip0\), rasp"),
        ("pinctrl-rp1", [PI5, PI5], "several chips are called 'pinctrl-rp1'"),
    ],
)
def test_a_chip_that_is_not_there_is_an_error_that_lists_those_that_are(
    label: str | None, chips: list[Chip], says: str
) -> None:
    with pytest.raises(GpioUnavailable, match=says):
        find_chip(label, chips)


@pytest.mark.parametrize("backend", ["lgpio", "gpiod", "rpi"])
def test_a_missing_library_is_an_error_that_names_what_to_install(
    backend: str, config: GpioConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "gpio_chips", lambda: [PI4])
    for module in ("lgpio", "gpiod", "RPi", "RPi.GPIO"):
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(GpioUnavailable, match=rf"backend '{backend}' is not installed .*install .*{backend}"):
        open_driver(config.model_copy(update={"backend": backend}), DriveConfig(), SystemClock())
    with pytest.raises(GpioUnavailable, match=r"no library is installed; install gpiod.* \(pip\), or lgpio"):
        open_driver(config, DriveConfig(), SystemClock())


def test_auto_takes_the_first_library_that_is_there(
    config: GpioConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def absent(chip: Chip, wiring: Wiring) -> object:
        tried.append("lgpio")
        raise ImportError

    def present(chip: Chip, wiring: Wiring) -> object:
        tried.append("gpiod")
        assert (chip, wiring.outputs, wiring.input_pin) == (PI5, {17: False, 27: False, 22: True}, 5)
        return object()

    monkeypatch.setattr(opening, "gpio_chips", lambda: [PI5])
    monkeypatch.setattr(opening, "LIBRARIES", {"lgpio": absent, "gpiod": present, "rpi": absent})
    assert isinstance(open_driver(config, DriveConfig(), SystemClock()), PacedDriver)
    assert tried == ["lgpio", "gpiod"]


def test_a_pin_that_the_chip_does_not_have_is_refused(
    config: GpioConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "gpio_chips", lambda: [PI4])
    with pytest.raises(GpioUnavailable, match="has pins 0 to 57, the rig file asks for 58"):
        open_driver(config.model_copy(update={"step_pin": 58}), DriveConfig(), SystemClock())


def test_one_pin_for_two_things_is_an_error_of_the_rig_file(tmp_path: Path) -> None:
    path = tmp_path / "gpio.yaml"
    path.write_text("step_pin: 17\ndir_pin: 27\nenable_pin: 22\nend_stop:\n  pin: 27\n")
    with pytest.raises(ConfigError, match=r"dir_pin and end_stop\.pin are both pin 27; give each its own"):
        load_model(path, GpioConfig)


def test_the_shipped_real_rig_says_how_its_driver_is_wired() -> None:
    rig = load_rig("worm_tracker")
    assert rig.gpio is not None
    assert rig.gpio.enable_active_low
    # A step must be long over before the next at full speed.
    assert 2 * rig.axis.drive.pulse_s < 0.1 / rig.axis.max_speed_steps_s


def test_a_line_that_fails_is_a_fault_in_one_line(bench: object) -> None:
    if not hasattr(bench, "lines"):
        pytest.skip("a simulated kernel's lines do not fail")
    bench.lines.broken = True
    with pytest.raises(AxisFault, match=r"line failed \(No such device\); check .* open the rig again"):
        bench.driver.enable(True)
    with pytest.raises(AxisFault, match="a GPIO line failed"):
        bench.driver.close()
    assert bench.lines.released


@needs_a_chip
def test_the_simulated_chip_is_listed() -> None:
    assert [chip for chip in gpio_chips() if chip.label == "pinctrl-bcm2711" and chip.lines == 58]


@needs_a_chip
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pin_in_use_is_refused_in_one_line(backend: str, config: GpioConfig) -> None:
    holder = open_driver(config.model_copy(update={"backend": "gpiod"}), DriveConfig(), SystemClock())
    try:
        with pytest.raises(GpioUnavailable, match="cannot have pin"):
            open_driver(config.model_copy(update={"backend": backend}), DriveConfig(), SystemClock())
    finally:
        holder.close()


@needs_a_chip
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_kernel_sees_each_line_go_the_right_way_with_the_motor_off(
    backend: str, config: GpioConfig, kernel_record: Any
) -> None:
    kernel_record.start()
    driver = open_driver(config.model_copy(update={"backend": backend}), DriveConfig(), SystemClock())
    directions, levels = kernel_record.directions(), kernel_record.edges()
    driver.close()
    assert {pin: out for _, pin, out in directions} == {17: True, 27: True, 22: True, 5: False}
    # EN is low when on: not even for a moment.
    assert {(pin, high) for _, pin, high in levels} == {(17, False), (27, False), (22, True)}


@needs_a_chip
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_library_leaves_nothing_in_the_current_directory(backend: str, tmp_path: Path) -> None:
    program = (
        "from hw.clock import SystemClock; from hw.drive import DriveConfig; "
        "from hw.gpio.config import GpioConfig; "
        "from hw.gpio.opening import open_driver; "
        f"open_driver(GpioConfig(backend='{backend}', step_pin=17, dir_pin=27, enable_pin=22), "
        "DriveConfig(), SystemClock()).close()"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []


@needs_a_chip
@pytest.mark.parametrize("backend", BACKENDS)
def test_lines_can_be_opened_again_after_closing(backend: str, config: GpioConfig) -> None:
    for _ in range(2):
        driver = open_driver(config.model_copy(update={"backend": backend}), DriveConfig(), SystemClock())
        assert driver.play(Pulses(True, np.array([SystemClock().now() + 0.01]))).count == 1
        driver.close()

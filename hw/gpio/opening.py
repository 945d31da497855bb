"""A step driver from the rig file's `gpio` section."""

from collections.abc import Callable

from hw.clock import Clock
from hw.drive import DriveConfig
from hw.errors import GpioUnavailable
from hw.gpio.chips import Chip, find_chip, gpio_chips
from hw.gpio.config import Backend, GpioConfig
from hw.gpio.gpiod_lines import GpiodLines
from hw.gpio.lgpio_lines import LgpioLines
from hw.gpio.lines import Lines, Wiring, wiring_of
from hw.gpio.pacing import PacedDriver
from hw.gpio.rpi_lines import RpiLines
from hw.step_driver import StepDriver

__all__ = ["open_driver"]

# In the order in which `auto` tries them: a single ioctl an edge first, what works on fewer Pis last.
LIBRARIES: dict[Backend, Callable[[Chip, Wiring], Lines]] = {
    "lgpio": LgpioLines,
    "gpiod": GpiodLines,
    "rpi": RpiLines,
}
INSTALL: dict[Backend, str] = {
    "lgpio": "install lgpio (pip), or python3-lgpio (apt)",
    "gpiod": "install gpiod>=2.2 (pip)",
    "rpi": "install rpi-lgpio (pip), or RPi.GPIO on a Pi 4 or older",
}


def open_driver(config: GpioConfig, drive: DriveConfig, clock: Clock) -> StepDriver:
    """Claim the lines of a motor driver, with STEP and DIR low and the motor off.

    Parameters
    ----------
    config : the rig file's `gpio`
    drive : its `axis.drive`
    clock : the system's; real lines know no other time

    Raises
    ------
    GpioUnavailable
        No such chip, library or pin; one line that says which there are, or what to install.
    """
    chip = find_chip(config.chip, gpio_chips())
    wiring = wiring_of(config)
    highest = max([*wiring.outputs, -1 if wiring.input_pin is None else wiring.input_pin])
    if highest >= chip.lines:
        raise GpioUnavailable(
            f"GPIO: {chip.label} has pins 0 to {chip.lines - 1}, the rig file asks for {highest}; mend gpio"
        )
    return PacedDriver(config, drive, clock, _claim(config.backend, chip, wiring))


def _claim(backend: str, chip: Chip, wiring: Wiring) -> Lines:
    for name, lines in LIBRARIES.items():
        if backend in (name, "auto"):
            try:
                return lines(chip, wiring)
            except ImportError as error:
                if backend != "auto":
                    raise GpioUnavailable(
                        f"GPIO: backend '{name}' is not installed ({error}); {INSTALL[name]}"
                    ) from error
    raise GpioUnavailable(f"GPIO: no library is installed; {INSTALL['gpiod']}, or lgpio")

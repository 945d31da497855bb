"""Lines by lgpio."""

import contextlib
import os
import sys
import tempfile
from types import ModuleType

from hw.errors import GpioUnavailable
from hw.gpio.chips import Chip
from hw.gpio.lines import Wiring

__all__ = ["LgpioLines", "import_tidily"]


def import_tidily(name: str) -> ModuleType:
    """Import lgpio, or a library made on it, without the named pipe it leaves in the current directory.

    lgpio opens `.lgd-nfy0` when it is imported, in the current directory or, for its C half only, in $LG_WD.
    The pipe stays usable when its name is gone.
    """
    from importlib import import_module

    if name in sys.modules or "lgpio" in sys.modules:
        return import_module(name)
    elsewhere = os.environ.pop("LG_WD", None)
    try:
        with tempfile.TemporaryDirectory(prefix="wormfocus-") as folder, contextlib.chdir(folder):
            return import_module(name)
    finally:
        if elsewhere is not None:
            os.environ["LG_WD"] = elsewhere


class LgpioLines:
    """Pins of a chip, claimed by lgpio.

    Raises
    ------
    ImportError
        lgpio is not installed.
    GpioUnavailable
        The chip or a pin cannot be had.
    """

    def __init__(self, chip: Chip, wiring: Wiring) -> None:
        self._lgpio = import_tidily("lgpio")
        self.failures: tuple[type[Exception], ...] = (self._lgpio.error,)
        pulls = {
            "up": self._lgpio.SET_PULL_UP,
            "down": self._lgpio.SET_PULL_DOWN,
            "none": self._lgpio.SET_PULL_NONE,
        }
        try:
            self._handle = self._lgpio.gpiochip_open(chip.number)
        except self._lgpio.error as error:
            raise GpioUnavailable(
                f"GPIO: lgpio cannot open {chip.path} ({error}); check who may use it"
            ) from error
        pin = None
        try:
            for pin, level in wiring.outputs.items():
                self._lgpio.gpio_claim_output(self._handle, pin, int(level))
            if (pin := wiring.input_pin) is not None:
                self._lgpio.gpio_claim_input(self._handle, pin, pulls[wiring.pull])
        except self._lgpio.error as error:
            self.release()
            raise GpioUnavailable(
                f"GPIO: lgpio cannot have pin {pin} of {chip.label} ({error}); gpioinfo shows who uses it"
            ) from error

    def write(self, pin: int, high: bool) -> None:
        """Set an output."""
        self._lgpio.gpio_write(self._handle, pin, high)

    def read(self, pin: int) -> bool:
        """Level of the input."""
        return bool(self._lgpio.gpio_read(self._handle, pin))

    def release(self) -> None:
        """Give the pins back."""
        self._lgpio.gpiochip_close(self._handle)

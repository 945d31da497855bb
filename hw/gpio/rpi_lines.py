"""Lines by RPi.GPIO: the library itself on a Pi 4, rpi-lgpio under the same name on a Pi 5."""

import os

from hw.errors import GpioUnavailable
from hw.gpio.chips import Chip
from hw.gpio.lgpio_lines import import_tidily
from hw.gpio.lines import Wiring

__all__ = ["RpiLines"]


class RpiLines:
    """Pins of the header, set up by RPi.GPIO.

    Raises
    ------
    ImportError
        Neither RPi.GPIO nor rpi-lgpio is installed.
    GpioUnavailable
        The library does not work on this machine, or a pin cannot be had.
    """

    def __init__(self, chip: Chip, wiring: Wiring) -> None:
        # rpi-lgpio asks for the chip by number here; RPi.GPIO knows only the header and asks nothing.
        os.environ["RPI_LGPIO_CHIP"] = str(chip.number)
        try:
            self._gpio = import_tidily("RPi.GPIO")
        except RuntimeError as error:
            raise GpioUnavailable(
                f"GPIO: RPi.GPIO refuses this machine ({error}); set gpio.backend to lgpio or gpiod"
            ) from error
        # rpi-lgpio passes on lgpio's own error, which is a plain Exception.
        self.failures: tuple[type[Exception], ...] = (RuntimeError, OSError, ValueError, *_lgpio_error())
        self._pins = [*wiring.outputs]
        pulls = {"up": self._gpio.PUD_UP, "down": self._gpio.PUD_DOWN, "none": self._gpio.PUD_OFF}
        pin = None
        try:
            self._gpio.setwarnings(False)
            self._gpio.setmode(self._gpio.BCM)
            for pin, level in wiring.outputs.items():
                self._gpio.setup(pin, self._gpio.OUT, initial=int(level))
            if (pin := wiring.input_pin) is not None:
                self._gpio.setup(pin, self._gpio.IN, pull_up_down=pulls[wiring.pull])
                self._pins.append(pin)
        except self.failures as error:
            raise GpioUnavailable(
                f"GPIO: RPi.GPIO cannot have pin {pin} ({error}); on a Pi 5 install rpi-lgpio in its place, "
                "or set gpio.backend to lgpio or gpiod"
            ) from error

    def write(self, pin: int, high: bool) -> None:
        """Set an output."""
        self._gpio.output(pin, high)

    def read(self, pin: int) -> bool:
        """Level of the input."""
        return bool(self._gpio.input(pin))

    def release(self) -> None:
        """Give the pins back."""
        self._gpio.cleanup(self._pins)


def _lgpio_error() -> tuple[type[Exception], ...]:
    import sys

    lgpio = sys.modules.get("lgpio")
    return () if lgpio is None else (lgpio.error,)

"""Lines by the kernel's own library, gpiod 2."""

from hw.errors import GpioUnavailable
from hw.gpio.chips import Chip
from hw.gpio.lines import Wiring

__all__ = ["GpiodLines"]


class GpiodLines:
    """Pins of a chip, requested by gpiod.

    Raises
    ------
    ImportError
        gpiod 2 is not installed.
    GpioUnavailable
        A pin cannot be had.
    """

    def __init__(self, chip: Chip, wiring: Wiring) -> None:
        import gpiod
        from gpiod.line import Bias, Direction, Value

        self.failures: tuple[type[Exception], ...] = (OSError, gpiod.RequestReleasedError)
        self._levels = {False: Value.INACTIVE, True: Value.ACTIVE}
        self._high = Value.ACTIVE
        settings: dict[int | str, gpiod.LineSettings | None] = {
            pin: gpiod.LineSettings(direction=Direction.OUTPUT, output_value=self._levels[level])
            for pin, level in wiring.outputs.items()
        }
        if wiring.input_pin is not None:
            bias = {"up": Bias.PULL_UP, "down": Bias.PULL_DOWN, "none": Bias.DISABLED}[wiring.pull]
            settings[wiring.input_pin] = gpiod.LineSettings(direction=Direction.INPUT, bias=bias)
        try:
            self._request = gpiod.request_lines(str(chip.path), consumer="wormfocus", config=dict(settings))
        except (OSError, ValueError) as error:
            pins = ", ".join(str(pin) for pin in settings)
            raise GpioUnavailable(
                f"GPIO: gpiod cannot have pins {pins} of {chip.label} ({error}); gpioinfo shows who uses them"
            ) from error

    def write(self, pin: int, high: bool) -> None:
        """Set an output."""
        self._request.set_value(pin, self._levels[high])

    def read(self, pin: int) -> bool:
        """Level of the input."""
        return self._request.get_value(pin) is self._high

    def release(self) -> None:
        """Give the pins back."""
        self._request.release()

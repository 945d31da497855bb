"""The seam between the pulse timing, which is the same for all, and the library that owns the pins."""

from dataclasses import dataclass
from typing import Literal, Protocol

from hw.gpio.config import GpioConfig

__all__ = ["Lines", "Wiring", "wiring_of"]


@dataclass(frozen=True, slots=True)
class Wiring:
    """What to ask a GPIO library for.

    Attributes
    ----------
    outputs : GPIO number to the level it starts with
    input_pin : GPIO number of the end stop, None where there is none
    pull : resistor on the input
    """

    outputs: dict[int, bool]
    input_pin: int | None
    pull: Literal["up", "down", "none"]


class Lines(Protocol):
    """Pins that a library has claimed for this process.

    Attributes
    ----------
    failures : what the library raises when a line cannot be written or read
    """

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What the library raises when a line cannot be written or read."""

    def write(self, pin: int, high: bool) -> None:
        """Set an output; returns once the kernel or the register has it."""

    def read(self, pin: int) -> bool:
        """Level of the input."""

    def release(self) -> None:
        """Give the pins back."""


def wiring_of(config: GpioConfig) -> Wiring:
    """Lines of a motor driver at rest: STEP and DIR low, EN off."""
    stop = config.end_stop
    return Wiring(
        {config.step_pin: False, config.dir_pin: False, config.enable_pin: config.enable_active_low},
        None if stop is None else stop.pin,
        "none" if stop is None else stop.pull,
    )

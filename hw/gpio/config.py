"""The `gpio` section of a rig file: how the motor driver is wired. Its timing is in `axis.drive`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hw.section import Section

__all__ = ["Backend", "EndStopConfig", "GpioConfig"]

Backend = Literal["lgpio", "gpiod", "rpi"]
Pin = Annotated[int, Field(ge=0)]


class EndStopConfig(Section):
    """A switch at the end of travel."""

    pin: Pin = Field(description="GPIO number, as in 'GPIO5'.")
    pull: Literal["up", "down", "none"] = Field("up", description="The Pi's own resistor on the line.")
    active: Literal["low", "high"] = Field("low", description="Level of the line while pressed.")


class GpioConfig(Section):
    """Lines of one motor driver. Pins are GPIO numbers ('GPIO17' is 17), not positions on the header."""

    backend: Backend | Literal["auto"] = Field(
        "auto", description="Library that drives the lines; auto: the first that is installed."
    )
    chip: str | None = Field(
        None, description="Label of the GPIO chip as gpiodetect shows it; the Pi's own header when absent."
    )
    step_pin: Pin
    dir_pin: Pin
    enable_pin: Pin
    enable_active_low: bool = Field(True, description="EN low means motor on, as on most drivers.")
    end_stop: EndStopConfig | None = None

    @model_validator(mode="after")
    def _one_line_a_pin(self) -> "GpioConfig":
        pins = {"step_pin": self.step_pin, "dir_pin": self.dir_pin, "enable_pin": self.enable_pin}
        if self.end_stop is not None:
            pins["end_stop.pin"] = self.end_stop.pin
        taken: dict[int, str] = {}
        for name, pin in pins.items():
            if pin in taken:
                raise ValueError(f"{taken[pin]} and {name} are both pin {pin}; give each its own")
            taken[pin] = name
        return self

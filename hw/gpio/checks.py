"""Whether the GPIO lines that a rig file asks for can be had; nothing is claimed and no level changes."""

import fcntl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from hw.check import Check, Status
from hw.errors import GpioUnavailable
from hw.gpio.chips import Chip, find_chip, gpio_chips
from hw.gpio.config import Backend, GpioConfig
from hw.gpio.opening import INSTALL

__all__ = ["LineUse", "check_gpio", "line_use"]

MODULES: dict[Backend, str] = {"lgpio": "lgpio", "gpiod": "gpiod", "rpi": "RPi.GPIO"}

# GPIO_V2_GET_LINEINFO_IOCTL and struct gpio_v2_line_info of <linux/gpio.h>: name, consumer, offset, number of
# attributes, flags; ten attributes and padding follow.
LINE_INFO_REQUEST = 0xC100B405
LINE_INFO = struct.Struct("32s32sIIQ")
LINE_INFO_SIZE = 256
USED = 1


@dataclass(frozen=True, slots=True)
class LineUse:
    """A line: its number, and who holds it; None when it is free."""

    pin: int
    holder: str | None


def line_use(chip: Chip, pin: int) -> LineUse:
    """Ask the kernel who holds a line.

    Raises
    ------
    OSError
        The chip cannot be opened, or has no such line.
    """
    with chip.path.open("rb") as file:
        asked = LINE_INFO.pack(b"", b"", pin, 0, 0).ljust(LINE_INFO_SIZE, b"\0")
        reply = fcntl.ioctl(file, LINE_INFO_REQUEST, asked)
    _, consumer, _, _, flags = LINE_INFO.unpack_from(reply)
    name = consumer.rstrip(b"\0").decode(errors="replace") or "the kernel"
    return LineUse(pin, name if flags & USED else None)


def check_gpio(config: GpioConfig, use_of: Callable[[Chip, int], LineUse] = line_use) -> list[Check]:
    """Look at the library, the chip and the lines of a motor driver.

    Parameters
    ----------
    config : the rig file's `gpio`
    use_of : tells who holds a line of a chip
    """
    library = _check_library(config)
    try:
        chip = find_chip(config.chip, gpio_chips())
    except GpioUnavailable as error:
        seen, _, step = str(error).rpartition("; ")
        # Those that are there may have names that end in an explanation of their own.
        missing = Check("GPIO chip", Status.missing, seen, step)
        return [library, missing, Check("GPIO lines", Status.missing, "no chip to have them on", step)]
    found = Check("GPIO chip", Status.ok, f"{chip.label} ({chip.path}), {chip.lines} lines")
    return [library, found, _check_lines(config, chip, use_of)]


def _check_library(config: GpioConfig) -> Check:
    name = "GPIO library"
    wanted = list(MODULES) if config.backend == "auto" else [config.backend]
    there = [backend for backend in wanted if _is_installed(MODULES[backend])]
    if there:
        return Check(name, Status.ok, f"backend {config.backend}: {', '.join(there)} installed")
    return Check(
        name,
        Status.missing,
        f"backend {config.backend}: none of {', '.join(MODULES[b] for b in wanted)} is installed",
        INSTALL["gpiod" if config.backend == "auto" else config.backend],
    )


def _check_lines(config: GpioConfig, chip: Chip, use_of: Callable[[Chip, int], LineUse]) -> Check:
    name = "GPIO lines"
    pins = {"STEP": config.step_pin, "DIR": config.dir_pin, "EN": config.enable_pin}
    if config.end_stop is not None:
        pins["end stop"] = config.end_stop.pin
    wired = ", ".join(f"{what} {pin}" for what, pin in pins.items())
    beyond = [str(pin) for pin in pins.values() if pin >= chip.lines]
    if beyond:
        return Check(
            name,
            Status.failed,
            f"{chip.label} has no line {', '.join(beyond)}: only 0 to {chip.lines - 1}",
            "mend gpio in the rig file",
        )
    try:
        uses = [use_of(chip, pin) for pin in pins.values()]
    except OSError as error:
        return Check(
            name, Status.failed, f"cannot be asked for ({error.strerror})", "check the chip's rights"
        )
    held = [f"{use.pin} by '{use.holder}'" for use in uses if use.holder is not None]
    if held:
        return Check(
            name,
            Status.failed,
            f"{wired}; held: {', '.join(held)}",
            "end the program that holds them; a running wormfocus service: systemctl stop wormfocus",
        )
    return Check(name, Status.ok, f"{wired}: all free")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    # A parent package that is missing, or that refuses this machine when it is imported.
    except (ImportError, RuntimeError, ValueError):
        return False

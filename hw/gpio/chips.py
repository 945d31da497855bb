"""The kernel's GPIO chips, found by their labels: their numbers differ between boards and between boots."""

import fcntl
import struct
from dataclasses import dataclass
from pathlib import Path

from hw.errors import GpioUnavailable

__all__ = ["PI_LABELS", "Chip", "find_chip", "gpio_chips"]

# The chip behind the 40-pin header: Pi 4 and Pi 5.
PI_LABELS = ("pinctrl-bcm2711", "pinctrl-rp1")

# GPIO_GET_CHIPINFO_IOCTL and struct gpiochip_info of <linux/gpio.h>: name, label, number of lines.
CHIP_INFO_REQUEST = 0x8044B401
CHIP_INFO = struct.Struct("32s32sI")


@dataclass(frozen=True, slots=True)
class Chip:
    """A GPIO chip: its device, the number in the device's name, its label and its number of lines."""

    path: Path
    number: int
    label: str
    lines: int


def gpio_chips(folder: Path = Path("/dev")) -> list[Chip]:
    """List the GPIO chips that can be opened, each once.

    Raises
    ------
    GpioUnavailable
        There are some, and none may be opened.
    """
    chips: dict[Path, Chip] = {}
    refused: OSError | None = None
    for path in sorted(folder.glob("gpiochip*")):
        # Some kernels give a Pi 5's chip a second name, for programs that expect its old number.
        device = path.resolve()
        number = device.name.removeprefix("gpiochip")
        if not number.isdigit():
            continue
        try:
            with device.open("rb") as file:
                reply = fcntl.ioctl(file, CHIP_INFO_REQUEST, bytes(CHIP_INFO.size))
        except OSError as error:
            refused = error
            continue
        _, label, lines = CHIP_INFO.unpack(reply)
        chips[device] = Chip(device, int(number), label.rstrip(b"\0").decode(errors="replace"), lines)
    if not chips and isinstance(refused, PermissionError):
        raise GpioUnavailable(
            f"GPIO: {refused.filename} may not be opened; add the user to group gpio and log in again"
        )
    return list(chips.values())


def find_chip(label: str | None, chips: list[Chip]) -> Chip:
    """Pick a chip by its label; without one, that of a Pi's header.

    Raises
    ------
    GpioUnavailable
        None of `chips`, or more than one, carries the label.
    """
    wanted = PI_LABELS if label is None else (label,)
    found = [chip for chip in chips if chip.label in wanted]
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{chip.label} ({chip.path.name})" for chip in chips) or "none at all"
    asked = " or ".join(f"'{name}'" for name in wanted)
    if found:
        raise GpioUnavailable(f"GPIO: several chips are called {asked}; chips here: {there}")
    raise GpioUnavailable(
        f"GPIO: no chip is called {asked}; chips here: {there}; set gpio.chip, or run this on a Pi 4 or 5"
    )

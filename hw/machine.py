"""The computer that a rig runs on: board, power, temperature, disk."""

import platform
import shutil
import subprocess
from pathlib import Path

from hw.check import Check, Status

__all__ = ["check_board", "check_disk", "check_temperature", "check_throttling", "throttling"]

MODEL = Path("/proc/device-tree/model")
TEMPERATURE = Path("/sys/class/thermal/thermal_zone0/temp")

# A Pi 4 or 5 slows itself down from 80 degrees C on.
WARM_C, HOT_C = 70.0, 80.0
COMMAND_S = 5.0

# Bits of the firmware's answer (Raspberry Pi documentation, vcgencmd get_throttled); 16 higher: since boot.
TROUBLES = {
    0: "under-voltage",
    1: "processor frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
SINCE_BOOT = 16

# One row of a session's frames.csv, rounded up; the other files are small.
ROW_BYTES = 300
HOUR_S, DAY_S = 3600.0, 86400.0


def check_board(*, needs_pi: bool, model: Path = MODEL) -> Check:
    """Name operating system and board.

    Parameters
    ----------
    needs_pi : the rig is one for a Raspberry Pi 4 or 5
    model : the device tree's file with the board's name
    """
    system = f"{_system_name()}, {platform.machine()}, Python {platform.python_version()}"
    try:
        board = model.read_bytes().rstrip(b"\0").decode(errors="replace").strip()
    except OSError:
        board = ""
    seen = f"{board or 'not a Raspberry Pi (no device tree)'}; {system}"
    if not needs_pi or any(
        name in board for name in ("Raspberry Pi 4", "Raspberry Pi 5", "Compute Module 4")
    ):
        return Check("board", Status.ok, seen)
    if board.startswith("Raspberry Pi"):
        return Check("board", Status.warning, seen, "use a Pi 4 or 5: no other is supported")
    return Check("board", Status.missing, seen, "run this on the rig's Raspberry Pi 4 or 5")


def throttling(bits: int) -> tuple[list[str], list[str]]:
    """Decode the firmware's bits: troubles now, and those since boot that are over."""
    now = [name for bit, name in TROUBLES.items() if bits >> bit & 1]
    since = [name for bit, name in TROUBLES.items() if bits >> (bit + SINCE_BOOT) & 1 and name not in now]
    return now, since


def check_throttling(program: str = "vcgencmd") -> Check:
    """Ask the firmware whether the power supply or the heat holds the processor back.

    Parameters
    ----------
    program : Raspberry Pi OS's program that asks the firmware
    """
    name = "power"
    supply = "use the Pi's own power supply and a short cable, and cool the processor"
    try:
        done = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
    except FileNotFoundError:
        return Check(
            name, Status.warning, f"not known: no {program} here", "install it (raspi-utils) on a Pi"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(
            name, Status.warning, f"not known: {program} does not answer ({error})", "try it by hand"
        )
    said = (done.stdout.strip() or done.stderr.strip()).replace("\n", " ")
    try:
        bits = int(said.removeprefix("throttled="), 16)
    except ValueError:
        return Check(
            name, Status.warning, f"not known: {program} says '{said}'", "add the user to group video"
        )
    now, since = throttling(bits)
    if now:
        return Check(name, Status.failed, f"now: {', '.join(now)} ({bits:#x})", supply)
    if since:
        return Check(name, Status.warning, f"since boot: {', '.join(since)} ({bits:#x})", supply)
    return Check(name, Status.ok, f"no under-voltage and no throttling since boot ({bits:#x})")


def check_temperature(sensor: Path = TEMPERATURE) -> Check:
    """Read the processor's temperature."""
    name = "temperature"
    try:
        celsius = int(sensor.read_text()) / 1000
    except (OSError, ValueError):
        return Check(
            name, Status.warning, "not known: no sensor here", "measure it yourself, if this is a Pi"
        )
    seen = f"processor at {celsius:.1f} degrees C"
    if celsius >= HOT_C:
        return Check(name, Status.failed, seen, f"cool it: from {HOT_C:g} on it slows down")
    if celsius >= WARM_C:
        return Check(name, Status.warning, seen, f"cool it: from {HOT_C:g} on it slows down")
    return Check(name, Status.ok, seen)


def check_disk(folder: Path, fps: float) -> Check:
    """See how long a session could be recorded.

    Parameters
    ----------
    folder : where sessions are written
    fps : frames per second, each a row of a session's table
    """
    name = "disk"
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(name, Status.failed, f"{folder}: {error.strerror}", "name a folder that exists")
    seconds = free / (fps * ROW_BYTES)
    seen = f"{free / 1e9:.1f} GB free at {folder}: sessions of {seconds / HOUR_S:,.0f} hours"
    make_room = "make room, or name another folder with --sessions"
    if seconds < HOUR_S:
        return Check(name, Status.failed, seen, make_room)
    return Check(name, Status.warning if seconds < DAY_S else Status.ok, seen, make_room * (seconds < DAY_S))


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()

"""The machine that figures were measured on."""

import os
import platform
from pathlib import Path
from typing import Any

from hw.machine import check_board, check_temperature, check_throttling

__all__ = ["describe_machine", "state_of_machine"]

_CPUINFO = Path("/proc/cpuinfo")
_MEMINFO = Path("/proc/meminfo")
_CPUFREQ = Path("/sys/devices/system/cpu/cpu0/cpufreq")


def describe_machine() -> dict[str, Any]:
    """Return what does not change while a benchmark runs: board, processor, memory, system."""
    return {
        "board": check_board(needs_pi=False).seen,
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "governor": _line(_CPUFREQ / "scaling_governor"),
        "max_mhz": _mhz(_line(_CPUFREQ / "scaling_max_freq")),
        "memory_gb": _memory_gb(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def state_of_machine() -> dict[str, Any]:
    """Return what may change: heat, throttling, clock, and what else is running."""
    return {
        "temperature": check_temperature().seen,
        "throttling": check_throttling().seen,
        "mhz": _mhz(_line(_CPUFREQ / "scaling_cur_freq")),
        "load_1_min": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    # On Arm there is no name, but the number of its design.
    for key in ("model name", "CPU part"):
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip() if key == "model name" else f"{platform.machine()}, part {value.strip()}"
    return platform.machine()


def _memory_gb() -> float | None:
    total = (_line(_MEMINFO) or "").split()
    return round(int(total[1]) / 1e6, 1) if len(total) > 1 else None


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, IndexError):
        return None


def _mhz(khz: str | None) -> int | None:
    return int(khz) // 1000 if khz and khz.isdigit() else None

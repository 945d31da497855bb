"""A benchmark's figures: printed, and kept as JSON beside the command and the machine they were made with."""

import json
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hw.whole_file import write_whole

__all__ = ["Row", "held_rows", "machine", "print_rows", "write_report"]

Row = dict[str, Any]


def machine() -> str:
    """Processor, cores used, operating system, Python and the libraries that matter."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        name = models[0] if models else name
    return (
        f"{name}, 1 core; {platform.system()}; Python {platform.python_version()}, "
        f"OpenCV {cv2.__version__}, numpy {np.__version__}"
    )


def print_rows(rows: list[Row]) -> None:
    """Print one line for every row: its case, then its figures."""
    for row in rows:
        print("; ".join(str(value) if key == "case" else f"{key} {value}" for key, value in row.items()))


def held_rows(path: Path | None) -> list[Row]:
    """Return the rows that an earlier run of a study left in its JSON file; none where there is no file."""
    if path is None or not path.exists():
        return []
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def write_report(path: Path, rows: list[Row], **more: object) -> None:
    """Write rows as `benchmarks/README.md` says, with the command line of this process, whole or not at all.

    `more` stands before the rows, by its names: summaries, and what the rows are compared with. All numbers
    are finite.
    """
    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    report = {"command": command, "machine": machine(), **more, "rows": rows}
    write_whole(path, (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())

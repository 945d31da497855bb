"""The networks of papers 2 to 5 on their simulated rigs, each beside its paper's figure.

    python benchmarks/paper_networks.py --folder WORK --json benchmarks/results/paper_networks.json

Papers 3 (yeast, bins of z) and 5 (crops of beads) are trained here, by shipped recipes; of papers 2 (patches)
and 4 (two ranges) the shipped bundles are judged anew, on seeds that they never saw. WORK keeps stacks and
runs, so that a study that was cut short goes on. Rows of papers not asked for stay in the JSON file.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from methods.bead_rows import bead_rows
from methods.report import Row, print_rows, write_report
from methods.slide_rows import slide_rows
from methods.slit_rows import slit_rows
from methods.yeast_rows import yeast_rows


def main() -> None:
    """Run the studies that are asked for, and print their rows."""
    import cv2

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="for stacks and runs, some GB")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--papers", type=int, nargs="+", choices=(2, 3, 4, 5), default=[2, 3, 4, 5])
    parser.add_argument("--slides", type=int, default=40, help="paper 2: slides to judge on")
    parser.add_argument("--days", type=int, default=40, help="paper 4: days to judge on")
    parser.add_argument("--bead-sets", type=int, default=7, help="paper 5: sets to learn from")
    parser.add_argument("--bead-networks", type=int, default=10, help="paper 5: networks to average")
    parser.add_argument("--bead-minutes", type=float, default=None, help="paper 5: to train each for")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    studies: dict[int, Callable[[], list[Row]]] = {
        2: lambda: slide_rows(options.folder / "slide", options.slides),
        3: lambda: yeast_rows(options.folder / "yeast", "yeast_z_bins", None),
        4: lambda: slit_rows(options.days),
        5: lambda: bead_rows(
            options.folder / "beads",
            "bead_crops",
            options.bead_sets,
            options.bead_networks,
            options.bead_minutes,
        ),
    }
    rows: list[Row] = []
    commands: dict[str, str] = {}
    if options.json and options.json.exists():
        held = json.loads(options.json.read_text(encoding="utf-8"))
        rows, commands = held["rows"], held["commands"]
    for paper in options.papers:
        found = studies[paper]()
        print_rows(found)
        rows = sorted([*(row for row in rows if row["paper"] != paper), *found], key=lambda row: row["paper"])
        commands[f"paper {paper}"] = shlex.join(["python", "benchmarks/paper_networks.py", *sys.argv[1:]])
        if options.json:
            write_report(options.json, rows, commands=dict(sorted(commands.items())))


if __name__ == "__main__":
    main()

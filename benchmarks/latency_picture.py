"""Accuracy against latency, from the results of `latency.py`.

    python benchmarks/latency_picture.py benchmarks/results/latency.json benchmarks/results/latency.png

On the left worms, all over the same specimens; on the right the slit laser. One thread; error over that of an
answer of 0 to everything, so that both can be read alike: at 1 a network has learnt nothing.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MARKS = {"fp32": "o", "fp16": "s", "dynamic": "^", "int8": "*"}
PANELS = {"worm_tracker": "worms, reference rig", "slit_laser_sim": "slit laser, every network"}


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    rows = json.loads(options.results.read_text(encoding="utf-8"))["rows"]
    rows = [row for row in rows if row["threads"] == 1]
    figure, panels = plt.subplots(1, 2, figsize=(13, 5.5), layout="constrained")
    for axes, (rig, title) in zip(panels, PANELS.items(), strict=True):
        shown = [row for row in rows if row["rig"] == rig]
        names = sorted({named(row) for row in shown})
        for name, colour in zip(names, plt.colormaps["tab20"].colors, strict=False):
            for row in (row for row in shown if named(row) == name):
                axes.plot(
                    row["median_ms"],
                    row["mae_um"] / row["error_of_zero_um"],
                    MARKS[row["precision"]],
                    color=colour,
                    markersize=13 if row["precision"] == "int8" else 7,
                    label=name if row["precision"] in ("int8", "fp32") else None,
                )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.axhline(1, color="0.7", linewidth=0.8)
        axes.set_xlabel("ms per answer, one thread of this machine")
        axes.set_ylabel("mean error, over that of answering 0")
        axes.set_title(title)
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend(handles.values(), handles.keys(), fontsize=8, frameon=False)
    marks = "simulated; circle fp32, square fp16, triangle dynamic int8, star static int8"
    figure.suptitle(marks, fontsize=10)
    figure.savefig(options.picture, dpi=110)


def named(row: dict[str, str]) -> str:
    """Return what a row's point is called: a shipped bundle, or a network and its input."""
    return row["bundle"] if row["bundle"] in ("default", "fast") else f"{row['network']} {row['input']}"


if __name__ == "__main__":
    main()

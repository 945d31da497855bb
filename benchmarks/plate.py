"""How far from focus the wells of a plate are left, by each autofocus, on both ways over the plate (paper 4).

    python benchmarks/plate.py --json benchmarks/results/plate.json --folder PLATES

Every case is `wormfocus plate` on the rig slit_laser_sim: 96 wells, each visited, focused by the method under
test and then recorded as a z-stack of beads, whose focus is measured. A seed is one plate on one day, and no
network was trained on it. Stacks that the folder already holds are kept; a case that the JSON file holds for
the same networks is not run again.
"""

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from methods.report import held_rows, write_report

# Method of the command, its bundles, and whether the last one is asked again after its move. The paper takes
# one image for each range.
METHODS: dict[str, tuple[str, list[str], bool]] = {
    "hold": ("none", [], True),
    "contrast": ("contrast", [], True),
    "short range": ("network", ["slit_short"], True),
    "long range, one image": ("network", ["slit_long"], False),
    "long range": ("network", ["slit_long"], True),
    "two ranges, one image each": ("network", ["slit_long", "slit_short"], False),
    "two ranges": ("network", ["slit_long", "slit_short"], True),
}
SNAKES = ("horizontal", "vertical")
# Standard deviations in um, and what became of the range, from paper 4, figures S4 and S5.
PAPER = {
    ("short range", "horizontal"): "fails after one well",
    ("short range", "vertical"): "0.26, most wells",
    ("long range, one image", "horizontal"): "1.17",
    ("long range, one image", "vertical"): "0.98",
    ("two ranges, one image each", "horizontal"): "0.21",
    ("two ranges, one image each", "vertical"): "0.16",
}


def one_case(name: str, snake: str, seed: int, folder: Path, dwell_s: float) -> dict[str, Any]:
    """Run one method over one plate; returns its figures."""
    import cv2

    from wormfocus.command import main as wormfocus

    cv2.setNumThreads(1)
    method, bundles, confirm = METHODS[name]
    home = folder / f"{name.replace(',', '').replace(' ', '_')}-{snake}-{seed}"
    figures = folder / f"{home.name}.json"
    arguments = ["plate", "--rig", "slit_laser_sim", "--method", method, "--snake", snake]
    arguments += [
        "--seed",
        str(seed),
        "--dwell-s",
        f"{dwell_s:g}",
        "--out",
        str(home),
        "--json",
        str(figures),
    ]
    for bundle in bundles:
        arguments += ["--bundle", bundle]
    if not confirm:
        arguments.append("--no-confirm")
    status = wormfocus(arguments)
    if status != 0:
        raise SystemExit(f"wormfocus {shlex.join(arguments)} ended with status {status}")
    row = json.loads(figures.read_text(encoding="utf-8"))
    wells = row.pop("by_well")
    row["offsets_um"] = {well["well"]: well["offset_um"] for well in wells}
    row["true_offsets_um"] = {well["well"]: well["true_offset_um"] for well in wells}
    return {"case": name, **row}


def digests(name: str) -> list[str]:
    """First digits of the SHA-256 of the networks that a case uses."""
    from edge.bundle import load_bundle

    return [load_bundle(bundle).card.flatbuffer_sha256[:12] for bundle in METHODS[name][1]]


def in_words(row: dict[str, Any]) -> str:
    """Return one row of the table."""

    def um(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    paper = PAPER.get((row["case"], row["snake"]), "-")
    return (
        f"| {row['case']} | {row['snake']} | {row['seed']} | {row['focused']} | {row['measured']} "
        f"| {um(row['std_um'])} | {um(row['mean_um'])} | {um(row['true']['std_um'])} "
        f"| {row['frames_median']:g} | {paper} |"
    )


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--snakes", nargs="+", choices=SNAKES, default=list(SNAKES))
    parser.add_argument("--dwell-s", type=float, default=60.0, help="at each well, as an experiment would")
    parser.add_argument("--folder", type=Path, required=True, help="for the stacks, 65 MB a case")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--picture", type=Path, default=None, help="maps and histograms of the first seed")
    options = parser.parse_args()

    options.folder.mkdir(parents=True, exist_ok=True)
    rows = held_rows(options.json)
    rows = [row for row in rows if row["networks"] == digests(row["case"])]
    for seed in options.seeds:
        for snake in options.snakes:
            for name in options.methods:
                if any((r["case"], r["snake"], r["seed"]) == (name, snake, seed) for r in rows):
                    continue
                rows.append(one_case(name, snake, seed, options.folder, options.dwell_s))
                if options.json:
                    write_report(options.json, sorted(rows, key=order))
    if options.json:
        write_report(options.json, sorted(rows, key=order))
    rows.sort(key=order)
    print("| method | snake | seed | focused | measured | std, um | mean, um | true std | frames | paper 4 |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(in_words(row))
    if options.picture:
        draw([row for row in rows if row["seed"] == options.seeds[0]], options.picture)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw map and histogram of every case, a line for each method, a pair of columns for each snake."""
    import numpy as np
    from matplotlib.figure import Figure

    from calibration.plate_layout import well_named

    names = [name for name in METHODS if any(row["case"] == name for row in rows)]
    figure = Figure(figsize=(15, 2.3 * len(names) + 0.4), layout="constrained")
    axes = figure.subplots(len(names), 4, width_ratios=(1.7, 1, 1.7, 1), squeeze=False)
    for row in rows:
        left, right = axes[names.index(row["case"])][2 * SNAKES.index(row["snake"]) :][:2]
        depths = np.full((8, 12), np.nan)
        for name, offset in row["offsets_um"].items():
            well = well_named(name)
            assert well is not None
            if offset is None:
                left.plot(well.column, well.row, "x", color="dimgrey", markersize=4)
            else:
                depths[well.row, well.column] = offset
        offsets = depths[np.isfinite(depths)]
        reach = max(0.2, float(np.abs(offsets).max())) if offsets.size else 1.0
        shown = left.imshow(depths, cmap="RdBu_r", vmin=-reach, vmax=reach)
        figure.colorbar(shown, ax=left, label="µm", shrink=0.9)
        left.set_xticks(range(12), [str(c + 1) for c in range(12)], fontsize=7)
        left.set_yticks(range(8), list("ABCDEFGH"), fontsize=7)
        left.set_title(f"{row['case']}, {row['snake']} snake, {row['measured']} wells measured", fontsize=9)
        right.hist(offsets, bins=np.linspace(-reach, reach, 31).tolist())
        std = row["std_um"]
        right.set_title("" if std is None else f"standard deviation {std:.2f} µm", fontsize=9)
        right.set_xlabel("focus minus lens, µm", fontsize=8)
    figure.suptitle("SIMULATED slit_laser_sim: wells of a plate; x: no bead in focus within the stack")
    figure.savefig(path, dpi=80)


def order(row: dict[str, Any]) -> tuple[int, int, int]:
    """Place of a row in the table."""
    return list(METHODS).index(row["case"]), SNAKES.index(row["snake"]), row["seed"]


if __name__ == "__main__":
    main()

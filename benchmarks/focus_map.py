"""The focus map of a simulated slide by single shots and by stacks: how far apart, and in what time.

    python benchmarks/focus_map.py --maps MAPS --json benchmarks/results/focus_map.json

Both methods survey the same slide with `wormfocus map`; what the folder MAPS holds is not surveyed again.
Slides come from seeds that no network was trained on. Beside the two maps' difference (paper 2, section
2.2 and figure 4c), single shots and stacks are compared with true focus, which the simulator knows without
noise, at some of the points, and the fields called uneven with the relief under the patches.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from methods.report import write_report

PAPER = {"mean_abs_um": 0.28, "sd_abs_um": 0.32, "time_ratio": 0.19}


def surveyed(folder: Path, method: str, seed: int, options: argparse.Namespace) -> Path:
    """Survey a slide unless that has been done; returns the map's file."""
    from wormfocus.command import main as wormfocus

    out = folder / f"{options.rig}_{seed}_{method}"
    side = str(options.side_um)
    arguments = ["map", "--rig", options.rig, "--method", method, "--grid", options.grid, "--out", str(out)]
    arguments += ["--seed", str(seed), "--width-um", side, "--height-um", side, "--bundle", options.bundle]
    if method == "network":
        stacks = folder / f"{options.rig}_{seed}_contrast" / "map.json"
        arguments += ["--uneven-dof", str(options.uneven_dof), "--against", str(stacks)]
    if wormfocus(arguments) != 0:
        raise SystemExit(f"the survey of seed {seed} by {method} failed")
    return out / "map.json"


def compared(seed: int, shots: Path, stacks: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one slide."""
    from calibration.focus_map.result import compare, read_map
    from hw.config import load_rig

    rig = load_rig(options.rig)
    dof = rig.optics.dof_um
    one, many = read_map(shots), read_map(stacks)
    comparison = compare(one, many)
    by_shot = {(point.column, point.row) for point in one.points if point.state == "shot"}
    shot = np.array(
        [place in by_shot for place in zip(comparison.columns, comparison.rows, strict=True)], bool
    )
    told = next((point.told_um for point in one.points if point.told_um is not None), None)
    seconds = {"network": one.seconds(), "contrast": many.seconds()}
    # The first point with tissue is searched for in the same way by both.
    later = {
        name: sum(sum(point.seconds.values()) for point in each.points[_first(each) + 1 :])
        for name, each in (("network", one), ("contrast", many))
    }
    return {
        "rig": options.rig,
        "seed": seed,
        "grid": options.grid,
        "bundle": one.about["bundle"],
        "points": len(one.points),
        "shot": sum(point.state == "shot" for point in one.points),
        "scanned": sum(point.state == "scanned" for point in one.points),
        "uneven": sum(point.reason.startswith("uneven") for point in one.points),
        "failed": {
            "network": sum(point.state == "failed" for point in one.points),
            "contrast": sum(point.state == "failed" for point in many.points),
        },
        "error": comparison.figures(dof),
        "error_of_shots": _figures(comparison.error_um[shot]),
        # What single shots would have said without the network's constant error taken off.
        "told_in_focus_um": told,
        "error_of_shots_untrimmed": _figures(comparison.error_um[shot] + (told or 0.0)),
        "seconds": seconds,
        "time_ratio": seconds["network"]["total"] / seconds["contrast"]["total"],
        "time_ratio_without_scans": (seconds["network"]["total"] - seconds["network"]["scan"])
        / seconds["contrast"]["total"],
        "time_ratio_after_search": later["network"] / later["contrast"],
        "surface": {"network": one.figures()["surface"], "contrast": many.figures()["surface"]},
        "unevenness": unevenness(rig, seed, one),
        "truth": truth(rig, seed, one, many, options.truth),
    }


def unevenness(rig: Any, seed: int, found: Any) -> dict[str, Any]:
    """How the spread told by patches compares with that of the relief under them."""
    from calibration.focus_map.patches import patch_boxes
    from hw.simulation.rig import sample_of

    sample: Any = sample_of(rig, seed=seed)
    boxes = patch_boxes((rig.camera.width_px, rig.camera.height_px), (128, 128))
    told, true = [], []
    for point in found.points:
        if point.spread_um is None:
            continue
        heights = sample.heights_um((point.x_um, point.y_um))
        means = [float(heights[y : y + high, x : x + wide].mean()) for x, y, wide, high in boxes]
        told.append(point.spread_um)
        true.append(max(means) - min(means))
    scanned = np.array(told) > found.about["plan"]["uneven_dof"] * rig.optics.dof_um
    uneven = np.array(true) > found.about["plan"]["uneven_dof"] * rig.optics.dof_um
    return {
        "fields": len(told),
        "correlation": float(np.corrcoef(told, true)[0, 1]),
        "truly_uneven": int(uneven.sum()),
        "of_these_found": int((scanned & uneven).sum()),
        "called_uneven": int(scanned.sum()),
        "median_told_um": float(np.median(told)),
        "median_true_um": float(np.median(true)),
    }


def truth(rig: Any, seed: int, one: Any, many: Any, count: int) -> dict[str, Any]:
    """Errors of both methods against noise-free true focus at some of the points that both measured."""
    from calibration.measure import DEFAULT_MEASURE, MEASURES
    from calibration.truth import sharpest_position
    from hw.errors import StackError
    from hw.rig import open_rig
    from hw.simulation.rig import sample_of

    sample: Any = sample_of(rig, seed=seed)
    with open_rig(rig, seed=seed) as opened:
        assert opened.ideal is not None
        assert opened.stage is not None
        zero_um = opened.ideal.plane_um(0.0) - sample.plane_um(0.0, opened.stage.position_um)
    measure = MEASURES[DEFAULT_MEASURE]
    theirs = {(point.column, point.row): point for point in many.measured}
    both = [point for point in one.measured if (point.column, point.row) in theirs]
    chosen = [both[int(place)] for place in np.linspace(0, len(both) - 1, min(count, len(both)))]
    errors: dict[str, list[float]] = {"network": [], "contrast": []}
    for point in chosen:
        place = (point.x_um, point.y_um)
        try:
            focus = zero_um + sharpest_position(
                lambda z, place=place: measure(sample.intensity(0.0, place, z)),  # type: ignore[misc]
                sample.plane_um(0.0, place),
                rig.optics.dof_um,
            )
        except StackError:
            continue
        errors["network"].append(point.focus_um - focus)
        errors["contrast"].append(theirs[point.column, point.row].focus_um - focus)
    return {name: _figures(np.array(each)) for name, each in errors.items()}


def _first(found: Any) -> int:
    """Place of the first measured point in the order of visits."""
    return next(n for n, point in enumerate(found.points) if point.focus_um is not None)


def _figures(error: Any) -> dict[str, float | int]:
    if not len(error):
        return {"n": 0}
    size = np.abs(error)
    return {
        "n": len(error),
        "mean_um": float(error.mean()),
        "sd_um": float(error.std()),
        "mean_abs_um": float(size.mean()),
        "sd_abs_um": float(size.std()),
        "max_abs_um": float(size.max()),
    }


def main() -> None:
    """Survey what is missing, compare, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rig", default="slide_sim")
    parser.add_argument("--bundle", default="slide")
    parser.add_argument("--grid", default="16x16")
    parser.add_argument("--side-um", type=float, default=10_000.0)
    parser.add_argument("--uneven-dof", type=float, default=1.5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--truth", type=int, default=48, help="Points of each slide to find true focus at.")
    parser.add_argument("--maps", type=Path, default=Path("maps"))
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    rows = []
    for seed in options.seeds:
        stacks = surveyed(options.maps, "contrast", seed, options)
        shots = surveyed(options.maps, "network", seed, options)
        rows.append(compared(seed, shots, stacks, options))
        print(json.dumps(rows[-1], indent=1))
        if options.json:
            write_report(options.json, rows, paper=PAPER)


if __name__ == "__main__":
    main()

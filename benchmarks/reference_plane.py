"""The reference plane of simulated beads against the truth: exposures, bead sets, number of beads.

    python benchmarks/reference_plane.py --features FOLDER --json benchmarks/results/reference_plane.json

Every set is another slide of beads under another objective of the rig's family; its stacks differ in
exposure only. All are recorded through the rig, with noise, backlash and lost frames, and measured by the
very code of `wormfocus calibrate plane`. What was measured is kept in the folder, so that a run that was cut
short goes on. Truth is defined in `hw.simulation.beads`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from methods.bead_sets import exposed, recorded, rendered_once
from methods.report import write_report
from numpy.typing import NDArray

BEAD_UM = 28.5
EXPOSURES_MS = (6, 9, 12, 15, 18, 21, 24)
CENTRE_UM, SPAN_UM, STEP_UM = 55.0, 240.0, 7.5
BEAD_NUMBERS = (2, 3, 4, 6, 8, 12)
DRAWS = 12
# How stacks are taken together, and one in how many of their planes.
WAYS = (("pooled", 1), ("alone", 1), ("pooled", 4), ("alone", 4), ("among finer", 4))
# Paper 5's actuator repeats to this; it asks for errors below it.
REPEATABILITY_UM = 7.5


def record(name: str, seed: int, exposures_ms: Sequence[float], folder: Path) -> list[Path]:
    """Record and measure the stacks of a set, one for each exposure; returns the files of their features."""
    from calibration.bead_features import measure_stack
    from calibration.beads import BeadSearch
    from hw.config import load_rig
    from hw.simulation.rig import sample_of

    base = load_rig(name)
    paths = []
    with rendered_once():
        for exposure_ms in exposures_ms:
            path = folder / f"{name}-{seed}-{exposure_ms:g}ms.npz"
            paths.append(path)
            if path.exists():
                continue
            stack, truth = recorded(exposed(base, exposure_ms), seed, CENTRE_UM, SPAN_UM, STEP_UM)
            sample: Any = sample_of(base, seed=seed)
            by_feature = np.array(sample.reference_planes_um(0.0, (0.0, 0.0)))
            measured = measure_stack(stack, BeadSearch(BEAD_UM / stack.um_per_px))
            partial = path.with_suffix(".partial.npz")
            np.savez(
                partial,
                positions_um=measured.positions_um,
                values=measured.values,
                saturated=measured.saturated,
                truth_um=truth + by_feature - by_feature.mean(),
            )
            partial.replace(path)
            print(path, file=sys.stderr, flush=True)
    return paths


def load(path: Path, every: int = 1) -> tuple[Any, NDArray[np.float64]]:
    """Features of a stack, or of every so many of its planes, and the true planes of both features."""
    from calibration.bead_features import BeadFeatures

    with np.load(path) as held:
        # Where the beads lie plays no part any more; their number does.
        tracks = (None,) * len(held["saturated"])
        features = BeadFeatures(
            path.stem,
            held["positions_um"][::every],
            held["values"][:, :, ::every],
            held["saturated"][:, ::every],
            tracks,  # type: ignore[arg-type]
        )
        return features, held["truth_um"]


def rows_of(paths: Sequence[Path], how: str, every: int = 1) -> list[dict[str, Any]]:
    """Compare the reference planes of stacks of one set, pooled or each by itself, with the truth."""
    from calibration.reference_plane import find_reference_planes
    from hw.errors import StackError

    loaded = {path.stem: load(path, every) for path in paths}
    features = [each for each, _ in loaded.values()]
    groups = [features] if how == "pooled" else [[each] for each in features]
    if how == "among finer":
        # Each with every so many of its planes, and the others with all of theirs.
        whole = {path.stem: load(path)[0] for path in paths}
        groups = [[each, *(w for n, w in whole.items() if n != each.name)] for each in features]
    rows = []
    for group in groups:
        try:
            survey = find_reference_planes(group)
        except StackError as error:
            rows += [
                {"stack": each.name, "how": how, "every": every, "refused": str(error)} for each in group
            ]
            continue
        # The others among which one is are there for their profile only.
        asked = {each.name for each in (group[:1] if how == "among finer" else group)}
        rows += [
            {"stack": refused.name, "how": how, "every": every, "refused": refused.reason}
            for refused in survey.refused
            if refused.name in asked
        ]
        for plane in (found for found in survey.planes if found.name in asked):
            truth = loaded[plane.name][1]
            row = {
                "stack": plane.name,
                "how": how,
                "every": every,
                "beads": plane.beads,
                "error_um": plane.position_um - float(truth.mean()),
                "sigma_um": plane.sigma_um,
            }
            for (name, by), true in zip(plane.by_feature.items(), truth, strict=True):
                row |= {
                    f"{name}_error_um": by.position_um - float(true),
                    f"{name}_sigma_um": by.sigma_um,
                    f"{name}_planes": int(by.curve.used.sum()),
                    f"{name}_saturated_planes": int(by.curve.saturated.sum()),
                }
            rows.append(row)
    return rows


def few_beads(path: Path, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Errors with random subsets of a stack's beads, each subset measured as a stack of its own."""
    from calibration.reference_plane import find_reference_planes
    from hw.errors import StackError

    features, truth = load(path)
    count = len(features.tracks)
    rows = []
    for number in (n for n in BEAD_NUMBERS if n < count):
        for _ in range(DRAWS):
            chosen = rng.choice(count, number, replace=False)
            try:
                plane = find_reference_planes([features.of_beads(chosen)], replicates=20).planes[0]
            except StackError as error:
                rows.append({"stack": features.name, "beads": number, "refused": str(error)})
                continue
            error_um = plane.position_um - float(truth.mean())
            rows.append(
                {"stack": features.name, "beads": number, "error_um": error_um, "sigma_um": plane.sigma_um}
            )
    return rows


def summary(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Bias, spread, worst case and coverage for each value of a key."""
    table = []
    for value in sorted({row[key] for row in rows}):
        chosen = [row for row in rows if row[key] == value]
        good = [row for row in chosen if "error_um" in row]
        line: dict[str, Any] = {key: value, "stacks": len(chosen), "refused": len(chosen) - len(good)}
        if good:
            error = np.array([row["error_um"] for row in good])
            sigma = np.array([row["sigma_um"] for row in good])
            line |= {
                "bias_um": float(error.mean()),
                "rms_um": float(np.sqrt(np.square(error).mean())),
                "p95_um": float(np.percentile(np.abs(error), 95)),
                "worst_um": float(np.abs(error).max()),
                "within_repeatability": float((np.abs(error) < REPEATABILITY_UM).mean()),
                "sigma_um_median": float(np.median(sigma)),
                "within_1_sigma": float((np.abs(error) < sigma).mean()),
                "within_2_sigma": float((np.abs(error) < 2 * sigma).mean()),
            }
        table.append(line)
    return table


def main() -> None:
    """Record what is missing, then find the planes and print the tables."""
    import cv2

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rig", default="beads_sim")
    parser.add_argument("--sets", type=int, default=5)
    parser.add_argument("--more-sets", type=int, default=0, help="More sets at 12 ms only, for the coverage.")
    parser.add_argument("--features", type=Path, required=True, help="Folder that keeps what was measured.")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    options.features.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    last = options.sets + options.more_sets
    of_set = {
        seed: record(options.rig, seed, EXPOSURES_MS if seed < options.sets else (12,), options.features)
        for seed in range(last)
    }
    rows = []
    for seed in range(options.sets):
        for how, every in WAYS:
            for row in rows_of(of_set[seed], how, every):
                exposure = float(row["stack"].rsplit("-", 1)[1].removesuffix("ms"))
                rows.append({"set": seed, "exposure_ms": exposure, **row})
    more = [row for seed in range(options.sets, last) for row in rows_of(of_set[seed], "alone")]
    rng = np.random.default_rng(0)
    at_12_ms = [of_set[seed][EXPOSURES_MS.index(12)] for seed in range(options.sets)]
    few = [row for path in at_12_ms for row in few_beads(path, rng)]
    tables: dict[str, Any] = {
        f"{how}, {STEP_UM * every:g} um apart": {
            "by_exposure": summary(chosen, "exposure_ms"),
            "by_set": summary(chosen, "set"),
            "all": summary(chosen, "how"),
        }
        for how, every in WAYS
        if (chosen := [row for row in rows if (row["how"], row["every"]) == (how, every)])
    }
    tables["by number of beads, 12 ms"] = summary(few, "beads")
    at_12 = [row for row in rows if (row["how"], row["every"], row["exposure_ms"]) == ("alone", 1, 12.0)]
    tables["all sets alone, 12 ms"] = summary([*at_12, *more], "how")
    print(json.dumps(tables, indent=1))
    if options.json:
        write_report(options.json, rows, tables=tables, more_sets=more)


if __name__ == "__main__":
    main()

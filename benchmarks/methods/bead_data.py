"""What the bead networks of `paper_networks.py` learn from and are tested on.

To learn from: crops of every bead, labelled with the reference plane that the beads themselves tell, as
`wormfocus calibrate plane --crops` writes them. To test on: whole stacks, labelled with the truth.
"""

import json
from pathlib import Path
from typing import Any

from hw.whole_file import write_whole
from methods.bead_sets import record_set

__all__ = [
    "BEAD_UM",
    "INPUT_PX",
    "LEARN_MS",
    "TEST_MS",
    "crops_of_simulated",
    "learning_crops",
    "test_stacks",
]

BEAD_UM = 28.5
LEARN_MS = (6.0, 12.0, 18.0, 24.0)
TEST_MS = (6.0, 9.0, 12.0, 15.0, 18.0, 21.0, 24.0)
INPUT_PX, JITTER_PX = 64, 5
# Of learning and of testing: first to last plane and between planes, um.
LEARN_UM, TEST_UM = (300.0, 15.0), (240.0, 15.0)


def learning_crops(rig: str, seeds: range, folder: Path) -> list[dict[str, Any]]:
    """Write the crops of sets of beads, unless they are there; returns what was found of each set."""
    from calibration.bead_crops import write_crops
    from calibration.bead_features import measure_stack
    from calibration.beads import BeadSearch
    from calibration.reference_plane import find_reference_planes
    from hw.config import load_rig

    base = load_rig(rig)
    folder.mkdir(parents=True, exist_ok=True)
    search = BeadSearch(BEAD_UM / base.optics.um_per_px, INPUT_PX + 2 * JITTER_PX)
    found = []
    for seed in seeds:
        done = folder / f"set-{seed}.json"
        if not done.exists():
            stacks, truths, features = {}, {}, []
            for exposure_ms, stack, truth_um in record_set(base, seed, LEARN_MS, *LEARN_UM):
                name = f"{rig}-{seed}_{exposure_ms:g}ms"
                stacks[name], truths[name] = stack, truth_um
                features.append(measure_stack(stack, search, name=name))
            survey = find_reference_planes(features)
            for plane in survey.planes:
                own = next(each for each in features if each.name == plane.name)
                write_crops(folder, stacks[plane.name], own, plane, search)
            said = {
                "set": seed,
                "beads": {plane.name: plane.beads for plane in survey.planes},
                "label_error_um": {p.name: p.position_um - truths[p.name] for p in survey.planes},
                "refused": {refused.name: refused.reason for refused in survey.refused},
            }
            write_whole(done, json.dumps(said).encode())
            print(
                f"set {seed}: {sum(said['beads'].values())} beads of {len(survey.planes)} stacks", flush=True
            )
        found.append(json.loads(done.read_bytes()))
    return found


def crops_of_simulated(rig: str, seeds: range, stacks: Path, folder: Path) -> None:
    """Write the crops of simulated stacks, one exposure each, unless they are there."""
    from calibration.bead_crops import write_crops
    from calibration.bead_features import measure_stack
    from calibration.beads import BeadSearch
    from calibration.reference_plane import find_reference_planes
    from calibration.simulate import StackPlan, simulate_stacks
    from calibration.stack import read_stack, stack_name
    from hw.config import load_rig
    from hw.errors import StackError

    base = load_rig(rig)
    folder.mkdir(parents=True, exist_ok=True)
    search = BeadSearch(BEAD_UM / base.optics.um_per_px, INPUT_PX + 2 * JITTER_PX)
    for made in simulate_stacks(base, StackPlan(31, 150.0, None, True), seeds, stacks):
        if made.path is None or (done := folder / f"set-{made.seed}.json").exists():
            continue
        stack = read_stack(made.path)
        try:
            features = measure_stack(stack, search, name=stack_name(made.path))
            plane = find_reference_planes([features]).planes[0]
        except StackError as error:
            write_whole(done, json.dumps({"refused": str(error)}).encode())
            continue
        beads = write_crops(folder, stack, features, plane, search)
        write_whole(done, json.dumps({"beads": beads}).encode())


def test_stacks(rig: str, seeds: range, folder: Path) -> list[Path]:
    """Write stacks of sets of beads at all exposures with the truth as label, unless they are there."""
    from calibration.label import Label, label_path, write_label
    from calibration.stack import STACK_SUFFIX, write_stack
    from hw.config import load_rig

    base = load_rig(rig)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in seeds:
        wanted = [folder / f"{rig}-{seed}_{exposure:g}ms{STACK_SUFFIX}" for exposure in TEST_MS]
        paths += wanted
        if all(label_path(path).exists() for path in wanted):
            continue
        recorded = record_set(base, seed, TEST_MS, *TEST_UM)
        for path, (_, stack, truth_um) in zip(wanted, recorded, strict=True):
            write_stack(path, stack)
            write_label(path, Label(truth_um, 0.0, "known by construction"))
        print(f"test set {seed}", flush=True)
    return paths

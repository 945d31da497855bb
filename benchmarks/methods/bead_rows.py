"""Paper 5 on simulated beads: crops, four normalisations, ten networks, and few beads to an image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.whole_file import write_whole
from methods.bead_data import (
    BEAD_UM,
    INPUT_PX,
    LEARN_MS,
    TEST_MS,
    crops_of_simulated,
    learning_crops,
    test_stacks,
)
from methods.report import Row

__all__ = ["bead_rows"]

RIG = "beads_sim"
PAPER_5 = "within 7.5 um of the reference plane, also with six beads (abstract, figures 10 and 11)"
WITHIN_UM = 7.5
# First seed and number of sets: to learn from at several exposures and at 12 ms alone, and to test on.
LEARN, SIMULATED, TEST = (310_000, 7), (6_000, 24), (320_000, 8)
NETWORKS = 10
LEVELS = ("zero_centre", "z_score", "background")
BEADS = (1, 3, 6)
DRAWS = 4
EVERY = 3


def bead_rows(folder: Path, recipe: str, sets: int | None = None) -> list[Row]:
    """Record what is missing, train, and judge images of sets never trained on."""
    first, number = LEARN
    learnt = learning_crops(RIG, range(first, first + (sets or number)), folder / "crops")
    crops_of_simulated(
        RIG, range(SIMULATED[0], sum(SIMULATED)), folder / "simulated", folder / "crops_simulated"
    )
    paths = test_stacks(RIG, range(TEST[0], sum(TEST)), folder / "test")
    cut = cut_test_beads(paths, folder / "test_beads.pickle")
    networks = train_networks(folder, recipe)
    images = judged(cut, networks)
    ten = [name for name in networks if name.startswith("as_is")]
    label_errors = [e for each in learnt for e in each["label_error_um"].values()]
    rows = []
    cases: list[tuple[str, Sequence[str], int | None]] = [
        ("ten networks, all beads", ten, None),
        *((f"ten networks, {n} beads", ten, n) for n in BEADS),
        ("one network, all beads", ten[:1], None),
        ("one network, 6 beads", ten[:1], 6),
        *((f"one network, {name}, 6 beads", [name], 6) for name in networks if name not in ten),
    ]
    for case, chosen, beads in cases:
        first_run = networks[chosen[0]]
        rows.append(
            {
                "case": case,
                "paper": 5,
                "rig": RIG,
                "network": first_run.recipe.network,
                "recipe": first_run.recipe.name,
                "levels": first_run.recipe.levels,
                "learnt_from": len(first_run.split["train"]),
                "images_seen": first_run.record.images_seen,
                "minutes": float(np.mean([networks[name].record.minutes or 0 for name in chosen])),
                "label_rms_um": float(np.sqrt(np.mean(np.square(label_errors)))),
                "figure_of_the_paper": PAPER_5,
                **figures(pooled_errors(images, list(networks), chosen, beads)),
            }
        )
    return rows


def train_networks(folder: Path, recipe: str) -> dict[str, Any]:
    """Train ten networks that differ by their seed, one for each other normalisation, or take them."""
    from training.fit import train
    from training.recipe import load_recipe

    base = load_recipe(recipe)
    wanted = {f"as_is_{seed}": base.model_copy(update={"seed": seed}) for seed in range(NETWORKS)}
    wanted |= {levels: base.model_copy(update={"levels": levels}) for levels in LEVELS}
    runs = {}
    stacks = [folder / "crops", folder / "crops_simulated"]
    for name, each in wanted.items():
        runs[name] = train(each, stacks, folder / "runs" / name, cache=folder / "cache")
        assert runs[name] is not None
    return runs


def cut_test_beads(paths: Sequence[Path], kept: Path) -> list[dict[str, Any]]:
    """Cut out the beads of some planes, each found in that plane alone; kept in a file.

    Of each stack every so many planes, beginning with another one from stack to stack.
    """
    import pickle

    from calibration.beads import BeadSearch
    from calibration.label import read_label
    from calibration.stack import read_stack
    from training.bead_offset import cut_beads
    from training.views import rgb_planes

    if kept.exists():
        # The study's own file.
        found: list[dict[str, Any]] = pickle.loads(kept.read_bytes())
        return found
    images = []
    for number, path in enumerate(paths):
        stack, label = read_stack(path), read_label(path)
        assert label is not None
        search = BeadSearch(BEAD_UM / stack.um_per_px, INPUT_PX)
        chosen = slice(number % EVERY, None, EVERY)
        for image, position_um in zip(rgb_planes(stack)[chosen], stack.positions_um[chosen], strict=True):
            images.append(
                {
                    "set": stack.specimen,
                    "exposure_ms": float(path.name.rsplit("_", 1)[1].removesuffix("ms.ome.tif")),
                    "offset_um": label.focus_um - float(position_um),
                    "beads": cut_beads(image, search),
                }
            )
        print(f"beads of {path.name}", flush=True)
    write_whole(kept, pickle.dumps(images))
    return images


def judged(images: Sequence[Mapping[str, Any]], networks: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Ask every network about every bead."""
    from training.bead_offset import ask
    from training.judge import judge_of_run

    judges = [judge_of_run(run) for run in networks.values()]
    return [{**image, "answers": ask(image["beads"], judges)} for image in images]


def pooled_errors(
    images: Sequence[Mapping[str, Any]], names: Sequence[str], chosen: Sequence[str], beads: int | None
) -> list[dict[str, Any]]:
    """Errors of images, by some of the networks and by all their beads or by random ones of a number."""
    from dataclasses import replace

    from training.bead_offset import pool

    rng = np.random.default_rng(0)
    rows = [names.index(name) for name in chosen]
    found = []
    for image in images:
        answers = replace(image["answers"], offsets_um=image["answers"].offsets_um[rows])
        count = answers.offsets_um.shape[1]
        case = {key: image[key] for key in ("set", "exposure_ms", "offset_um")}
        if count == 0 or (beads is not None and count < beads):
            found.append({**case, "error_um": None})
            continue
        for _ in range(1 if beads is None else DRAWS):
            some = answers if beads is None else answers.of(rng.choice(count, beads, replace=False))
            pooled = pool(some)
            assert pooled is not None
            found.append({**case, "error_um": pooled.offset_um - image["offset_um"]})
    return found


def figures(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of all errors, by exposure, by distance from the reference plane and by set."""
    counted = [each for each in found if each["error_um"] is not None]
    bands = {"0-40": (0, 40), "40-80": (40, 80), "80-140": (80, 140)}
    return {
        **_summary(found),
        "by_exposure_ms": {
            f"{ms:g}": _summary([each for each in found if each["exposure_ms"] == ms]) for ms in TEST_MS
        },
        "exposures_learnt_ms": list(LEARN_MS),
        "by_distance_um": {
            name: _summary([each for each in found if low <= abs(each["offset_um"]) < high])
            for name, (low, high) in bands.items()
        },
        "bias_by_set_um": {
            name: float(np.mean([each["error_um"] for each in counted if each["set"] == name]))
            for name in sorted({each["set"] for each in counted})
        },
    }


def _summary(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    size: NDArray[Any] = np.abs([each["error_um"] for each in found if each["error_um"] is not None])
    return {
        "n": len(size),
        "too_few_beads": len(found) - len(size),
        "within_7.5_um": float((size <= WITHIN_UM).mean()),
        "mae_um": float(size.mean()),
        "rms_um": float(np.sqrt(np.square(size).mean())),
        "p95_um": float(np.percentile(size, 95)),
        "worst_um": float(size.max()),
    }

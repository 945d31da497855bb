"""Paper 5 on simulated beads: crops, four normalisations, several networks, and few beads to an image."""

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
# First seed of the sets to learn from at several exposures; first seed and number of those to learn from at
# 12 ms alone, and of those to test on.
LEARN, SIMULATED, TEST = 310_000, (6_000, 24), (320_000, 8)
LEVELS = ("as_is", "zero_centre", "z_score", "background")
BEADS = (1, 3, 6)
DRAWS = 4
EVERY = 3


def bead_rows(
    folder: Path, recipe: str, sets: int, networks: int = 10, max_minutes: float | None = None
) -> list[Row]:
    """Record what is missing, train, and judge images of sets never trained on.

    Parameters
    ----------
    folder : for all of it
    recipe : of the networks, which differ by their seed
    sets : recorded at several exposures to learn from
    networks : how many are averaged
    max_minutes : to train each
    """
    learnt = learning_crops(RIG, range(LEARN, LEARN + sets), folder / "crops")
    crops_of_simulated(
        RIG, range(SIMULATED[0], sum(SIMULATED)), folder / "simulated", folder / "crops_simulated"
    )
    paths = test_stacks(RIG, range(TEST[0], sum(TEST)), folder / "test")
    cut = cut_test_beads(paths, folder / "test_beads.pickle")
    runs = train_networks(folder, recipe, networks, max_minutes)
    return rows_of(runs, judged(cut, runs), learnt)


def rows_of(
    runs: Mapping[str, Any], images: Sequence[Mapping[str, Any]], learnt: Sequence[Mapping[str, Any]]
) -> list[Row]:
    """Return the rows, given the runs by name, what they said about the beads, and the sets learnt from."""
    all_of_them = [name for name in runs if name not in LEVELS]
    networks = len(all_of_them)
    label_errors = [e for each in learnt for e in each["label_error_um"].values()]
    rows = []
    cases: list[tuple[str, Sequence[str], int | None]] = [
        (f"{networks} networks, all beads", all_of_them, None),
        *((f"{networks} networks, {n} beads", all_of_them, n) for n in BEADS),
        ("one network, all beads", all_of_them[:1], None),
        ("one network, 6 beads", all_of_them[:1], 6),
        *((f"normalisations: one short run, {name}, 6 beads", [name], 6) for name in runs if name in LEVELS),
    ]
    for case, chosen, beads in cases:
        first = runs[chosen[0]]
        rows.append(
            {
                "case": case,
                "paper": 5,
                "rig": RIG,
                "network": first.recipe.network,
                "recipe": first.recipe.name,
                "levels": first.recipe.levels,
                "loss": first.recipe.loss.kind,
                "seeds": [runs[name].recipe.seed for name in chosen],
                "learnt_from": len(first.split["train"]),
                "planes": first.record.planes,
                "images_seen": [runs[name].record.images_seen for name in chosen],
                "minutes": [runs[name].record.minutes for name in chosen],
                "label_rms_um": float(np.sqrt(np.mean(np.square(label_errors)))),
                "figure_of_the_paper": PAPER_5,
                **figures(pooled_errors(images, list(runs), chosen, beads)),
            }
        )
    return rows


def train_networks(folder: Path, recipe: str, networks: int, max_minutes: float | None) -> dict[str, Any]:
    """Train the networks, and a short one for each normalisation, or take what is there."""
    from training.fit import train
    from training.recipe import LossConfig, load_recipe

    base = load_recipe(recipe)
    wanted = {
        f"network_{seed}": base.model_copy(update={"seed": seed, "max_minutes": max_minutes})
        for seed in range(networks)
    }
    short = {"samples": 24_000, "epoch_samples": 4_000, "loss": LossConfig(kind="mse")}
    wanted |= {levels: base.model_copy(update={"levels": levels, **short}) for levels in LEVELS}
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

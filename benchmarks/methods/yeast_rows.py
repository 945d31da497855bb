"""Paper 3 on simulated yeast: bins of z by the two-block network, beside contrast measures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods.report import Row

__all__ = ["PAPER_3", "inferred", "profile_of", "yeast_rows"]

RIG = "yeast_sim"
WITHIN_UM = 1.0
PAPER_3 = "half of the test images within +-1 um (section 'Autofocus neural network structure')"
# To learn from: frames over +-15 um as in the paper, and others close about focus. First seed and number.
FAR = {"range_um": 15.0, "planes": 20, "seeds": (3_100_000, 200)}
NEAR = {"range_um": 5.0, "planes": 31, "seeds": (6_000, 100)}
TEST = {"range_um": 15.0, "planes": 31, "seeds": (3_200_000, 14)}
# Which planes of yeast these measures call sharp, in the simulator as in a recorded stack.
MEASURES = {"vollath_f5": "min", "normalised_variance": "min", "perceived_sharpness": "max"}
GRID_UM = np.arange(0, 15.01, 0.25)

# Offsets of planes and values of a measure; for either side, distances from focus and values.
Curve = tuple[NDArray[Any], NDArray[Any]]
Profile = dict[int, tuple[NDArray[Any], NDArray[Any]]]


def yeast_rows(folder: Path, recipe: str, max_minutes: float | None) -> list[Row]:
    """Render what is missing, train, and judge on specimens never trained on."""
    from calibration.measure import MEASURES as KNOWN
    from training.fit import train
    from training.labelled import collect
    from training.recipe import load_recipe

    far, near, test = (
        _stacks(folder / name, plan) for name, plan in (("far", FAR), ("near", NEAR), ("test", TEST))
    )
    chosen = load_recipe(recipe).model_copy(update={"max_minutes": max_minutes})
    run = train(chosen, [far, near], folder / "run", cache=folder / "cache")
    assert run is not None
    learnt = run.split["train"]
    labelled = collect([test], print)
    common = {"paper": 3, "rig": RIG, "test_specimens": len(labelled), "figure_of_the_paper": PAPER_3}
    rows = [
        {
            **common,
            "case": f"z-bins, {how}",
            "network": chosen.network,
            "recipe": chosen.name,
            "input": [run.input.width_px, run.input.height_px, run.input.um_per_px],
            "learnt_from": len(learnt),
            "images_seen": run.record.images_seen,
            "minutes": run.record.minutes,
            "seed": chosen.seed,
            **_figures(*found),
        }
        for how, found in _by_network(run, labelled).items()
    ]
    # As in the paper, a profile over the training stacks tells an image's distance from its measure.
    known = [each for each in collect([far], print) if _specimen(each) in learnt]
    for name, criterion in MEASURES.items():
        measure, sign = KNOWN[name], -1 if criterion == "min" else 1
        profile = profile_of([_curve(each, measure, sign) for each in known])
        rows.append(
            {
                **common,
                "case": f"{name}, {criterion}imum",
                "note": "told the side of focus of each image, and the best and worst value of its stack",
                **_figures(*inferred([_curve(each, measure, sign) for each in labelled], profile)),
            }
        )
    return rows


def _stacks(folder: Path, plan: dict[str, Any]) -> Path:
    """Render the stacks of a plan unless they are there."""
    from calibration.simulate import StackPlan, simulate_stacks
    from hw.config import load_rig

    first, number = plan["seeds"]
    wanted = StackPlan(plan["planes"], plan["range_um"], None, True)
    for _ in simulate_stacks(load_rig(RIG), wanted, range(first, first + number), folder):
        pass
    return folder


def _specimen(labelled: Any) -> str:
    from calibration.stack import read_stack
    from training.labelled import specimen_of

    return str(specimen_of(labelled, read_stack(labelled.path)))


def _by_network(run: Any, labelled: Sequence[Any]) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Return true and predicted offsets: by the most probable bin, as in the paper, and by the mean."""
    import torch

    from calibration.stack import read_stack
    from training.run import normalised
    from training.views import rgb_planes, window_view

    true: list[NDArray[Any]] = []
    said: dict[str, list[NDArray[Any]]] = {"most probable bin": [], "expected value": []}
    centres = run.recipe.bins.centres_um
    for each in labelled:
        stack = read_stack(each.path)
        windows, _ = window_view(rgb_planes(stack), stack.um_per_px, run.input)
        images = torch.from_numpy(windows).permute(0, 3, 1, 2)
        with torch.no_grad():
            scores = run.network(normalised(images, run.record.normalisation))
        said["most probable bin"].append(centres[scores.argmax(dim=1).numpy()])
        said["expected value"].append(run.predict(images)[0].double().numpy())
        true.append(each.focus_um - stack.positions_um)
    return {how: (np.concatenate(true), np.concatenate(parts)) for how, parts in said.items()}


def _curve(labelled: Any, measure: Any, sign: int) -> Curve:
    """Offsets of a stack's planes and a measure of them, from 0 for its worst plane to 1 for its best."""
    from calibration.stack import read_stack

    stack = read_stack(labelled.path)
    values = sign * np.array([measure(image) for image in stack.images])
    low, high = values.min(), values.max()
    return labelled.focus_um - stack.positions_um, (values - low) / max(high - low, 1e-12)


def profile_of(curves: Sequence[Curve]) -> Profile:
    """Mean curve on either side of each stack's best plane, by distance from it, made to fall.

    Returns
    -------
    dict
        For -1 and 1, the sides of negative and positive offsets: distances in um, and values.
    """
    sides = {}
    for side in (-1, 1):
        found = []
        for offsets, values in curves:
            away = side * (offsets - offsets[values.argmax()])
            order = np.argsort(away)
            order = order[away[order] >= 0]
            found.append(np.interp(GRID_UM, away[order], values[order], right=np.nan))
        reached = ~np.isnan(found).all(axis=0)
        mean = np.nanmean(np.array(found)[:, reached], axis=0)
        sides[side] = GRID_UM[reached], np.minimum.accumulate(mean)
    return sides


def inferred(curves: Sequence[Curve], profile: Profile) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return true offsets and those that a profile tells from each value, on the side that is true."""
    true, said = [], []
    for offsets, values in curves:
        for offset, value in zip(offsets, values, strict=True):
            side = 1 if offset >= 0 else -1
            # The profile falls with distance; np.interp wants it rising.
            distances, falling = profile[side]
            said.append(side * float(np.interp(value, falling[::-1], distances[::-1])))
            true.append(float(offset))
    return np.array(true), np.array(said)


def _figures(true: NDArray[Any], said: NDArray[Any]) -> dict[str, Any]:
    from hw.config import load_rig
    from training.metrics import figures

    rig = load_rig(RIG)
    size = np.abs(said - true)
    by_distance = {
        f"{low}-{high} um": {
            "n": int(some.sum()),
            "within_1_um": float((size[some] <= WITHIN_UM).mean()),
            "mae_um": float(size[some].mean()),
        }
        for low, high in ((0, 2), (2, 5), (5, 10), (10, 15))
        if (some := (np.abs(true) >= low) & (np.abs(true) < high)).any()
    }
    return {
        "within_1_um": float((size <= WITHIN_UM).mean()),
        **figures(true, said, rig.axis.um_per_step, rig.optics.dof_um),
        "by_distance": by_distance,
    }

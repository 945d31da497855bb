"""A small network trained on stacks of the slit laser with one small budget, and judged on others."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from methods.slit_days import Range
from training.evaluate import figures_of, judge_stacks
from training.fit import train
from training.judge import judge_of_run
from training.labelled import collect
from training.recipe import Recipe, load_recipe
from training.run import Run

__all__ = ["judged", "learn", "small_recipe"]

NETWORK = "focusnet_tiny"


def small_recipe(wanted: Range, seed: int, images: int) -> Recipe:
    """Return the shipped recipe of a range, for a small network, so many images and this seed.

    A tenth of the stacks validates (paper 4) and none is set aside: tests are stacks of their own.
    """
    shipped = load_recipe(wanted.recipe)
    return shipped.model_copy(
        update={
            "name": f"{wanted.recipe}_small",
            "network": NETWORK,
            "samples": images,
            "epoch_samples": images // 8,
            "validation_samples": 400,
            "ema_decay": 0.98,
            "split": shipped.split.model_copy(update={"validation": 0.1, "test": 0.0, "seed": seed}),
            "seed": seed,
        }
    )


def learn(recipe: Recipe, folders: Sequence[Path], out: Path) -> Run:
    """Train, or open the run where it is finished."""
    torch.set_num_threads(1)
    # Decoded images are quickly made again, and large.
    with TemporaryDirectory(prefix="decoded-", dir=out.parent) as cache:
        run = train(recipe, folders, out, cache=Path(cache), tell=lambda line: None)
    assert run is not None
    return run


def judged(run: Run, folders: Sequence[Path]) -> dict[str, Any]:
    """Judge a run on all stacks of some folders; figures by day among them."""
    frames, answers = judge_stacks(
        {"run": judge_of_run(run)}, collect(folders, print), never={"run": run.learnt}, tell=print
    )
    record = run.record
    found = figures_of(frames, answers["run"], record.um_per_step, record.optics.dof_um)
    errors = answers["run"].predicted_um - frames.offset_um
    return {
        "learning_stacks": len(run.split["train"]),
        "validating_stacks": len(run.split["validation"]),
        "planes": record.planes,
        "images_seen": record.images_seen,
        "minutes": record.minutes,
        "test_stacks": found["stacks"],
        "test_days": len(found["groups"]["day"]),
        **{
            key: round(float(found[key]), 4)
            for key in ("mae_um", "mae_dof", "median_um", "p95_um", "bias_um")
        },
        "std_um": round(float(errors.std()), 4),
        "sign_error_rate": found["sign_error_rate"],
        "interval_um": [round(end, 4) for end in found["intervals"]["mae_um"]],
        "by_day": {
            day: {key: round(float(group[key]), 4) for key in ("mae_um", "bias_um")}
            for day, group in found["groups"]["day"].items()
        },
    }

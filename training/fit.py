"""Train by a recipe: prepare, fit, finish. Resumes where it stopped."""

import training.torchvision_compat  # noqa: F401 - before Lightning, whose metrics import torchvision

# isort: split
from collections.abc import Callable, Sequence
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
from numpy.typing import NDArray
from torch import nn

from edge.bundle import Normalisation
from hw.config import load_rig
from hw.errors import ConfigError
from training.checkpoint import LAST, read_checkpoint
from training.finish import finish
from training.freezing import first_layers
from training.full_disk import telling_of_full_disk
from training.heads import build
from training.held import held
from training.labelled import collect, fingerprint
from training.prepared import VIEWS, Prepared, prepare
from training.processes import sit_on_several
from training.quantization_aware import RoundedNetwork, check_recipe
from training.rank import device_count
from training.recipe import Recipe
from training.run import (
    RECORD,
    WEIGHTS,
    Run,
    RunRecord,
    load_run,
    package_versions,
    read_record,
    write_record,
)
from training.sitting import Sitting, epochs_and_steps, sit, training_images
from training.split import group_specimens, rows_of, split_specimens
from training.transfer import ancestors_of, check_unseen, parent_of, teachers_of

__all__ = ["train"]

Tell = Callable[[str], None]

_IMAGES_FOR_NORMALISATION = 1000


def train(
    recipe: Recipe,
    stacks: Sequence[Path],
    out: Path,
    *,
    cache: Path | None = None,
    devices: int | None = None,
    bar: bool = False,
    tell: Tell = print,
    stop_after_epochs: int | None = None,
) -> Run | None:
    """Train, or go on with a run that stopped early.

    Parameters
    ----------
    recipe : what to train and how
    stacks : folders of stacks
    out : the run's folder; a run of the same recipe and data in it is resumed, with a new time limit if the
        recipe has one; a finished one whose `best.pt` was deleted is finished anew from its checkpoint
    cache : where decoded images are kept; `.prepared` in the first folder of stacks when absent
    devices : GPUs to train on, all that CUDA shows when absent; where it shows none, processes that the
        processor is shared among. Each has its share of every batch, and a program of its own: a script that
        calls this wants `if __name__ == "__main__":`, as `multiprocessing` says
    bar : show a progress bar instead of a line per epoch
    tell : takes lines meant for a person
    stop_after_epochs : end this sitting early, as an interruption would

    Returns
    -------
    Run
        The finished run; None after a sitting that ended early.

    Raises
    ------
    ConfigError
        The folder holds a run of another recipe or other data, or its disk is full; or the runs that the
        recipe learns from are not to be had, do not fit, or have learnt from specimens that are to be
        validated or tested with; or there are fewer devices, or the batch cannot be shared out evenly.
    StackError
        The stacks cannot be used, or another program trains in this folder.
    ProcessDied
        One of several processes was killed.
    """
    if recipe.quantization_aware:
        if devices is not None and devices > 1:
            raise ConfigError(
                f"devices {devices}: rounding is learnt on one, whose norms stay as they are; leave "
                "--devices out"
            )
        devices = 1
    devices = device_count(devices, recipe.batch)
    rig = load_rig(recipe.rig)
    labelled = collect(stacks, tell)
    previous = _resumable(out, recipe, fingerprint(labelled))
    if previous and previous.finished and (out / WEIGHTS).is_file():
        tell(f"{out}: this run has finished; nothing to do")
        return load_run(out)
    parent, teachers = parent_of(recipe), teachers_of(recipe)
    # What cannot be is refused before anything is decoded or written.
    check_recipe(recipe)
    if recipe.freeze:
        first_layers(build(recipe), recipe.freeze)
    if recipe.quantization_aware:
        RoundedNetwork(build(recipe))
    ancestors = ancestors_of(parent, teachers)
    if previous and previous.ancestors != ancestors:
        raise ConfigError(
            f"{out}: was begun with other runs to learn from, which have changed since; give another --out"
        )
    data = prepare(
        labelled,
        recipe.input,
        cache or Path(stacks[0]) / ".prepared",
        margin_px=recipe.jitter_px,
        full=recipe.views.full > 0,
        progress=_told_progress(tell),
        waiting=lambda: tell("another program decodes into the same folder: waiting for it"),
    )
    split = split_specimens(data.specimens, recipe.split, group_specimens(labelled, recipe.split))
    everything = {part: rows_of(data.specimens, data.specimen, names) for part, names in split.items()}
    # Of every plane there is a window, whether it is shown or not.
    planes = int(np.count_nonzero(data.views[everything["train"]] == VIEWS.index("window")))
    shown = np.array(recipe.views.shown)[data.views]
    rows = {part: chosen[shown[chosen]] for part, chosen in everything.items()}
    for part in ("train", "validation"):
        if not len(rows[part]):
            raise ConfigError(f"{part}: no specimen of {len(data.specimens)} falls to it; give more stacks")
    check_unseen(split, ancestors)
    trained_range_um = float(np.abs(data.offsets_um[rows["train"]]).max())
    normalisation = recipe.normalisation
    if parent is not None:
        trained_range_um = max(trained_range_um, parent.record.trained_range_um)
        normalisation = parent.record.normalisation
    _check_bins_reach(recipe, trained_range_um)
    record = previous or RunRecord(
        recipe=recipe,
        normalisation=normalisation or _measured_normalisation(data, rows["train"]),
        optics=rig.optics,
        um_per_step=rig.axis.um_per_step,
        trained_range_um=trained_range_um,
        stacks=tuple(str(folder) for folder in stacks),
        fingerprint=data.fingerprint,
        split={part: tuple(names) for part, names in split.items()},
        planes=planes,
        versions=package_versions(),
        ancestors=ancestors,
    )
    tell(
        f"{recipe.network}: {len(split['train'])} specimens to learn from ({len(rows['train'])} images), "
        f"{len(split['validation'])} to validate, {len(split['test'])} to test"
        + (f"; {devices} devices with {recipe.batch // devices} images of each batch" if devices > 1 else "")
    )
    with telling_of_full_disk(out):
        out.mkdir(parents=True, exist_ok=True)
        with held(out):
            write_record(out, record)
            steps, over = _done(record.recipe, out)
            over = over or record.finished
            if not over:
                sitting = Sitting(
                    record, _start(recipe, parent), teachers, data, rows, out, steps, bar, stop_after_epochs
                )
                if devices == 1:
                    sit(sitting, tell)
                else:
                    sit_on_several(sitting, devices, tell)
                _, over = _done(record.recipe, out)
            return finish(record, data, rows, out, tell) if over else None


def _done(recipe: Recipe, out: Path) -> tuple[int, bool]:
    """Return the steps of the last checkpoint, and whether it has all of them or all the time behind it.

    A run that was killed while it was being finished is only finished again: Lightning would train one more
    batch before it noticed.
    """
    if not (out / LAST).is_file():
        return 0, False
    state = read_checkpoint(out / LAST)
    limit_s = np.inf if recipe.max_minutes is None else 60 * recipe.max_minutes
    steps = int(state["global_step"])
    return steps, bool(steps >= epochs_and_steps(recipe)[1] or state["elapsed_s"] >= limit_s)


def _start(recipe: Recipe, parent: Run | None) -> nn.Module:
    """Return the network that a run starts with."""
    pl.seed_everything(recipe.seed, verbose=False)
    network = build(recipe, start=parent is None)
    if parent is not None:
        network.load_state_dict(parent.network.state_dict())
    return network


def _check_bins_reach(recipe: Recipe, range_um: float) -> None:
    """Refuse bins that leave some of the stacks' offsets out."""
    if recipe.bins is None:
        return
    reach_um = recipe.bins.centres_um[-1] + recipe.bins.width_um / 2
    if range_um > reach_um:
        raise ConfigError(
            f"bins: {recipe.bins.count} of {recipe.bins.width_um:g} um reach to ±{reach_um:g} um, "
            f"the stacks' offsets to ±{range_um:.4g}; give more or wider bins"
        )


def _resumable(out: Path, recipe: Recipe, data: str) -> RunRecord | None:
    """Return the record of the run in a folder, if there is one, after checking that it is this one."""
    if not (out / RECORD).is_file():
        return None
    record = read_record(out)
    # A run may be given more or less time when it goes on; it is the same run.
    resumed = record.model_copy(
        update={"recipe": record.recipe.model_copy(update={"max_minutes": recipe.max_minutes})}
    )
    for what, same in (("recipe", resumed.recipe == recipe), ("data", record.fingerprint == data)):
        if not same:
            raise ConfigError(f"{out}: holds a run of another {what}; give another folder with --out")
    return resumed


def _measured_normalisation(data: Prepared, rows: NDArray[np.int64]) -> Normalisation:
    """Mean and standard deviation per channel over some training images, on the scale 0 to 1."""
    images = training_images(data, rows, _IMAGES_FOR_NORMALISATION)
    # Histograms need no float copy of the images, and are exact.
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(3)])
    levels = np.arange(256) / 255
    mean = counts @ levels / counts.sum(axis=1)
    variance = counts @ levels**2 / counts.sum(axis=1) - mean**2
    std = np.sqrt(np.maximum(variance, 1e-4))
    return Normalisation(mean=tuple(mean.round(4).tolist()), std=tuple(std.round(4).tolist()))


def _told_progress(tell: Tell) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == total or done % max(1, total // 10) == 0:
            tell(f"decoded {done} of {total} stacks")

    return progress

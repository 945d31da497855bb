"""Train by a recipe: prepare, fit, finish. Resumes where it stopped."""

import training.torchvision_compat  # noqa: F401 - before Lightning, whose metrics import torchvision

# isort: split
import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    ModelCheckpoint,
    RichProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch.optim.swa_utils import get_ema_multi_avg_fn

from edge.bundle import Normalisation
from hw.config import load_rig
from hw.errors import ConfigError
from training.ahead import Ahead
from training.batches import FixedBatches, ShuffledBatches
from training.checkpoint import BEST, LAST, WholeCheckpoints, read_checkpoint
from training.distil import Teacher
from training.epoch_log import EpochLog
from training.finish import finish
from training.freezing import first_layers
from training.full_disk import telling_of_full_disk
from training.heads import build
from training.held import held
from training.labelled import collect, fingerprint
from training.prepared import VIEWS, Prepared, prepare
from training.quantization_aware import ObservedRanges, RoundedNetwork, check_recipe
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
from training.split import group_specimens, rows_of, split_specimens
from training.task import FocusTask
from training.transfer import ancestors_of, check_unseen, parent_of, teachers_of

__all__ = ["train"]

Tell = Callable[[str], None]

_IMAGES_FOR_NORMALISATION = 1000
# As many as an export calibrates with.
_IMAGES_FOR_RANGES = 256
# What Lightning warns about that is meant here: batches come whole, from memory, without workers; frozen
# layers are in evaluation mode.
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*Checkpoint directory .* exists.*",
    ".*number of training batches.*is smaller than the logging interval.*",
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
    ".*You're resuming from a checkpoint that ended before.*",
    ".*module\\(s\\) in eval mode at the start of training.*",
)


def train(
    recipe: Recipe,
    stacks: Sequence[Path],
    out: Path,
    *,
    cache: Path | None = None,
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
        validated or tested with.
    StackError
        The stacks cannot be used, or another program trains in this folder.
    """
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
    )
    with telling_of_full_disk(out):
        out.mkdir(parents=True, exist_ok=True)
        with held(out):
            write_record(out, record)
            steps, over = _done(record.recipe, out)
            over = over or record.finished
            over = over or _fit(
                record, parent, teachers, data, rows, out, steps, bar, tell, stop_after_epochs
            )
            return finish(record, data, rows, out, tell) if over else None


class _Data(pl.LightningDataModule):
    """Hands Lightning a new, seeded set of batches for every epoch."""

    def __init__(self, record: RunRecord, data: Prepared, rows: dict[str, NDArray[np.int64]]) -> None:
        super().__init__()
        self._recipe, self._data, self._rows = record.recipe, data, rows

    def train_dataloader(self) -> Iterable[Any]:
        recipe = self._recipe
        epoch = self.trainer.current_epoch if self.trainer else 0
        batches = ShuffledBatches(
            self._data,
            self._rows["train"],
            recipe.batch,
            recipe.epoch_samples,
            recipe.views,
            recipe.seed,
            epoch,
            recipe.orientations,
            recipe.rotation_deg,
        )
        return Ahead(batches)

    def val_dataloader(self) -> Iterable[Any]:
        rows = _evenly(self._rows["validation"], self._recipe.validation_samples)
        return FixedBatches(self._data, rows, 2 * self._recipe.batch)


def _epochs_and_steps(recipe: Recipe) -> tuple[int, int]:
    epochs = -(-recipe.samples // recipe.epoch_samples)
    return epochs, epochs * (recipe.epoch_samples // recipe.batch)


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
    return steps, bool(steps >= _epochs_and_steps(recipe)[1] or state["elapsed_s"] >= limit_s)


def _fit(
    record: RunRecord,
    parent: Run | None,
    teachers: Sequence[Run],
    data: Prepared,
    rows: dict[str, NDArray[np.int64]],
    out: Path,
    done_steps: int,
    bar: bool,
    tell: Tell,
    stop_after_epochs: int | None,
) -> bool:
    """Run the epochs that remain; return whether the run is over."""
    recipe = record.recipe
    epochs, steps = _epochs_and_steps(recipe)
    pl.seed_everything(recipe.seed, verbose=False)
    network = build(recipe, start=parent is None)
    if parent is not None:
        network.load_state_dict(parent.network.state_dict())
    rounded = RoundedNetwork(network) if recipe.quantization_aware else None
    task = FocusTask(
        network,
        recipe,
        record.normalisation,
        steps,
        record.um_per_step,
        record.optics.dof_um,
        teacher=Teacher(teachers) if teachers else None,
        rounded=rounded,
    )
    best = ModelCheckpoint(out, Path(BEST).stem, monitor="val_mae_um", enable_version_counter=False)
    last = ModelCheckpoint(out, Path(LAST).stem, enable_version_counter=False)
    log = EpochLog(out, epochs, None if bar else tell, stop_after_epochs)
    callbacks: list[pl.Callback] = [best, last, log]
    if recipe.ema_decay is not None:
        # Before the checkpoints, so that they see the averaged weights.
        kept = recipe.freeze > 0 or recipe.quantization_aware
        callbacks.insert(0, _averaging(recipe.ema_decay, some_kept=kept))
    if rounded is not None:
        images = _images(data, _evenly(rows["train"], _IMAGES_FOR_RANGES))
        callbacks.append(ObservedRanges(torch.from_numpy(images).permute(0, 3, 1, 2), record.normalisation))
    if bar:
        callbacks.append(RichProgressBar())
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    resume = out / LAST
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        trainer = pl.Trainer(
            max_epochs=epochs,
            precision=recipe.precision,
            accelerator="auto",
            devices=1,
            callbacks=callbacks,
            # Points of steps that a kill took back are hidden once they are taken again.
            logger=TensorBoardLogger(
                out, name="", version="tensorboard", purge_step=done_steps if done_steps else None
            ),
            plugins=[WholeCheckpoints()],
            gradient_clip_val=recipe.gradient_clip,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            enable_progress_bar=bar,
            enable_model_summary=False,
            log_every_n_steps=50,
        )
        try:
            # The checkpoint is this program's own, with the state of its callbacks in it.
            trainer.fit(
                task,
                datamodule=_Data(record, data, rows),
                ckpt_path=resume if resume.is_file() else None,
                weights_only=False,
            )
        except SystemExit as stopped:
            # What Lightning makes of an interruption; the caller shall see it as what it was.
            raise KeyboardInterrupt from stopped
    return task.progress >= 1


def _averaging(decay: float, *, some_kept: bool) -> pl.Callback:
    """Return what averages weights; those that stay as they are to the last bit where some are kept."""
    if some_kept:
        # The usual sum of shares rounds: the mean of two equal weights is not quite them.
        return WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(decay))
    return EMAWeightAveraging(decay=decay)


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
    images = _images(data, _evenly(rows, _IMAGES_FOR_NORMALISATION))
    # Histograms need no float copy of the images, and are exact.
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(3)])
    levels = np.arange(256) / 255
    mean = counts @ levels / counts.sum(axis=1)
    variance = counts @ levels**2 / counts.sum(axis=1) - mean**2
    std = np.sqrt(np.maximum(variance, 1e-4))
    return Normalisation(mean=tuple(mean.round(4).tolist()), std=tuple(std.round(4).tolist()))


def _images(data: Prepared, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return images as they are without augmentation, (N, H, W, 3)."""
    return np.stack([data.centred(int(row)) for row in rows])


def _evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many rows, spread evenly."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]


def _told_progress(tell: Tell) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == total or done % max(1, total // 10) == 0:
            tell(f"decoded {done} of {total} stacks")

    return progress

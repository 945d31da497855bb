"""One sitting of a training run: the epochs until it ends or is interrupted, on one of its devices."""

import training.torchvision_compat  # noqa: F401 - before Lightning, whose metrics import torchvision

# isort: split
import logging
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    ModelCheckpoint,
    RichProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from training.ahead import Ahead
from training.batch_norm import over_all_ranks
from training.batches import FixedBatches, ShuffledBatches
from training.checkpoint import BEST, LAST, WholeCheckpoints
from training.distil import Teacher
from training.epoch_log import EpochLog
from training.prepared import Prepared
from training.quantization_aware import ObservedRanges, RoundedNetwork
from training.rank import ALONE, Rank
from training.recipe import Recipe
from training.run import Run, RunRecord
from training.task import FocusTask

__all__ = ["Sitting", "epochs_and_steps", "sit", "training_images"]

# As many as an export calibrates with.
_IMAGES_FOR_RANGES = 256

# What Lightning warns about that is meant here: batches come whole, from memory, without workers; frozen
# layers are in evaluation mode; every rank has the figures of all validation images.
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*Checkpoint directory .* exists.*",
    ".*number of training batches.*is smaller than the logging interval.*",
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
    ".*You're resuming from a checkpoint that ended before.*",
    ".*module\\(s\\) in eval mode at the start of training.*",
    ".*It is recommended to use `self.log\\('val_.*sync_dist=True.*",
)


@dataclass(frozen=True, eq=False)
class Sitting:
    """What there is to do, the same on every device.

    Attributes
    ----------
    record : of the run
    network : with the weights that the run starts from
    teachers : of the recipe
    data : the decoded stacks
    rows : of train, validation and test
    out : the run's folder; what is in it is gone on from
    done_steps : that are behind the run
    bar : show a progress bar instead of a line per epoch
    stop_after_epochs : end early; None for never
    """

    record: RunRecord
    network: nn.Module
    teachers: tuple[Run, ...]
    data: Prepared
    rows: dict[str, NDArray[np.int64]]
    out: Path
    done_steps: int
    bar: bool = False
    stop_after_epochs: int | None = None


def sit(sitting: Sitting, tell: Callable[[str], None], rank: Rank = ALONE) -> None:
    """Train from the last checkpoint on.

    Parameters
    ----------
    sitting : what there is to do
    tell : takes the lines of epochs, of rank 0
    rank : of this process; the others do the same at the same time, and only the first writes files

    Raises
    ------
    ConfigError
        The checkpoint is damaged.
    OSError
        The disk is full; the checkpoint and the logs stay whole.
    """
    recipe, out = sitting.record.recipe, sitting.out
    epochs, steps = epochs_and_steps(recipe)
    network = sitting.network if rank == ALONE else over_all_ranks(sitting.network)
    rounded = RoundedNetwork(network) if recipe.quantization_aware else None
    task = FocusTask(
        network,
        recipe,
        sitting.record.normalisation,
        steps,
        sitting.record.um_per_step,
        sitting.record.optics.dof_um,
        teacher=Teacher(sitting.teachers) if sitting.teachers else None,
        rounded=rounded,
    )
    best = ModelCheckpoint(out, Path(BEST).stem, monitor="val_mae_um", enable_version_counter=False)
    last = ModelCheckpoint(out, Path(LAST).stem, enable_version_counter=False)
    log = EpochLog(out, epochs, None if sitting.bar else tell, sitting.stop_after_epochs)
    callbacks: list[pl.Callback] = [best, last, log]
    if recipe.ema_decay is not None:
        # Before the checkpoints, so that they see the averaged weights.
        kept = recipe.freeze > 0 or recipe.quantization_aware
        callbacks.insert(0, _averaging(recipe.ema_decay, some_kept=kept))
    if rounded is not None:
        images = training_images(sitting.data, sitting.rows["train"], _IMAGES_FOR_RANGES)
        observed = torch.from_numpy(images).permute(0, 3, 1, 2)
        callbacks.append(ObservedRanges(observed, sitting.record.normalisation))
    if sitting.bar:
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
            callbacks=callbacks,
            # Points of steps that a kill took back are hidden once they are taken again.
            logger=TensorBoardLogger(
                out, name="", version="tensorboard", purge_step=sitting.done_steps or None
            ),
            gradient_clip_val=recipe.gradient_clip,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            enable_progress_bar=sitting.bar,
            enable_model_summary=False,
            log_every_n_steps=50,
            **_devices(rank),
        )
        try:
            # The checkpoint is this program's own, with the state of its callbacks in it.
            trainer.fit(
                task,
                datamodule=_Data(sitting, rank),
                ckpt_path=resume if resume.is_file() else None,
                weights_only=False,
            )
        except SystemExit as stopped:
            # What Lightning makes of an interruption; the caller shall see it as what it was.
            raise KeyboardInterrupt from stopped


def epochs_and_steps(recipe: Recipe) -> tuple[int, int]:
    """Return the number of epochs of a whole run, and of its steps."""
    epochs = -(-recipe.samples // recipe.epoch_samples)
    return epochs, epochs * (recipe.epoch_samples // recipe.batch)


def training_images(data: Prepared, rows: NDArray[np.int64], most: int) -> NDArray[np.uint8]:
    """Return at most so many images of some rows, spread evenly, without augmentation, (N, H, W, 3)."""
    return np.stack([data.centred(int(row)) for row in _evenly(rows, most)])


def _evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many rows, spread evenly."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]


class _Data(pl.LightningDataModule):
    """Hands Lightning a new, seeded set of batches for every epoch."""

    def __init__(self, sitting: Sitting, rank: Rank) -> None:
        super().__init__()
        self._recipe, self._data, self._rows = sitting.record.recipe, sitting.data, sitting.rows
        self._rank = rank

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
            self._rank,
        )
        return Ahead(batches)

    def val_dataloader(self) -> Iterable[Any]:
        rows = _evenly(self._rows["validation"], self._recipe.validation_samples)
        return FixedBatches(self._data, rows, 2 * self._recipe.batch, self._rank)


def _devices(rank: Rank) -> dict[str, Any]:
    """Return what Lightning has to know of devices."""
    if rank == ALONE:
        return {"accelerator": "auto", "devices": 1, "plugins": [WholeCheckpoints()]}
    return {
        "accelerator": "gpu" if torch.cuda.is_available() else "cpu",
        "devices": rank.of,
        "strategy": "ddp",
        # The one that finds processes there, as `training.rank` has put them, whatever else this runs under.
        "plugins": [WholeCheckpoints(), LightningEnvironment()],
    }


def _averaging(decay: float, *, some_kept: bool) -> pl.Callback:
    """Return what averages weights; those that stay as they are to the last bit where some are kept."""
    if some_kept:
        # The usual sum of shares rounds: the mean of two equal weights is not quite them.
        return WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(decay))
    return EMAWeightAveraging(decay=decay)

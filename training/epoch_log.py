"""One line per epoch: in `metrics.csv`, in `train.log`, and to a person."""

import training.torchvision_compat  # noqa: F401 - before Lightning, whose metrics import torchvision

# isort: split
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from training.run import METRICS
from training.task import FocusTask

__all__ = ["EpochLog"]

COLUMNS = (
    "epoch", "minutes", "images", "learning_rate", "loss", "val_mae_um", "val_mae_steps", "val_median_um",
    "val_bias_um", "val_sign_error_rate", "val_sigma_um",
)  # fmt: skip


class EpochLog(pl.Callback):
    """Writes the figures of every epoch.

    Parameters
    ----------
    folder : of the run
    epochs : in the whole run
    tell : takes the line for a person; None for none
    stop_after : ends the sitting after so many epochs; None for never
    """

    def __init__(
        self, folder: Path, epochs: int, tell: Callable[[str], None] | None, stop_after: int | None = None
    ) -> None:
        self._folder = folder
        self._epochs = epochs
        self._tell = tell
        self._left = stop_after

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the line of this epoch, which has been validated by now."""
        assert isinstance(pl_module, FocusTask)
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            "minutes": round(pl_module.elapsed_s / 60, 2),
            "images": trainer.global_step * pl_module.recipe.batch,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
        }
        row |= {name: float(f"{value.item():.6g}") for name, value in trainer.callback_metrics.items()}
        path = self._folder / METRICS
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(row)
        line = (
            f"epoch {row['epoch'] + 1}/{self._epochs}  {row['minutes']:.1f} min  {row['images']} images  "
            f"loss {row['loss']:.4f}  "
            f"validation MAE {row['val_mae_um']:.1f} um = {row['val_mae_steps']:.1f} steps, "
            f"sign errors {100 * row['val_sign_error_rate']:.2f} %"
        )
        with (self._folder / "train.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self._tell:
            self._tell(line)
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                trainer.should_stop = True

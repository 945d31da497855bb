"""One line per epoch: in `metrics.csv`, in `train.log`, and to a person.

A line is on the disk before the checkpoint of its epoch is. A run that is killed between the two repeats the
epoch and writes the line again, so lines beyond the checkpoint that a run goes on from are taken out.
"""

import training.torchvision_compat  # noqa: F401 - before Lightning, whose metrics import torchvision

# isort: split
import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from hw.whole_file import write_whole
from training.run import METRICS
from training.task import FocusTask

__all__ = ["EpochLog"]

LOG = "train.log"

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

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take out the lines of epochs that are repeated."""
        assert isinstance(pl_module, FocusTask)
        if not trainer.is_global_zero:
            return
        images = trainer.global_step * pl_module.recipe.batch
        rows = _rows(self._folder / METRICS)
        kept = [row for row in rows if int(row["images"]) <= images]
        if len(kept) < len(rows):
            _write_rows(self._folder / METRICS, kept)
        lines = _lines(self._folder / LOG)
        if len(lines) > len(kept):
            write_whole(self._folder / LOG, "".join(lines[: len(kept)]).encode())

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the line of this epoch, which has been validated by now."""
        assert isinstance(pl_module, FocusTask)
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                trainer.should_stop = True
        # Asked for on every rank: what is not summed up yet is now, among all of them.
        figures = trainer.callback_metrics
        if not trainer.is_global_zero:
            return
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            "minutes": round(pl_module.elapsed_s / 60, 2),
            "images": trainer.global_step * pl_module.recipe.batch,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
        }
        row |= {name: float(f"{value.item():.6g}") for name, value in figures.items()}
        _write_rows(self._folder / METRICS, [*_rows(self._folder / METRICS), row])
        line = (
            f"epoch {row['epoch'] + 1}/{self._epochs}  {row['minutes']:.1f} min  {row['images']} images  "
            f"loss {row['loss']:.4f}  "
            f"validation MAE {row['val_mae_um']:.1f} um = {row['val_mae_steps']:.1f} steps, "
            f"sign errors {100 * row['val_sign_error_rate']:.2f} %"
        )
        log = self._folder / LOG
        write_whole(log, ("".join(_lines(log)) + line + "\n").encode())
        if self._tell:
            self._tell(line)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a log that are whole."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if None not in row.values() and row["images"]]
    except FileNotFoundError:
        return []


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []

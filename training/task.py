"""One training step and one validation, as Lightning wants them."""

import training.torchvision_compat  # noqa: F401 - before Lightning, whose metrics import torchvision

# isort: split
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from edge.bundle import Normalisation
from hw.clock import Clock, SystemClock
from training import metrics
from training.distil import Teacher, taught_loss
from training.freezing import freeze
from training.heads import answers
from training.loss import recipe_loss, split_answers
from training.quantization_aware import RoundedNetwork
from training.rank import of_all_ranks, of_first_rank
from training.recipe import Recipe
from training.run import normalised
from training.schedule import rate

__all__ = ["FocusTask"]

Batch = tuple[Tensor, Tensor]


class FocusTask(pl.LightningModule):
    """A network that learns offsets by a recipe.

    Parameters
    ----------
    network : what is trained
    recipe : how
    normalisation : of the images
    steps : optimizer steps in the whole run
    um_per_step, dof_um : of the rig, for the figures
    clock : for `max_minutes`
    teacher : answers for the images that are learnt from, where the recipe has one
    rounded : the same network as it is asked here, where the recipe is quantization-aware

    Raises
    ------
    ConfigError
        All layers are to be frozen.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        normalisation: Normalisation,
        steps: int,
        um_per_step: float,
        dof_um: float,
        clock: Clock | None = None,
        teacher: Teacher | None = None,
        rounded: RoundedNetwork | None = None,
    ) -> None:
        super().__init__()
        # What convolutions are fastest in, and the order of the bytes of decoded images.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.rounded = rounded
        # In a tuple, which registers none of them a second time.
        self._frozen = freeze(self.network, recipe.freeze)
        self._teacher = teacher
        self.recipe = recipe
        self.normalisation = normalisation
        self.steps = steps
        self.um_per_step, self.dof_um = um_per_step, dof_um
        self._clock = clock or SystemClock()
        self._started_s = 0.0
        self._earlier_s = 0.0
        self._agreed_s = 0.0
        self._validated: list[tuple[Tensor, Tensor]] = []
        # Lightning takes each layer's mode as it finds it.
        self.train()

    def train(self, mode: bool = True) -> "FocusTask":
        """Go into training mode, but for frozen layers: their statistics stay as they are."""
        super().train(mode)
        for layer in self._frozen:
            layer.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) uint8 to what the network gives."""
        asked = self.network if self.rounded is None else self.rounded
        out: Tensor = asked(normalised(images, self.normalisation))
        return out

    @property
    def elapsed_s(self) -> float:
        """Training time of this run so far, earlier sittings included, s."""
        return self._earlier_s + self._clock.now() - self._started_s

    @property
    def progress(self) -> float:
        """Share of the run that is over, by steps, or by time when the step began, whichever is further."""
        done = self.global_step / self.steps
        if self.recipe.max_minutes is not None:
            done = max(done, self._agreed_s / (60 * self.recipe.max_minutes))
        return min(1.0, done)

    def on_fit_start(self) -> None:
        """Start the watch."""
        self._started_s = self._clock.now()

    def on_train_start(self) -> None:
        """Let the recipe's weight decay count: a population goes on from others' checkpoints."""
        self.trainer.optimizers[0].param_groups[0]["weight_decay"] = self.recipe.weight_decay

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate and the random state (dropout, stochastic depth) of this step.

        Both follow from the recipe and the step alone, so that a run that was killed goes on as if not.
        """
        if self.recipe.max_minutes is not None:
            # All ranks go by one clock: they must have one learning rate, and stop at one step.
            self._agreed_s = of_first_rank(self.elapsed_s)
        # The images of a rank shall not be treated as those of another.
        own = [self.global_rank] if self.global_rank else []
        seeds = np.random.SeedSequence([self.recipe.seed, 3, self.global_step, *own])
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
        share = rate(self.progress, self.recipe.warm_up, self.recipe.schedule)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = share * self.recipe.learning_rate

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        images, offsets_um = batch
        outputs = self(images)
        value = recipe_loss(outputs, offsets_um, self.recipe, self.progress)
        if self._teacher is not None:
            assert self.recipe.teacher is not None
            taught = taught_loss(outputs, self._teacher.offsets_um(images), self.recipe)
            value = torch.lerp(value, taught, self.recipe.teacher.weight)
        self.log(
            "loss",
            value,
            on_step=False,
            on_epoch=True,
            prog_bar=True,
            batch_size=len(images),
            sync_dist=True,
        )
        return value

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Stop when the time is up."""
        if self.recipe.max_minutes is not None and self.progress >= 1:
            self.trainer.should_stop = True

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the predictions of a batch."""
        images, offsets_um = batch
        if not len(images):
            return
        # In full precision, as the exported network is: bf16 rounds an offset of 1000 um to 4 um.
        with torch.autocast(self.device.type, enabled=False):
            self._validated.append((offsets_um.cpu(), self(images).cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log the figures of all validation images."""
        validated = of_all_ranks(self._validated)
        offsets_um = torch.cat([offsets for offsets, _ in validated])
        outputs = torch.cat([outputs for _, outputs in validated])
        self._validated.clear()
        predicted, log_sigmas = split_answers(answers(outputs, self.recipe))
        predicted_um = predicted * self.recipe.scale_um
        figures = metrics.figures(offsets_um.numpy(), predicted_um.numpy(), self.um_per_step, self.dof_um)
        for name in ("mae_um", "mae_steps", "median_um", "bias_um", "sign_error_rate"):
            value = figures[name]
            self.log(f"val_{name}", np.nan if value is None else float(value), prog_bar=name == "mae_um")
        if log_sigmas is not None:
            sigmas_um = log_sigmas.exp() * self.recipe.scale_um
            self.log("val_sigma_um", sigmas_um.mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; norms and biases are not decayed (Loshchilov and Hutter 2019)."""
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.recipe.learning_rate)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the time that was used."""
        checkpoint["elapsed_s"] = self.elapsed_s

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Count the time that was used before."""
        self._earlier_s = float(checkpoint["elapsed_s"])

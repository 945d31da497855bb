"""Learning from the answers of a finished run, or of several, beside labels (Hinton et al. 2015)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.ensemble import mean_and_spread
from training.heads import answers
from training.recipe import Recipe
from training.run import Run

__all__ = ["Teacher", "taught_loss"]


class Teacher:
    """Runs that answer for images; no module, so that checkpoints and averages leave them alone.

    Parameters
    ----------
    runs : one or more, of one input
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = tuple(runs)
        for run in self._runs:
            run.network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def offsets_um(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) uint8 images to the mean of the runs' offsets, without outliers, (N,) um."""
        said = []
        # In full precision, whatever the pupil learns in.
        with torch.autocast(images.device.type, enabled=False):
            for run in self._runs:
                run.network.to(images.device)
                said.append(run.predict(images)[0].double().cpu().numpy())
        mean, _ = mean_and_spread(np.stack(said), None)
        return torch.from_numpy(mean.astype(np.float32)).to(images.device)


def taught_loss(outputs: Tensor, offsets_um: Tensor, recipe: Recipe) -> Tensor:
    """Return the smooth L1 loss of a network's offsets, whatever its head, against those of a teacher.

    Parameters
    ----------
    outputs : (N, K), what the network gave
    offsets_um : (N,), what the teacher said
    recipe : head, knee and scale
    """
    offsets = answers(outputs.float(), recipe)[:, 0]
    return functional.smooth_l1_loss(
        offsets, offsets_um / recipe.scale_um, beta=recipe.loss.knee_um / recipe.scale_um
    )

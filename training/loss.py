"""What training minimises."""

import torch
from torch import Tensor
from torch.nn import functional

from edge.bundle import LOG_SIGMA_LIMITS
from training.heads import bin_centres
from training.recipe import BinsConfig, LossConfig, Recipe

__all__ = ["bins_loss", "loss", "recipe_loss", "split_answers"]


def recipe_loss(outputs: Tensor, offsets_um: Tensor, recipe: Recipe, progress: float) -> Tensor:
    """Return the mean loss of a batch, by the recipe's head and loss.

    Parameters
    ----------
    outputs : (N, K), what the network gave
    offsets_um : (N,), or with the head `patches` also (N, patches), where each has a label of its own
    recipe : head, loss, and the scale
    progress : share of the run that is over, 0 to 1
    """
    targets = offsets_um / recipe.scale_um
    if recipe.bins is not None:
        return bins_loss(outputs, targets, recipe.bins, recipe.loss, recipe.scale_um)
    if recipe.patches is not None:
        # Each patch is an image of its own, with the label of its field where it has none.
        targets = targets[:, None].expand_as(outputs) if targets.ndim == 1 else targets
        outputs, targets = outputs.reshape(-1, 1), targets.reshape(-1)
    return loss(outputs, targets, recipe.loss, recipe.scale_um, progress)


def bins_loss(
    outputs: Tensor, targets: Tensor, bins: BinsConfig, config: LossConfig, scale_um: float
) -> Tensor:
    """Return the mean cross entropy of a batch of scores for bins.

    Parameters
    ----------
    outputs : (N, bins), scores
    targets : (N,), offsets in units of the scale; beyond the outermost bins they count as those
    bins : that the scores are for
    config : its kind says whether a label is one bin or is shared between two
    scale_um : the scale, um
    """
    first = bin_centres(bins, scale_um)[0].item()
    places = ((targets - first) * (scale_um / bins.width_um)).clamp(0, bins.count - 1)
    if config.kind == "cross_entropy":
        return functional.cross_entropy(outputs.float(), places.round().long())
    # Above the last bin there is none: a label there is the upper of the last two, whole.
    below = places.floor().long().clamp(max=bins.count - 2)
    above = (places - below)[:, None]
    shares = torch.zeros_like(outputs, dtype=torch.float32)
    shares = shares.scatter(1, below[:, None], 1 - above).scatter(1, below[:, None] + 1, above)
    return functional.cross_entropy(outputs.float(), shares)


def split_answers(given: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return offsets and, where there are any, clamped log sigmas: each (N,), in units of the scale.

    Parameters
    ----------
    given : (N, 1) or (N, 2), as `training.heads.answers` makes them
    """
    offsets = given[:, 0]
    return offsets, given[:, 1].clamp(*LOG_SIGMA_LIMITS) if given.shape[1] > 1 else None


def loss(outputs: Tensor, targets: Tensor, config: LossConfig, scale_um: float, progress: float) -> Tensor:
    """Return the mean loss of a batch of offsets, with or without deviations.

    Parameters
    ----------
    outputs : (N, 1) or (N, 2), what the network gave
    targets : (N,), offsets in units of the scale
    config : kind of loss and its constants
    scale_um : the scale, um
    progress : share of the run that is over, 0 to 1
    """
    offsets, log_sigmas = split_answers(outputs.float())
    if config.kind == "mse":
        return functional.mse_loss(offsets, targets)
    smooth = functional.smooth_l1_loss(offsets, targets, beta=config.knee_um / scale_um)
    if config.kind == "smooth_l1" or log_sigmas is None:
        return smooth
    residuals = targets - offsets
    # The plain likelihood divides the offset's gradient by sigma^2: what is hard at first is given up and
    # never learnt. Until the offsets have settled, it therefore teaches the deviation only.
    alone = config.kind == "smooth_l1_nll" or progress < config.settle
    if alone:
        residuals = residuals.detach()
    likelihood = 0.5 * residuals.square() * torch.exp(-2 * log_sigmas) + log_sigmas
    if alone:
        return smooth + config.sigma_weight * likelihood.mean()
    if config.kind == "beta_nll":
        likelihood = likelihood * torch.exp(2 * config.beta * log_sigmas.detach())
    return likelihood.mean()

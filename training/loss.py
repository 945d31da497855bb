"""What training minimises."""

import torch
from torch import Tensor
from torch.nn import functional

from edge.bundle import LOG_SIGMA_LIMITS
from training.recipe import LossConfig

__all__ = ["loss", "split_outputs"]


def split_outputs(outputs: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return offsets and, where the head has them, clamped log sigmas: each (N,), in units of the scale."""
    offsets = outputs[:, 0]
    return offsets, outputs[:, 1].clamp(*LOG_SIGMA_LIMITS) if outputs.shape[1] > 1 else None


def loss(outputs: Tensor, targets: Tensor, config: LossConfig, scale_um: float, progress: float) -> Tensor:
    """Return the mean loss of a batch.

    Parameters
    ----------
    outputs : (N, 1) or (N, 2), what the network gave
    targets : (N,), offsets in units of the scale
    config : kind of loss and its constants
    scale_um : the scale, um
    progress : share of the run that is over, 0 to 1
    """
    offsets, log_sigmas = split_outputs(outputs.float())
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

"""Batch normalisation that sees the whole batch of a step, when each device holds a share of it."""

import training.torchvision_compat  # noqa: F401 - before timm, which imports torchvision

# isort: split
from typing import Any

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, distributed, nn

__all__ = ["over_all_ranks"]


def over_all_ranks(network: nn.Module) -> nn.Module:
    """Let a network's batch normalisation have the statistics of the batches of all ranks together.

    On GPUs by timm, and not by `SyncBatchNorm.convert_sync_batchnorm` as Lightning would: timm's own norms
    have an activation in them, which torch leaves out. `SyncBatchNorm` is for GPUs only, so that processors
    have the same in plain operations. Weights and statistics keep their names.

    Parameters
    ----------
    network : changed, and not to be used any more
    """
    if torch.cuda.is_available():
        converted: nn.Module = convert_sync_batchnorm(network)
        return converted
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.__class__ = _OnProcessors
    return network


class _OnProcessors(nn.BatchNorm2d):
    """Batch normalisation over all ranks, which must hold equally many images."""

    def forward(self, images: Tensor) -> Tensor:
        out = self._over_ranks(images) if self.training else super().forward(images)
        # What timm's norms have within.
        for name in ("drop", "act"):
            if hasattr(self, name):
                out = getattr(self, name)(out)
        return out

    def _over_ranks(self, images: Tensor) -> Tensor:
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        axes, shape = (0, 2, 3), (1, -1, 1, 1)
        count = images.numel() // images.shape[1] * distributed.get_world_size()
        mean = _Sum.apply(images.float().sum(axes)) / count
        centred = images - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return torch.addcmul(self.bias.view(shape), centred, scale.view(shape)).to(images.dtype)


class _Sum(torch.autograd.Function):
    """The sum over all ranks; a rank's share in it counts for the losses of all of them."""

    @staticmethod
    def forward(context: Any, share: Tensor) -> Tensor:
        return _summed(share)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(share: Tensor) -> Tensor:
    total = share.clone()
    distributed.all_reduce(total)
    return total

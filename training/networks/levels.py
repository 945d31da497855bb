"""Grey levels made comparable before a network looks at an image (papers 4 and 5)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

__all__ = ["Levelled", "LevelsName"]

LevelsName = Literal["as_is", "zero_centre", "z_score", "background", "euclidean"]

# What lies further from the middle than this share of the shorter side is background: 20 pixels of 64, a
# bead's diameter (paper 5 takes its background there, section "Metrics for estimating the REFP").
_BACKGROUND_SHARE = 20 / 64
# Keeps an empty image's levels finite.
_TINY = 1e-3


class Levelled(nn.Module):
    """A network that sees each image at levels of its own.

    - `zero_centre`: less the image's mean;
    - `z_score`: less its mean, over its standard deviation;
    - `background`: over the mean of what surrounds the object in the middle, less 1;
    - `euclidean`: over its Euclidean norm, in units in which an even image is 1, less 1.

    The first three are of paper 5 ("Network input normalization"), the last of paper 4 (methods). The last
    two are indifferent to how long was exposed, as long as nothing is clipped.

    Parameters
    ----------
    network : what looks at the levelled image
    levels : all but `as_is`, for which the network itself will do
    mean, std : the rig's normalisation, three numbers each: what is black, and what is white
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, network: nn.Module, levels: LevelsName, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.network = network
        self.levels = levels
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) normalised images to what the network gives."""
        out: torch.Tensor = self.network(self.levelled(images))
        return out

    def levelled(self, images: torch.Tensor) -> torch.Tensor:
        """Return the images, (N, 3, H, W), as the network sees them."""
        if self.levels == "background":
            light = images * self.std + self.mean
            around = _background(images.shape[2], images.shape[3]).to(images)
            mean = (light * around).sum(dim=(1, 2, 3), keepdim=True) / (3 * around.sum())
            return light / (mean + _TINY) - 1
        if self.levels == "euclidean":
            light = images * self.std + self.mean
            norm = light.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            return light / (norm + _TINY) - 1
        centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
        if self.levels == "zero_centre":
            return centred
        spread = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        return centred / (spread + _TINY)


def _background(height_px: int, width_px: int) -> torch.Tensor:
    """Return 1 for the pixels of the background, (1, 1, H, W)."""
    rows = torch.arange(height_px) - (height_px - 1) / 2
    columns = torch.arange(width_px) - (width_px - 1) / 2
    # Not torch.hypot, which the converter of bundles does not know.
    away = (rows[:, None].square() + columns[None, :].square()).sqrt()
    return (away >= _BACKGROUND_SHARE * min(height_px, width_px)).float()[None, None]

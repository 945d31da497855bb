"""A compact residual network of plain 3x3 convolutions.

Depthwise convolutions save multiplications and waste everything else: on a CPU they train at a fraction of
the speed that dense ones reach, and their per-channel ranges suffer under int8. This network uses dense
convolutions, batch normalisation (folded into them on export) and ReLU only, all of which have exact int8
kernels. The first layer keeps half the resolution, because defocus below one depth of field shows in the
finest structure only.
"""

from itertools import pairwise

import torch
from torch import nn

__all__ = ["FocusNet"]


class FocusNet(nn.Module):
    """Residual network (He et al. 2016, basic blocks) for small inputs.

    Parameters
    ----------
    outputs : numbers per image
    widths : channels of the stem and of each stage; every one of them halves the resolution
    blocks : residual blocks per stage
    """

    def __init__(self, outputs: int, widths: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = _convolution(3, widths[0], size=5, stride=2)
        stages: list[nn.Module] = []
        for (before, after), count in zip(pairwise(widths), blocks, strict=True):
            stages.append(_convolution(before, after, stride=2))
            stages.extend(_Residual(after) for _ in range(count))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(widths[-1], outputs)
        # Starts by saying "in focus, give or take the scale", and not something random with confidence.
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) to (N, outputs)."""
        features = self.stages(self.stem(images))
        out: torch.Tensor = self.head(features.mean(dim=(2, 3)))
        return out


class _Residual(nn.Module):
    """Two convolutions whose result is added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = _convolution(width, width, activate=False)
        self.activation = nn.ReLU(inplace=True)
        # Starts as the identity, so that depth costs nothing at first.
        norm = self.second[1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.activation(features + self.second(self.first(features)))
        return out


def _convolution(
    before: int, after: int, *, size: int = 3, stride: int = 1, activate: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(before, after, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(after),
    ]
    if activate:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)

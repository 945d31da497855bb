"""The network of paper 3: two blocks of convolution, and two fully connected layers."""

import torch
from torch import nn

from hw.errors import ConfigError

__all__ = ["TwoBlock"]

_KERNEL_PX = 10
_POOL_PX = 5


class TwoBlock(nn.Module):
    """Wei and Roberts 2018, section "Autofocus neural network structure" and figure 1a.

    Two blocks of a 10x10 convolution that keeps the size (32, then 64 features), ReLU and 5x5 maximum; then
    1024 fully connected units with ReLU and dropout of one half, and the outputs. At 250x250 pixels (4x
    downsampling of the paper's 1000x1000 windows) with 41 outputs it has 6.8 million parameters, as there.

    Two things differ from the paper. It looks at three colours, as everything here does; a grey image has
    three equal ones. And its weights start as in He et al. 2015, the last layer's near zero: the paper's
    standard deviation of 0.1, whatever a unit sums over, gives a normalised image numbers in the hundreds.

    Parameters
    ----------
    outputs : numbers per image
    height_px, width_px : of the input; the fully connected layer has a weight for each place

    Raises
    ------
    ConfigError
        The input is smaller than the two maxima, 25 pixels.
    """

    def __init__(self, outputs: int, height_px: int, width_px: int) -> None:
        super().__init__()
        left = [side // _POOL_PX // _POOL_PX for side in (height_px, width_px)]
        if not all(left):
            raise ConfigError(
                f"network 'two_block' shrinks its input {_POOL_PX**2} times, and {width_px}x{height_px} "
                "pixels leave nothing; choose a larger input"
            )
        self.blocks = nn.Sequential(*_block(3, 32), *_block(32, 64))
        self.hidden = nn.Sequential(nn.Linear(64 * left[0] * left[1], 1024), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(1024, outputs)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, height_px, width_px) to (N, outputs)."""
        out: torch.Tensor = self.head(self.hidden(self.blocks(images).flatten(1)))
        return out


def _block(before: int, after: int) -> list[nn.Module]:
    # An even kernel keeps the size with one more pixel on the far side.
    near, far = (_KERNEL_PX - 1) // 2, _KERNEL_PX // 2
    return [
        nn.ZeroPad2d((near, far, near, far)),
        nn.Conv2d(before, after, _KERNEL_PX),
        nn.ReLU(),
        nn.MaxPool2d(_POOL_PX),
    ]

"""The normalisation within the network, so that a file takes pixels as they come from the camera."""

import torch
from torch import Tensor, nn

from edge.bundle import Normalisation

__all__ = ["FromPixels"]


class FromPixels(nn.Module):
    """A network that takes uint8 RGB.

    ``(value / 255 - mean) / std`` is one product and one sum per pixel. It stays in front of the network: in
    the first convolution's weights it would be wrong at the edges, where zeros are added to what is
    normalised already.

    Parameters
    ----------
    network : takes (N, 3, H, W) float32, normalised
    normalisation : what that means
    """

    gain: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = network
        mean = torch.tensor(normalisation.mean, dtype=torch.float64).view(1, 3, 1, 1)
        std = torch.tensor(normalisation.std, dtype=torch.float64).view(1, 3, 1, 1)
        self.register_buffer("gain", (1 / (255 * std)).float())
        self.register_buffer("shift", (-mean / std).float())

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) uint8 to what the network gives."""
        out: Tensor = self.network(images.float() * self.gain + self.shift)
        return out

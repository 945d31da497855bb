"""Heads: from what a network gives per image to an offset and, where there is one, its deviation.

`Prediction` on the rig knows offsets and deviations only. Whatever a head gives is turned into these
*answers*: the first is the offset, the second the logarithm of its standard deviation, both in units of the
recipe's `scale_um`.

| head | the network gives | offset | deviation |
|---|---|---|---|
| `offset` | one number | that number | none |
| `offset_sigma` | two numbers | the first | the exponential of the second |
| `z_bins` | a score for each bin of offsets (paper 3) | expected value over the bins | spread over the bins |
| `patches` | a number for each patch (paper 2) | mean of the patches | standard deviation of the patches |

The spread of bins includes the width of a bin, within which nothing is known. That of patches tells an uneven
field too: paper 2 (section 2.2) calls a field even where it is smaller than the depth of field. Like all
deviations, both are made honest by the run's `sigma_factor`.
"""

import torch
from torch import Tensor, nn

from training import networks
from training.networks.levels import Levelled
from training.networks.patches import Patches
from training.recipe import BinsConfig, Recipe

__all__ = ["Answering", "answers", "bin_centres", "build"]

# Keeps logarithms finite where patches agree to the last bit; far below any deviation that counts.
_TINY = 1e-8


def build(recipe: Recipe, *, start: bool = False) -> nn.Module:
    """Build the network of a recipe, with its head.

    Parameters
    ----------
    recipe : says which
    start : with the weights that the recipe starts from, published ones or a file's

    Returns
    -------
    nn.Module
        Maps (N, 3, H, W) to (N, outputs), for the head `patches` to (N, patches).

    Raises
    ------
    ConfigError
        The network cannot look at the recipe's input, or there are no such weights.
    """
    patches = recipe.patches
    height_px, width_px = recipe.input.height_px, recipe.input.width_px
    network = networks.create(
        recipe.network,
        recipe.outputs,
        size_px=(patches.side_px, patches.side_px) if patches else (height_px, width_px),
        pretrained=start and recipe.pretrained,
        weights=recipe.weights if start else None,
    )
    if recipe.levels != "as_is":
        assert recipe.normalisation is not None, "a recipe with levels gives it"
        network = Levelled(network, recipe.levels, recipe.normalisation.mean, recipe.normalisation.std)
    return Patches(network, recipe.patch_corners(), patches.side_px) if patches else network


def answers(outputs: Tensor, recipe: Recipe) -> Tensor:
    """Turn what a network gives into answers, (N, 1) or (N, 2); see the head of this module."""
    if recipe.bins is not None:
        centres = bin_centres(recipe.bins, recipe.scale_um).to(outputs.device)
        shares = outputs.float().softmax(dim=1)
        mean = (shares * centres).sum(dim=1, keepdim=True)
        variance = (shares * (centres - mean).square()).sum(dim=1, keepdim=True)
        # Of a uniform distribution within a bin.
        variance = variance + (recipe.bins.width_um / recipe.scale_um) ** 2 / 12
        return torch.cat([mean, 0.5 * variance.log()], dim=1)
    if recipe.patches is not None:
        count = outputs.shape[1]
        mean = outputs.mean(dim=1, keepdim=True)
        variance = (outputs - mean).square().sum(dim=1, keepdim=True) / (count - 1)
        return torch.cat([mean, 0.5 * (variance + _TINY).log()], dim=1)
    return outputs


def bin_centres(bins: BinsConfig, scale_um: float) -> Tensor:
    """Return the centre of each bin, (count,) float32, in units of the scale."""
    return torch.from_numpy(bins.centres_um / scale_um).float()


class Answering(nn.Module):
    """A network that gives answers, whatever its head: what the rig runs.

    Parameters
    ----------
    network : with its head's outputs
    recipe : says what they mean
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self._recipe = recipe

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, 1) or (N, 2)."""
        return answers(self.network(images), self._recipe)

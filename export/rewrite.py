"""Parts of a network in another form, equal in float, that a file for the rig runs faster and rounds better.

Of ConvNeXt V2 (Woo et al. 2023) two parts convert badly. Its layer norms become sixteen operations each, six
of them over the whole map. Its global response norms (section 3.3) become a transposition, an absolute value
that has no int8 kernel, and sums of squares too large for eight bits. Here:

- A layer norm is what it does, over channels where they lie: mean, difference, square, mean, reciprocal root,
  product. Its gains and offsets go into the 1x1 or downsampling convolution behind it, which is linear.
- A response norm is ``x * (1 + gain * g / mean(g))`` with ``g`` the root of the *mean* square of a channel:
  the ratio is the same as with the norm itself, and the numbers stay small. Its offset goes into the bias of
  the convolution behind it.

GELU stays as it is: it converts to one operation, exact in float.
"""

import copy
from itertools import zip_longest
from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["ChannelNorm", "ResponseNorm", "rewritten"]


def rewritten(network: nn.Module) -> nn.Module:
    """Return a copy of a network with such parts replaced; the network itself where there are none.

    Parameters
    ----------
    network : in evaluation mode; maps (N, 3, H, W)

    Returns
    -------
    nn.Module
        Gives the same numbers, but for rounding of single precision.
    """
    import training.torchvision_compat  # noqa: F401 - before timm, which imports torchvision

    # isort: split
    from timm.layers.grn import GlobalResponseNorm
    from timm.layers.norm import LayerNorm2d

    if not any(isinstance(part, GlobalResponseNorm | LayerNorm2d) for part in network.modules()):
        return network
    network = copy.deepcopy(network)
    with torch.no_grad():
        for part in list(network.modules()):
            _rewrite_within(part)
    return network.eval()


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (N, C, H, W).

    Parameters
    ----------
    eps : added to the variance
    weight, bias : (C,) gains and offsets; None where they are those of 1 and 0
    """

    def __init__(self, eps: float, weight: Tensor | None = None, bias: Tensor | None = None) -> None:
        super().__init__()
        self.eps = eps
        self.weight = None if weight is None else nn.Parameter(weight.detach().reshape(1, -1, 1, 1))
        self.bias = None if bias is None else nn.Parameter(bias.detach().reshape(1, -1, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same."""
        centred: Tensor = features - features.mean(dim=1, keepdim=True)
        out: Tensor = centred * torch.rsqrt((centred * centred).mean(dim=1, keepdim=True) + self.eps)
        if self.weight is not None:
            out = out * self.weight
        if self.bias is not None:
            out = out + self.bias
        return out


class ResponseNorm(nn.Module):
    """Global response norm of (N, C, H, W), without its offset.

    Parameters
    ----------
    eps : added to the mean norm of all channels
    weight : (C,) gains
    """

    def __init__(self, eps: float, weight: Tensor) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(weight.detach().reshape(1, -1, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same."""
        root = (features * features).mean(dim=(2, 3), keepdim=True).sqrt()
        # The eps was meant for norms, sqrt(H W) times these roots.
        pixels = features.shape[2] * features.shape[3]
        share = root / (root.mean(dim=1, keepdim=True) + self.eps / pixels**0.5)
        out: Tensor = features * (share * self.weight + 1)
        return out


def _rewrite_within(part: nn.Module) -> None:
    from timm.layers.mlp import GlobalResponseNormMlp
    from timm.layers.norm import LayerNorm2d
    from timm.models.convnext import ConvNeXtBlock

    if isinstance(part, ConvNeXtBlock) and isinstance(part.norm, LayerNorm2d):
        first = part.mlp.fc1 if isinstance(part.mlp, GlobalResponseNormMlp) else None
        part.norm = _norm_into(part.norm, first)
        return
    if isinstance(part, GlobalResponseNormMlp) and isinstance(part.fc2, nn.Conv2d):
        norm = part.grn
        _absorb(part.fc2, None, norm.bias)
        part.add_module("grn", ResponseNorm(norm.eps, norm.weight))
        return
    children = list(part.named_children())
    followers = [child for _, child in children[1:]] if isinstance(part, nn.Sequential) else []
    for (name, child), behind in zip_longest(children, followers):
        if isinstance(child, LayerNorm2d):
            part.add_module(name, _norm_into(child, behind))


def _norm_into(norm: nn.Module, behind: nn.Module | None) -> ChannelNorm:
    eps, weight, bias = cast(float, norm.eps), cast(Tensor, norm.weight), cast(Tensor, norm.bias)
    if isinstance(behind, nn.Conv2d) and _linear_in_whole_map(behind):
        _absorb(behind, weight, bias)
        return ChannelNorm(eps)
    return ChannelNorm(eps, weight, bias)


def _linear_in_whole_map(convolution: nn.Conv2d) -> bool:
    # Zeros around the map are no offsets, so that an offset could not be told in one bias for all places.
    return convolution.padding in {(0, 0), "valid"} and convolution.groups == 1


def _absorb(convolution: nn.Conv2d, weight: Tensor | None, bias: Tensor) -> None:
    """Let a convolution do what gains and offsets (C,) did before it."""
    more = torch.einsum("oihw,i->o", convolution.weight.double(), bias.double())
    before = 0 if convolution.bias is None else convolution.bias.double()
    convolution.bias = nn.Parameter((before + more).float())
    if weight is not None:
        convolution.weight.mul_(weight.reshape(1, -1, 1, 1))

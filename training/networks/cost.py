"""What a network costs: its multiply-adds and its parameters."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edge.bundle.operators import operators_of

__all__ = ["Cost", "cost_of", "cost_of_file"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one image.

    Attributes
    ----------
    multiply_adds : of convolutions, linear layers and matrix products; what is done element by element
        (norms, activations, sums) is not counted, as is usual
    parameters : numbers that are learnt
    """

    multiply_adds: int
    parameters: int


def cost_of(network: nn.Module, height_px: int, width_px: int) -> Cost:
    """Count what a network does to one image, in evaluation mode; nothing is computed.

    Parameters
    ----------
    network : takes (N, 3, H, W)
    height_px, width_px : of the image
    """
    shadow = copy.deepcopy(network).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shadow(torch.empty(1, 3, height_px, width_px, device="meta"))
    # It counts a multiplication and an addition each.
    return Cost(counter.get_total_flops() // 2, sum(p.numel() for p in network.parameters()))


def cost_of_file(flatbuffer: bytes) -> Cost:
    """Count what a TFLite model does to one image.

    Parameters
    ----------
    flatbuffer : a model of one image in and one row of numbers out

    Returns
    -------
    Cost
        By its convolutions, fully connected layers and matrix products. Its parameters are the numbers in
        their constants; norms are folded into those.
    """
    operators = [o for o in operators_of(flatbuffer) if o.kind != "elementwise"]
    # The first input is the image's; what is behind it are weights and biases.
    constants = {t.index: t.elements for o in operators for t in o.inputs[1:] if t.constant}
    return Cost(sum(o.multiply_adds for o in operators), sum(constants.values()))

"""What a network costs: its multiply-adds and its parameters."""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

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
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(flatbuffer)
    graph = model.Subgraphs(0)
    kinds = schema.BuiltinOperator
    multiply_adds, constants = 0, set()
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        made = math.prod(_shape(graph, operator.Outputs(0)))
        if code in {kinds.CONV_2D, kinds.FULLY_CONNECTED, kinds.DEPTHWISE_CONV_2D}:
            weights = _shape(graph, operator.Inputs(1))
            # (outputs, ...) of the former two, (1, rows, columns, outputs) of the latter.
            outputs = weights[3] if code == kinds.DEPTHWISE_CONV_2D else weights[0]
            multiply_adds += made * (math.prod(weights) // outputs)
            constants |= {operator.Inputs(place) for place in range(1, operator.InputsLength())}
        elif code == kinds.BATCH_MATMUL:
            multiply_adds += made * _shape(graph, operator.Inputs(0))[-1]
    parameters = sum(math.prod(_shape(graph, tensor)) for tensor in constants if tensor >= 0)
    return Cost(int(multiply_adds), int(parameters))


def _shape(graph: Any, tensor: int) -> list[int]:
    return [int(length) for length in graph.Tensors(tensor).ShapeAsNumpy()]

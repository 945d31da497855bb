"""The rounding of static int8, simulated in float: what a value is after it has been eight bits.

Values are those of `ai_edge_quantizer` (whose arithmetic is that of Jacob et al. 2018, "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 2). Rounding has no
slope to learn by; gradients pass through it as if it were not there, but for values beyond the range, which
are clipped and have none (straight-through estimator: Bengio et al. 2013, "Estimating or Propagating
Gradients Through Stochastic Neurons", section 4).
"""

import torch
from torch import Tensor, nn

__all__ = ["folded", "rounded_activations", "rounded_weights", "steps"]

_LEAST, _MOST = -128, 127
# The quantizer's: keeps the step of a tensor of zeros above zero.
_TINY = 1e-9


def rounded_weights(weights: Tensor) -> Tensor:
    """Round weights symmetrically to -127 ... 127 steps, each output channel to steps of its own.

    Parameters
    ----------
    weights : (outputs, ...), of a convolution or of a linear layer
    """
    largest = weights.detach().abs().flatten(1).amax(dim=1).clamp_min(_TINY)
    zero_points = torch.zeros_like(largest, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weights, largest / _MOST, zero_points, 0, -_MOST, _MOST)


def steps(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return the step of activations that lie between two values, and which int8 number stands for 0.

    Parameters
    ----------
    low, high : the extremes; 0, which paddings have, is always within
    """
    low, high = low.clamp_max(0), high.clamp_min(0)
    step = (high - low).clamp_min(_TINY) / (_MOST - _LEAST)
    return step, (_LEAST - low / step).round().to(torch.int32)


def rounded_activations(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Round activations, all to the same steps, and clip those beyond the extremes.

    Parameters
    ----------
    values : any shape
    low, high : the extremes that were observed
    """
    step, zero = steps(low, high)
    return torch.fake_quantize_per_tensor_affine(values, step, zero, _LEAST, _MOST)


def folded(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the weights and the bias of a convolution that does a batch normalisation too, as in the file.

    Parameters
    ----------
    layer : the convolution
    norm : what follows it, with the statistics that it has collected
    """
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None, "networks collect statistics"
    assert variance is not None
    factor = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        factor = factor * norm.weight
    bias = -mean if layer.bias is None else layer.bias - mean
    bias = bias * factor
    if norm.bias is not None:
        bias = bias + norm.bias
    return layer.weight * factor.view(-1, 1, 1, 1), bias

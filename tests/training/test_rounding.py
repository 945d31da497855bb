"""The rounding of static int8: steps, ranges, and what learns through them."""

import pytest
import torch
from torch import nn

from training.rounding import folded, rounded_activations, rounded_weights, steps


def test_weights_are_whole_steps_of_their_own_channel():
    weights = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    weights *= torch.logspace(-3, 1, 6).view(-1, 1, 1, 1)
    weights[2] = 0
    found = rounded_weights(weights)
    step = weights.abs().flatten(1).amax(1) / 127
    assert torch.equal(found[2], weights[2])
    for channel in (0, 1, 3, 4, 5):
        counts = found[channel] / step[channel]
        assert counts.numpy() == pytest.approx(counts.round().numpy(), abs=1e-3)
        assert counts.abs().max() == pytest.approx(127, abs=1e-3)
        assert (found[channel] - weights[channel]).abs().max() <= 0.501 * step[channel]


@pytest.mark.parametrize(("low", "high"), [(-1.3, 4.2), (0.5, 6.0), (-3.0, -1.0), (0.0, 0.0)])
def test_activations_keep_their_zero_and_are_clipped(low, high):
    low, high = torch.tensor(low), torch.tensor(high)
    step, zero = steps(low, high)
    assert -128 <= zero <= 127
    values = torch.linspace(-10, 10, 4001)
    values[0] = 0.0
    found = rounded_activations(values, low, high)
    assert found[0] == 0
    assert len(found.unique()) <= 256
    within = (values > min(low, 0) + step) & (values < max(high, 0) - step)
    if within.any():
        assert (found - values)[within].abs().max() <= 0.501 * step
    assert found.max() == pytest.approx(max(high.item(), 0), abs=max(step.item(), 1e-8))
    assert found.min() == pytest.approx(min(low.item(), 0), abs=max(step.item(), 1e-8))


def test_gradients_pass_through_rounding_and_stop_where_it_clips():
    values = torch.tensor([-2.0, -0.5, 0.3, 0.9, 7.0], requires_grad=True)
    rounded_activations(values, torch.tensor(-1.0), torch.tensor(1.0)).sum().backward()
    assert values.grad.tolist() == [0, 1, 1, 1, 0]
    weights = torch.randn(3, 2, 1, 1, requires_grad=True)
    rounded_weights(weights).sum().backward()
    assert torch.equal(weights.grad, torch.ones_like(weights))


@pytest.mark.parametrize("bias", [True, False])
def test_a_folded_norm_is_that_norm(bias):
    torch.manual_seed(1)
    layer, norm = nn.Conv2d(3, 5, 3, bias=bias), nn.BatchNorm2d(5)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.normal_()
        norm.running_var.uniform_(0.1, 3)
    images = torch.randn(2, 3, 8, 8)
    weights, shift = folded(layer, norm)
    found = nn.functional.conv2d(images, weights, shift)
    assert found.detach().numpy() == pytest.approx(norm.eval()(layer(images)).detach().numpy(), abs=1e-5)

"""Which layers are a network's first, and that they stay as they are: weights and statistics."""

import pytest
import torch
from torch import nn

from hw.errors import ConfigError
from training import networks
from training.freezing import first_layers, freeze


def names_of(network, layers):
    names = {module: name for name, module in network.named_modules()}
    return [names[layer] for layer in layers]


def test_the_papers_hundred_layers_of_mobilenetv2_are_sixty_seven():
    network = networks.create("mobilenetv2", 1)
    layers = first_layers(network, 67)
    # Keras: input, padding, convolution, norm and activation of the stem; five of the first block; nine of
    # each of the next nine, with sums or padding; eight of the tenth; the eleventh's first convolution.
    assert 5 + 5 + 9 * 9 + 8 + 1 == 100
    assert names_of(network, layers)[:2] == ["conv_stem", "bn1"]
    assert names_of(network, layers)[-1] == "blocks.4.1.conv_pw"
    assert not any(
        name.startswith(("blocks.4.2", "blocks.5", "conv_head")) for name in names_of(network, layers)
    )


@pytest.mark.parametrize("name", ["tiny_for_tests", "two_block", "convnextv2_atto", "resnet18"])
def test_every_network_can_be_frozen_but_not_all_of_it(name):
    network = networks.create(name, 2, size_px=(32, 32))
    parameters = {id(parameter): key for key, parameter in network.named_parameters()}
    count = sum(bool(list(module.parameters(recurse=False))) for module in network.modules())
    with pytest.raises(ConfigError, match=f"freeze: {count} layers, and the network has {count}"):
        first_layers(network, count)
    layers = first_layers(network, count - 1)
    covered = {id(p) for layer in layers for p in layer.parameters(recurse=False)}
    left = [key for place, key in parameters.items() if place not in covered]
    # All but the last layer: its weight and its bias.
    assert len(left) == 2
    assert left[0].rpartition(".")[0] == left[1].rpartition(".")[0]


def test_frozen_parameters_get_no_gradient():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1))
    network(torch.zeros(1, 3, 5, 5))
    layers = freeze(network, 2)
    assert layers == (network[0], network[1])
    network(torch.rand(2, 3, 5, 5)).sum().backward()
    assert network[0].weight.grad is None
    assert network[1].bias.grad is None
    assert network[4].weight.grad is not None
    assert freeze(nn.Linear(2, 1), 0) == ()

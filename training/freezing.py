"""Layers that do not learn, in fine-tuning (paper 4, discussion: the first 100 of MobileNetV2's 157)."""

from torch import nn

from hw.errors import ConfigError

__all__ = ["first_layers", "freeze"]


def first_layers(network: nn.Module, count: int) -> tuple[nn.Module, ...]:
    """Return a network's first layers, in the order in which it holds them.

    A layer is a module with parameters of its own: a convolution, a norm or a linear layer, so that the count
    means the same for every network. Keras, which paper 4 counts with, has activations and sums among its
    layers: its first 100 of MobileNetV2 are 67 of these.

    Parameters
    ----------
    network : any
    count : how many

    Raises
    ------
    ConfigError
        The network has no more layers than that, so that nothing would learn.
    """
    layers = [
        module for module in network.modules() if next(module.parameters(recurse=False), None) is not None
    ]
    if count and count >= len(layers):
        raise ConfigError(
            f"freeze: {count} layers, and the network has {len(layers)}, so that nothing would learn; "
            "freeze fewer"
        )
    return tuple(layers[:count])


def freeze(network: nn.Module, count: int) -> tuple[nn.Module, ...]:
    """Keep a network's first layers as they are; return them.

    Their parameters get no gradient. Norms among them must besides be held in evaluation mode, after every
    call of `train()`, or their statistics go on changing.

    Parameters and errors are those of `first_layers`.
    """
    layers = first_layers(network, count)
    for layer in layers:
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad = False
    return layers

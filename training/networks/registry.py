"""Networks by name: one decorator registers one."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from hw.errors import ConfigError
from training.networks.weights import load_weights

__all__ = ["Builder", "Wanted", "create", "names", "register"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a network is asked to be.

    Attributes
    ----------
    outputs : numbers per image
    size_px : height and width of its input; None where the caller does not know yet. Only networks without a
        mean over the field need it
    pretrained : start from published ImageNet weights, downloaded by timm on first use
    """

    outputs: int
    size_px: tuple[int, int] | None = None
    pretrained: bool = False


Builder = Callable[[Wanted], nn.Module]

_registry: dict[str, Builder] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Register ``builder(wanted) -> nn.Module`` under a name.

    Raises
    ------
    ValueError
        The name is taken.
    """

    def add(builder: Builder) -> Builder:
        if name in _registry:
            raise ValueError(f"network '{name}' is registered twice")
        _registry[name] = builder
        return builder

    return add


def names() -> list[str]:
    """Names of all networks, sorted."""
    return sorted(_registry)


def create(
    name: str,
    outputs: int,
    *,
    size_px: tuple[int, int] | None = None,
    pretrained: bool = False,
    weights: Path | None = None,
) -> nn.Module:
    """Build a network.

    Parameters
    ----------
    name : one of `names()`
    outputs : numbers per image
    size_px : height and width of the input, which some networks must know
    pretrained : start from published ImageNet weights, downloaded by timm on first use
    weights : start from this file instead, as `training.networks.weights.load_weights` does

    Raises
    ------
    ConfigError
        No such network, it has no published weights, it cannot look at images of that size, or the file does
        not hold its weights.
    """
    if name not in _registry:
        near = difflib.get_close_matches(name, names(), 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names())}"
        raise ConfigError(f"unknown network '{name}'; {hint}")
    network = _registry[name](Wanted(outputs, size_px, pretrained))
    if weights is not None:
        load_weights(network, weights)
    return network

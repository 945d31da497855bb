"""The networks that can be trained, by name: one decorator registers one.

A network takes (N, 3, H, W) normalised RGB and gives (N, outputs) without activation at the end.
"""

import difflib
from collections.abc import Callable

from torch import nn

from hw.errors import ConfigError

__all__ = ["create", "names", "register"]

Builder = Callable[[int, bool], nn.Module]

_registry: dict[str, Builder] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Register ``builder(outputs, pretrained) -> nn.Module`` under a name.

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


def create(name: str, outputs: int, *, pretrained: bool = False) -> nn.Module:
    """Build a network.

    Parameters
    ----------
    name : one of `names()`
    outputs : numbers per image
    pretrained : start from published ImageNet weights, downloaded by timm on first use

    Raises
    ------
    ConfigError
        No such network, or it has no published weights.
    """
    if name not in _registry:
        near = difflib.get_close_matches(name, names(), 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names())}"
        raise ConfigError(f"unknown network '{name}'; {hint}")
    return _registry[name](outputs, pretrained)


def _register_timm(name: str, timm_name: str) -> None:
    @register(name)
    def build(outputs: int, pretrained: bool) -> nn.Module:
        import training.torchvision_compat  # noqa: F401 - before timm, which imports torchvision

        # isort: split
        import timm

        network: nn.Module = timm.create_model(
            timm_name, num_classes=outputs, in_chans=3, pretrained=pretrained
        )
        return network


for _name, _timm_name in {
    "mobilenetv2": "mobilenetv2_100",
    "mobilenetv3_small": "mobilenetv3_small_100",
    "mobilenetv3_large": "mobilenetv3_large_100",
    "resnet18": "resnet18",
    "convnextv2_atto": "convnextv2_atto",
    "convnextv2_pico": "convnextv2_pico",
    "convnextv2_tiny": "convnextv2_tiny",
}.items():
    _register_timm(_name, _timm_name)


@register("focusnet_small")
def _focusnet_small(outputs: int, pretrained: bool) -> nn.Module:
    from training.focusnet import FocusNet

    if pretrained:
        raise ConfigError("network 'focusnet_small' has no published weights; set 'pretrained: false'")
    return FocusNet(outputs, widths=(16, 24, 48, 96, 160), blocks=(1, 2, 2, 2))


@register("focusnet_tiny")
def _focusnet_tiny(outputs: int, pretrained: bool) -> nn.Module:
    from training.focusnet import FocusNet

    if pretrained:
        raise ConfigError("network 'focusnet_tiny' has no published weights; set 'pretrained: false'")
    return FocusNet(outputs, widths=(12, 16, 32, 64, 96), blocks=(1, 1, 1, 1))

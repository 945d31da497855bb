"""The networks that come with the package; importing this module registers them."""

from torch import nn

from hw.errors import ConfigError
from training.networks.registry import Wanted, register

# Ours for timm's. Paper 1 compares ResNet18, both MobileNetV3 and two ConvNeXt V2 (section 2.2), paper 2
# takes MobileNetV3-small. EfficientNet-lite is made for int8: neither squeeze-and-excitation nor swish.
TIMM_NAMES = {
    "mobilenetv2": "mobilenetv2_100",
    "mobilenetv3_small": "mobilenetv3_small_100",
    "mobilenetv3_large": "mobilenetv3_large_100",
    "efficientnet_lite0": "efficientnet_lite0",
    "resnet18": "resnet18",
    "convnextv2_atto": "convnextv2_atto",
    "convnextv2_pico": "convnextv2_pico",
    "convnextv2_tiny": "convnextv2_tiny",
}


# Ours, by the channels of the stem and of each stage, and the residual blocks of each stage.
FOCUSNETS = {
    "focusnet_small": ((16, 24, 48, 96, 160), (1, 2, 2, 2)),
    "focusnet_tiny": ((12, 16, 32, 64, 96), (1, 1, 1, 1)),
}


def _register_timm(name: str, timm_name: str) -> None:
    @register(name)
    def build(wanted: Wanted) -> nn.Module:
        import training.torchvision_compat  # noqa: F401 - before timm, which imports torchvision

        # isort: split
        import timm

        network: nn.Module = timm.create_model(
            timm_name, num_classes=wanted.outputs, in_chans=3, pretrained=wanted.pretrained
        )
        return network


for _name, _timm_name in TIMM_NAMES.items():
    _register_timm(_name, _timm_name)


def _register_focusnet(name: str, widths: tuple[int, ...], blocks: tuple[int, ...]) -> None:
    @register(name)
    def build(wanted: Wanted) -> nn.Module:
        from training.focusnet import FocusNet

        _no_published_weights(name, wanted)
        return FocusNet(wanted.outputs, widths, blocks)


for _name, (_widths, _blocks) in FOCUSNETS.items():
    _register_focusnet(_name, _widths, _blocks)


@register("two_block")
def _two_block(wanted: Wanted) -> nn.Module:
    from training.networks.two_block import TwoBlock

    _no_published_weights("two_block", wanted)
    if wanted.size_px is None:
        raise ConfigError(
            "network 'two_block' has weights for every place of its field; say its input's size"
        )
    return TwoBlock(wanted.outputs, *wanted.size_px)


def _no_published_weights(name: str, wanted: Wanted) -> None:
    if wanted.pretrained:
        raise ConfigError(f"network '{name}' has no published weights; set 'pretrained: false'")

import subprocess
import sys

import pytest
import torch

from hw.errors import ConfigError
from training import networks


@pytest.mark.parametrize("name", ["mobilenetv3_small", "convnextv2_atto", "resnet18", "focusnet_small"])
def test_networks_give_what_is_asked_for(name):
    network = networks.create(name, 2).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


def test_a_misspelt_network_is_told_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'mobilenetv3_small'"):
        networks.create("mobilenetv3_smal", 1)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="twice"):
        networks.register("resnet18")(lambda outputs, pretrained: torch.nn.Identity())


def test_focusnet_halves_the_resolution_five_times_and_stays_small():
    network = networks.create("focusnet_small", 1)
    assert network.stages(network.stem(torch.zeros(1, 3, 64, 96))).shape[2:] == (2, 3)
    assert sum(p.numel() for p in network.parameters()) < 2e6


def test_torchvision_loads_whatever_its_build():
    # In a process of its own, because a module is imported once.
    code = "import training.torchvision_compat, torchvision.transforms.v2, timm"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from edge.bundle import load_bundle
from hw.errors import ConfigError
from training import networks
from training.networks.cost import Cost, cost_of, cost_of_file

TINT = Path(__file__).parents[1] / "edge" / "networks" / "tint_float32.tflite"


@pytest.mark.parametrize("name", [name for name in networks.names() if "tests" not in name])
def test_networks_give_what_is_asked_for(name):
    network = networks.create(name, 2, size_px=(64, 64)).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


def test_a_misspelt_network_is_told_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'mobilenetv3_small'"):
        networks.create("mobilenetv3_smal", 1)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="twice"):
        networks.register("resnet18")(lambda wanted: torch.nn.Identity())


def test_focusnet_halves_the_resolution_five_times_and_stays_small():
    network = networks.create("focusnet_small", 1)
    assert network.stages(network.stem(torch.zeros(1, 3, 64, 96))).shape[2:] == (2, 3)
    assert sum(p.numel() for p in network.parameters()) < 2e6


def test_two_block_is_that_of_paper_3():
    network = networks.create("two_block", 41, size_px=(250, 250)).eval()
    # "6.8 million parameters" at 4x downsampling and 41 bins; the figure in full is for its one channel.
    grey = 100 * 32 + 32 + 100 * 32 * 64 + 64 + (64 * 10 * 10 + 1) * 1024 + (1024 + 1) * 41
    assert grey == 6_804_745
    assert cost_of(network, 250, 250).parameters == grey + 2 * 100 * 32
    # What a block keeps: 250 -> 50 -> 10.
    assert network.blocks(torch.zeros(1, 3, 250, 250)).shape == (1, 64, 10, 10)
    with torch.no_grad():
        assert network(torch.randn(2, 3, 250, 250)).abs().max() < 5


def test_two_block_says_what_it_cannot_look_at():
    with pytest.raises(ConfigError, match="24x100 pixels leave nothing"):
        networks.create("two_block", 41, size_px=(100, 24))
    with pytest.raises(ConfigError, match="say its input's size"):
        networks.create("two_block", 41)
    with pytest.raises(ConfigError, match="no published weights"):
        networks.create("two_block", 41, size_px=(100, 100), pretrained=True)


def test_cost_of_known_layers():
    convolution = nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=False)
    assert cost_of(convolution, 20, 30).multiply_adds == 10 * 15 * 8 * 3 * 25
    depthwise = nn.Conv2d(3, 3, 3, padding=1, groups=3)
    assert cost_of(depthwise, 20, 30) == Cost(20 * 30 * 3 * 9, 3 * 9 + 3)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 5, 7))
    cost = cost_of(linear, 4, 5)
    assert (cost.multiply_adds, cost.parameters) == (60 * 7, 61 * 7)
    # Counting leaves the network where it was.
    assert linear[1].weight.device.type == "cpu"


def test_cost_of_published_networks():
    # Sandler et al. 2018 and Howard et al. 2019 give 300 and 56 million for 224 pixels, with 1000 classes.
    v2, v3 = (networks.create(name, 1000) for name in ("mobilenetv2", "mobilenetv3_small"))
    assert cost_of(v2, 224, 224).multiply_adds == pytest.approx(300e6, rel=0.02)
    assert cost_of(v3, 224, 224).multiply_adds == pytest.approx(56e6, rel=0.02)


def test_cost_of_a_file_is_that_of_its_network():
    # tests/edge/networks/make.py: two outputs of three colours at each of 12x8 pixels, and a mean.
    assert cost_of_file(TINT.read_bytes()) == Cost(12 * 8 * 2 * 3, 2 * 3 + 2)
    shipped = load_bundle("default")
    spec = shipped.card.input
    torch_cost = cost_of(networks.create("focusnet_small", 2), spec.height_px, spec.width_px)
    found = cost_of_file(shipped.flatbuffer)
    assert found.multiply_adds == pytest.approx(torch_cost.multiply_adds, rel=1e-3)
    # Each norm's two numbers per channel have become one bias.
    assert found.parameters == pytest.approx(torch_cost.parameters, rel=2e-3)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_of_a_file_are_taken_but_for_another_last_layer(tmp_path, suffix):
    torch.manual_seed(0)
    trained = networks.create("resnet18", 5)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        # As a checkpoint of another program has them.
        torch.save({"state_dict": {f"module.{k}": v for k, v in trained.state_dict().items()}}, path)
    else:
        from safetensors.torch import save_file

        save_file(trained.state_dict(), path)
    network = networks.create("resnet18", 2, weights=path)
    theirs = trained.state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, theirs[name]) != name.startswith("fc."), name


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "other.pt"
    torch.save(networks.create("focusnet_small", 2).state_dict(), path)
    with pytest.raises(ConfigError, match=r"other.pt: has 0% of the network's weights"):
        networks.create("resnet18", 2, weights=path)
    for content, message in (
        (b"no weights", "no weights that can be read"),
        (b"", "no weights that can be read"),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            networks.create("resnet18", 2, weights=path)
    with pytest.raises(ConfigError, match="cannot be read"):
        networks.create("resnet18", 2, weights=tmp_path / "none.pt")


def test_torchvision_loads_whatever_its_build():
    # In a process of its own, because a module is imported once.
    code = "import training.torchvision_compat, torchvision.transforms.v2, timm"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)

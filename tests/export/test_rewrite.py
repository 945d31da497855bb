"""Parts of a network in another form give the same numbers."""

import pytest

pytest.importorskip("torch", reason="needs the export extra")

import torch

from export.rewrite import ChannelNorm, ResponseNorm, rewritten
from training import networks


def convnext() -> torch.nn.Module:
    """ConvNeXt V2 with parameters that all matter; as made, its response norms do nothing."""
    torch.manual_seed(0)
    network = networks.create("convnextv2_atto", 2).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn_like(parameter) * (1 if parameter.ndim == 1 else 0.2)
    return network


def test_convnext_is_equal_in_float() -> None:
    network = convnext()
    images = torch.randn(2, 3, 64, 64)
    again = rewritten(network)
    with torch.no_grad():
        expected, found = network(images), again(images)
        exact = network.double()(images.double()) - again.double()(images.double())
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    # And what remains is rounding, not another function: the biases that were made are in single precision.
    assert exact.abs().max() < 1e-5
    kinds = [type(part).__name__ for part in again.modules()]
    assert not {"LayerNorm2d", "GlobalResponseNorm"} & set(kinds)
    # One for each of twelve blocks, stem, three downsamplings and head.
    assert (kinds.count("ChannelNorm"), kinds.count("ResponseNorm")) == (17, 12)


def test_the_network_itself_stays_as_it_is() -> None:
    network = convnext()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    rewritten(network)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_others_are_handed_back() -> None:
    network = networks.create("focusnet_tiny", 2).eval()
    assert rewritten(network) is network


def test_norms_by_their_definition() -> None:
    torch.manual_seed(1)
    features = torch.randn(2, 6, 5, 4)
    weight, bias = torch.randn(6), torch.randn(6)
    expected = torch.nn.functional.layer_norm(features.permute(0, 2, 3, 1), (6,), weight, bias, 1e-6)
    found = ChannelNorm(1e-6, weight, bias)(features)
    torch.testing.assert_close(found, expected.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-5)
    # Woo et al. 2023, section 3.3, algorithm 1, without the offset.
    norms = features.norm(dim=(2, 3), keepdim=True)
    response = norms / (norms.mean(dim=1, keepdim=True) + 1e-6)
    expected = weight.view(1, -1, 1, 1) * (features * response) + features
    torch.testing.assert_close(ResponseNorm(1e-6, weight)(features), expected, rtol=1e-5, atol=1e-5)

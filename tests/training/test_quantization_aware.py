"""Fine-tuning with the rounding of static int8: what is rounded, what is kept, and that it resumes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hw.errors import ConfigError
from training import networks
from training.checkpoint import LAST, read_checkpoint
from training.fit import train
from training.labelled import collect
from training.prepared import prepare
from training.quantization_aware import RoundedNetwork, check_recipe
from training.run import load_run, normalised
from training.sitting import training_images
from training.split import rows_of
from training.transfer import quantization_aware


def quiet(line):
    pass


@pytest.fixture(scope="module")
def parent(recipe, stacks, tmp_path_factory, cache):
    small = recipe.model_copy(update={"samples": 2560, "epoch_samples": 640})
    return train(small, [stacks], tmp_path_factory.mktemp("parent"), cache=cache, tell=quiet)


def tuned(parent, **more):
    return quantization_aware(parent.recipe, parent.folder).model_copy(
        update={"samples": 128, "epoch_samples": 64, "learning_rate": 5e-4, **more}
    )


@pytest.fixture(scope="module")
def images():
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def test_a_network_is_rounded_and_stays_what_it_was(parent, images):
    network = parent.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rounded = RoundedNetwork(network)
    rounded.observe([images[:4], images[4:]])
    with torch.no_grad():
        found, plain = rounded(images), network(images)
    assert not torch.equal(found, plain)
    assert (found - plain).abs().mean() < 0.1 * plain.std()
    assert list(rounded.state_dict()) == ["ranges"]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    # All convolutions but the first; the only linear layer is the last.
    convolutions = [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    assert rounded.rounded_layers == tuple(convolutions[1:])


def test_ranges_are_the_extremes_of_the_float_network(images):
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(3136, 1)
    )
    rounded = RoundedNetwork(network.eval())
    rounded.observe([images[:4], images[4:]])
    with torch.no_grad():
        first = network[:2](images)
        second = network[:3](images)
    # The first layer's result is rounded after its activation alone, where int8 begins.
    expected = [[each.min(), each.max()] for each in (first, second)]
    assert rounded.ranges.flatten().tolist() == pytest.approx([float(v) for row in expected for v in row])


def test_everything_learns_through_the_rounding_but_statistics(parent, images):
    rounded = RoundedNetwork(parent.network.train())
    statistics = {n: b.clone() for n, b in parent.network.named_buffers()}
    parent.network.zero_grad()
    parent.network.eval()
    rounded.observe([images])
    parent.network.train()
    rounded(images).square().sum().backward()
    for name, parameter in parent.network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert all(torch.equal(b, statistics[n]) for n, b in parent.network.named_buffers())
    parent.network.eval()


@pytest.mark.parametrize(
    ("name", "in_float"),
    [
        # The stem, and the last layer; the rest, squeezes and gates among it, is rounded.
        ("mobilenetv3_small", ["conv_stem", "classifier"]),
        ("mobilenetv2", ["conv_stem", "classifier"]),
        ("resnet18", ["conv1", "fc"]),
        ("efficientnet_lite0", ["conv_stem", "classifier"]),
        ("focusnet_small", ["stem.0", "head"]),
        ("two_block", ["blocks.1", "head"]),
        ("convnextv2_atto", ["stem.0", "head.fc"]),
    ],
)
def test_every_kind_of_network_is_followed(name, in_float):
    network = networks.create(name, 2, size_px=(64, 64)).eval()
    layers = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    rounded = RoundedNetwork(network)
    assert set(layers) - set(rounded.rounded_layers) == set(in_float)
    images = torch.randn(2, 3, 64, 64)
    rounded.observe([images])
    assert torch.isfinite(rounded.ranges).all()
    with torch.no_grad():
        assert rounded(images).shape == (2, 2)


def test_a_run_ends_with_plain_weights_and_its_own_statistics(parent, stacks, tmp_path, cache):
    lines = []
    run = train(tuned(parent), [stacks], tmp_path, cache=cache, tell=lines.append)
    before, after = parent.network.state_dict(), load_run(tmp_path).network.state_dict()
    assert list(after) == list(before)
    for name, value in after.items():
        kept = "running" in name or name.endswith("num_batches_tracked")
        assert torch.equal(value, before[name]) == kept, name
    assert run.recipe.name == "tiny_quantization_aware"
    timed = parent.recipe.model_copy(update={"max_minutes": 11.0})
    assert quantization_aware(timed, parent.folder).max_minutes == 11.0
    # On the specimens of the run, divided as they were.
    assert run.split == parent.split
    assert not any("measured anew" in line for line in lines)


def test_a_resumed_run_ends_as_an_uninterrupted_one(parent, stacks, tmp_path, cache):
    recipe = tuned(parent)
    through = train(recipe, [stacks], tmp_path / "a", cache=cache, tell=quiet)
    assert train(recipe, [stacks], tmp_path / "b", cache=cache, tell=quiet, stop_after_epochs=1) is None
    ranges = read_checkpoint(tmp_path / "b" / LAST)["state_dict"]["rounded.ranges"]
    assert (ranges[:, 0] < ranges[:, 1]).all()
    broken = train(recipe, [stacks], tmp_path / "b", cache=cache, tell=quiet)
    theirs = broken.network.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in through.network.state_dict().items())
    ours, others = (read_checkpoint(tmp_path / each / LAST)["state_dict"] for each in "ab")
    assert torch.equal(ours["rounded.ranges"], others["rounded.ranges"])


def test_what_is_validated_has_ranges_of_its_own(parent, stacks, tmp_path, cache, monkeypatch):
    observed = []
    monkeypatch.setattr(
        RoundedNetwork,
        "observe",
        lambda self, batches, real=RoundedNetwork.observe: observed.append(real(self, batches)),
    )
    monkeypatch.setattr("training.quantization_aware._STEPS", 2)
    run = train(tuned(parent), [stacks], tmp_path, cache=cache, tell=quiet)
    # Two epochs of four steps, and the end of each.
    assert len(observed) == 2 * (2 + 1)
    monkeypatch.undo()
    data = prepare(
        collect([stacks], quiet), parent.input, cache, margin_px=parent.recipe.jitter_px, full=True
    )
    state = read_checkpoint(tmp_path / LAST)["state_dict"]
    averaged = {n.removeprefix("network."): v for n, v in state.items() if n.startswith("network.")}
    run.network.load_state_dict(averaged)
    rounded = RoundedNetwork(run.network.eval())
    shown = training_images(data, rows_of(data.specimens, data.specimen, run.split["train"]), 256)
    rounded.observe([normalised(torch.from_numpy(shown).permute(0, 3, 1, 2), run.record.normalisation)])
    assert state["rounded.ranges"].numpy() == pytest.approx(rounded.ranges.numpy(), rel=1e-5, abs=1e-5)


def uneven(network):
    """The same network in float, some channels of whose last features take nearly all of their range."""
    into, block = network.stages[-2], network.stages[-1]
    with torch.no_grad():
        for norm in (into[1], block.second[1]):
            norm.weight[:4] *= 40
            norm.bias[:4] *= 40
        block.first[0].weight[:, :4] /= 40
        network.head.weight[:, :4] /= 40
    return network


def test_learning_with_rounding_wins_back_what_rounding_costs(parent, stacks, tmp_path, cache):
    """By what the file would do, which tests/export/test_quantization_aware.py shows to be simulated."""
    worse = tmp_path / "worse"
    shutil.copytree(parent.folder, worse)
    network = uneven(load_run(worse).network)
    torch.save(network.state_dict(), worse / "best.pt")
    data = prepare(
        collect([stacks], quiet), parent.input, cache, margin_px=parent.recipe.jitter_px, full=True
    )
    # Of all specimens: what rounding does to few images is a matter of luck.
    rows = rows_of(data.specimens, data.specimen, data.specimens)
    images = torch.from_numpy(np.stack([data.centred(int(row)) for row in rows])).permute(0, 3, 1, 2)
    images = normalised(images, parent.record.normalisation)

    def mae_um(network, *, rounded):
        asked = RoundedNetwork(network.eval()) if rounded else network
        if rounded:
            asked.observe([images])
        with torch.no_grad():
            said_um = asked(images)[:, 0].numpy() * parent.scale_um
        return float(np.abs(said_um - data.offsets_um[rows]).mean())

    plain_um = mae_um(parent.network, rounded=False)
    assert mae_um(network, rounded=False) == pytest.approx(plain_um, rel=1e-3)
    lost = mae_um(network, rounded=True) / plain_um
    recipe = quantization_aware(parent.recipe, worse).model_copy(
        update={"samples": 1920, "epoch_samples": 320, "learning_rate": 1e-3}
    )
    run = train(recipe, [stacks], tmp_path / "run", cache=cache, tell=quiet)
    left = mae_um(run.network, rounded=True) / plain_um
    # 1.83 and 1.13 times the float network's error, when this was written.
    assert lost > 1.3
    assert left < 1 + (lost - 1) / 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": None}, "rounds what has been learnt already; name the run to start from"),
        ({"weights": Path(__file__)}, "is a file of weights, .*; name a run's folder"),
        ({"precision": "bf16-mixed"}, "too fine for precision 'bf16-mixed'; set precision: 32-true"),
        ({"levels": "z_score"}, "levels 'z_score' are not for static-int8"),
    ],
)
def test_what_cannot_be_rounded_is_refused(parent, change, message):
    with pytest.raises(ConfigError, match=message):
        check_recipe(tuned(parent, **change))
    check_recipe(tuned(parent, quantization_aware=False, **change))


def test_a_network_that_looks_before_it_leaps_cannot_be_followed():
    class Choosy(nn.Module):
        def forward(self, images):
            return images if images.mean() > 0 else -images

    with pytest.raises(
        ConfigError, match=r"what Choosy does cannot be followed \(.*\); choose another network"
    ):
        RoundedNetwork(Choosy())

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import distributed, nn

from edge.bundle import InputSpec
from hw.errors import ConfigError
from training import networks
from training.batch_norm import over_all_ranks
from training.batches import FixedBatches, ShuffledBatches
from training.labelled import collect
from training.prepared import prepare
from training.rank import Rank, device_count, of_all_ranks, of_first_rank
from training.recipe import ViewsConfig

SPEC = InputSpec(width_px=32, height_px=32, um_per_px=3.1)


@pytest.fixture(scope="module")
def data(stacks, tmp_path_factory):
    return prepare(collect([stacks], print), SPEC, tmp_path_factory.mktemp("cache"), margin_px=4, full=True)


@pytest.fixture
def group_of_one(tmp_path):
    """What processes that train together have, with one in it."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/ranks", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("count", "size", "of"), [(16, 1, 4), (14, 32, 2), (100, 32, 3), (7, 2, 3), (0, 8, 2)]
)
def test_blocks_of_all_ranks_are_everything_once_and_in_order(count, size, of):
    blocks = [list(range(count))[Rank(number, of).block(count, size)] for number in range(of)]
    assert [each for block in blocks for each in block] == list(range(count))
    # Packs stay whole, and no rank has two more than another.
    assert all(not block or block[0] % size == 0 for block in blocks)
    packs = [-(-len(block) // size) for block in blocks]
    assert max(packs) - min(packs) <= 1


@pytest.mark.parametrize("rotation_deg", [0.0, 30.0])
def test_ranks_have_the_images_of_one_among_them(data, rotation_deg):
    def shuffled(rank):
        views, rows = ViewsConfig(window=1, full=0.5), np.arange(len(data.offsets_um))
        return ShuffledBatches(data, rows, 12, 36, views, 5, 1, 8, rotation_deg, rank)

    whole = list(shuffled(Rank()))
    for batch, *shares in zip(whole, *(shuffled(Rank(number, 3)) for number in range(3)), strict=True):
        assert [len(share[0]) for share in shares] == [4, 4, 4]
        for one, several in zip(batch, zip(*shares, strict=True), strict=True):
            assert torch.equal(one, torch.cat(several))


@pytest.mark.parametrize("count", [5, 8, 20])
def test_ranks_validate_with_the_batches_of_one(data, count):
    rows = np.arange(count)
    whole = list(FixedBatches(data, rows, 8))
    shares = [list(FixedBatches(data, rows, 8, Rank(number, 2))) for number in range(2)]
    # Each rank has one at least, be it of nothing.
    assert all(shares)
    assert sum(len(images) == 0 for share in shares for images, _ in share) == (count <= 8)
    shown = [batch for share in shares for batch in share if len(batch[1])]
    for (images, offsets_um), (same, same_um) in zip(whole, shown, strict=True):
        assert torch.equal(images, same)
        assert torch.equal(offsets_um, same_um)


def test_images_are_opened_again_and_not_copied(data):
    sent = pickle.dumps(data)
    assert len(sent) < data.images.nbytes / 10
    again = pickle.loads(sent)
    assert np.array_equal(again.images, data.images)
    assert np.array_equal(again.offsets_um, data.offsets_um)


def test_devices(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert device_count(None, 32) == 1
    assert device_count(4, 32) == 4
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert device_count(None, 32) == 4
    assert device_count(1, 33) == 1
    with pytest.raises(ConfigError, match="devices: 8, and CUDA shows 4; give --devices 4"):
        device_count(8, 32)
    with pytest.raises(ConfigError, match=r"batch: 30 .* 4 devices; give --devices 3, or .* a batch of 32"):
        device_count(None, 30)
    with pytest.raises(ConfigError, match="devices: 0"):
        device_count(0, 32)


def test_one_alone_needs_nobody():
    assert of_first_rank(2.5) == 2.5
    assert of_all_ranks([1, 2]) == [1, 2]


@pytest.mark.usefixtures("group_of_one")
@pytest.mark.parametrize("name", ["focusnet_tiny", "mobilenetv3_small"])
def test_norms_over_ranks_do_and_learn_what_plain_ones_do(name, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    torch.manual_seed(0)
    plain = networks.create(name, 2)
    # By default some branches are multiplied by nought at first.
    for norm in plain.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
    images = torch.randn(2, 8, 3, 64, 64)
    shared = over_all_ranks(copy.deepcopy(plain))
    for network in (plain, shared):
        for some in images:
            network(some)[:, 0].square().sum().backward()
    ours, theirs = ([each.grad for each in network.parameters()] for network in (shared, plain))
    # A shift that the next norm takes out has a gradient of rounding alone.
    norms = [gradient.norm() for gradient in theirs]
    counting = [place for place, norm in enumerate(norms) if norm > 1e-3 * max(norms)]
    assert len(counting) > len(norms) / 2
    for place in counting:
        assert (ours[place] - theirs[place]).norm() < 1e-3 * norms[place]
    state = plain.state_dict()
    assert shared.state_dict().keys() == state.keys()
    for key, value in shared.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=1e-4, atol=1e-5, msg=key)
    torch.testing.assert_close(shared.eval()(images[0]), plain.eval()(images[0]), rtol=1e-4, atol=1e-4)


def test_norms_for_gpus_keep_activations(monkeypatch):
    plain = networks.create("mobilenetv3_small", 2).eval()
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    shared = over_all_ranks(copy.deepcopy(plain))
    assert sum(isinstance(norm, nn.SyncBatchNorm) for norm in shared.modules()) == 34
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(shared(images), plain(images))

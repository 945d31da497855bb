"""Every network with every head, and what the heads' numbers mean."""

import math

import numpy as np
import pytest
import torch

from edge.bundle import Network, Normalisation
from hw.errors import ConfigError
from training import networks
from training.fit import train
from training.heads import Answering, answers, build
from training.loss import recipe_loss, split_answers
from training.networks.patches import Patches, patch_corners
from training.recipe import LOSSES, Recipe
from training.run import load_run

BINS = {"bins": {"count": 5, "width_um": 100}}
PATCHES = {"patches": {"side_px": 32, "rows": [1, 2]}}
HEADS = {"offset": {}, "offset_sigma": {}, "z_bins": BINS, "patches": PATCHES}
SHIPPED = [name for name in networks.names() if "tests" not in name]


def recipe_for(head: str, network: str = "tiny_for_tests", side_px: int = 64, **more) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "x",
            "network": network,
            "head": head,
            "input": {"width_px": side_px, "height_px": side_px, "um_per_px": 3.1},
            "scale_um": 100,
            "loss": {"kind": LOSSES[head][0]},
            "samples": 8,
            "epoch_samples": 8,
            "batch": 4,
            **HEADS[head],
            **more,
        }
    )


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", SHIPPED)
def test_every_network_learns_with_every_head(name, head):
    torch.manual_seed(0)
    recipe = recipe_for(head, name)
    network = build(recipe, start=True)
    images, offsets_um = torch.randn(2, 3, 64, 64), torch.tensor([150.0, 80.0])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    before = {key: value.clone() for key, value in network.named_parameters()}
    for _ in range(2):
        optimizer.zero_grad()
        loss = recipe_loss(network(images), offsets_um, recipe, progress=0.5)
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
    # All but a layer whose gradient is still nothing behind one that started at zero.
    changed = [not torch.equal(before[key], value) for key, value in network.named_parameters()]
    assert np.mean(changed) > 0.3
    assert any(changed[-2:])
    with torch.no_grad():
        found = answers(network.eval()(images), recipe)
    assert found.shape == (2, 2 if recipe.tells_sigma else 1)
    assert torch.isfinite(found).all()


def test_bins_answer_with_expected_value_and_spread():
    recipe = recipe_for("z_bins")
    scores = torch.tensor([[0.0, 0.0, math.log(3), 0.0, 0.0], [-40.0, -40, -40, 40, -40]])
    offsets, log_sigmas = split_answers(answers(scores, recipe))
    # Shares 1, 1, 3, 1, 1 of 7 at -200, -100, 0, 100, 200 um; a bin adds the variance of its own width.
    spread_um = math.sqrt((2 * 200**2 + 2 * 100**2) / 7 + 100**2 / 12)
    assert offsets.tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    assert (log_sigmas.exp() * 100).tolist() == pytest.approx([spread_um, 100 / math.sqrt(12)], rel=1e-5)


def test_a_label_between_two_bins_is_shared_by_distance():
    recipe = recipe_for("z_bins", loss={"kind": "soft_cross_entropy"})
    scores = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    logs = scores.log_softmax(dim=1)
    # 30 um: 0.7 of the bin at 0 and 0.3 of that at 100; then a centre, the last one, and beyond.
    found = recipe_loss(scores, torch.tensor([30.0, -100.0, 200.0, 1e4]), recipe, 1.0)
    expected = -(0.7 * logs[0, 2] + 0.3 * logs[0, 3] + logs[1, 1] + logs[2, 4] + logs[3, 4]) / 4
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_hard_bins_call_the_nearest_one_right():
    recipe = recipe_for("z_bins")
    scores = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
    logs = scores.log_softmax(dim=1)
    found = recipe_loss(scores, torch.tensor([40.0, 160.0]), recipe, 1.0)
    assert found.item() == pytest.approx(-(logs[0, 2] + logs[1, 4]).item() / 2, rel=1e-5)


def test_bins_learn_the_offset_between_their_centres():
    recipe = recipe_for("z_bins", loss={"kind": "soft_cross_entropy"})
    scores = torch.zeros(1, 5, requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=0.2)
    for _ in range(200):
        optimizer.zero_grad()
        recipe_loss(scores, torch.tensor([70.0]), recipe, 1.0).backward()
        optimizer.step()
    assert answers(scores.detach(), recipe)[0, 0].item() * 100 == pytest.approx(70, abs=2)


def test_patches_answer_with_mean_and_agreement():
    recipe = recipe_for("patches")
    offsets, log_sigmas = split_answers(answers(torch.tensor([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]]), recipe))
    assert offsets.tolist() == pytest.approx([3.0, 4.0])
    assert log_sigmas[0].exp().item() == pytest.approx(math.sqrt(7), rel=1e-5)
    assert log_sigmas[1].item() == -4.0


def test_patches_learn_from_the_label_of_their_field_or_from_their_own():
    recipe = recipe_for("patches", loss={"kind": "mse"})
    outputs = torch.tensor([[0.0, 1.0, 2.0]])
    assert recipe_loss(outputs, torch.tensor([100.0]), recipe, 1.0).item() == pytest.approx(2 / 3)
    own = recipe_loss(outputs, torch.tensor([[0.0, 100.0, 400.0]]), recipe, 1.0)
    assert own.item() == pytest.approx(4 / 3)


def test_each_patch_is_cut_where_it_should_be():
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, patches):
            seen.append(patches)
            return patches.mean(dim=(1, 2, 3))[:, None]

    image = torch.arange(3 * 20 * 30.0).reshape(1, 3, 20, 30).repeat(2, 1, 1, 1)
    image[1] += 5000
    corners = patch_corners(20, 30, 8, [2, 3, 2])
    # The middle row reaches from edge to edge; the others have its spacing.
    assert corners == [(0, 6), (0, 16), (6, 0), (6, 11), (6, 22), (12, 6), (12, 16)]
    out = Patches(Spy(), corners, 8)(image)
    assert out.shape == (2, 7)
    for number, (top, left) in enumerate(corners):
        for which in range(2):
            patch = image[which, :, top : top + 8, left : left + 8]
            assert out[which, number] == pytest.approx(patch.mean().item())
    assert patch_corners(20, 20, 20, [1, 1]) == [(0, 0), (0, 0)]


@pytest.mark.parametrize(
    ("head", "change", "message"),
    [
        ("offset", {"loss": {"kind": "nll"}}, "loss.kind must be smooth_l1 or mse"),
        ("z_bins", {"bins": None}, "head 'z_bins' needs the key 'bins'"),
        ("offset", BINS, "'bins' is for head 'z_bins', and the head is 'offset'"),
        ("z_bins", {"bins": {"count": 2, "width_um": 1}}, "greater than or equal to 3"),
        ("patches", {"patches": {"side_px": 65, "rows": [3, 3]}}, "patches of 65 pixels do not fit"),
        ("patches", {"patches": {"side_px": 32, "rows": [1]}}, "a single patch has nothing to agree with"),
        ("offset", {"pretrained": True, "weights": "x.pt"}, "two places to start from"),
    ],
)
def test_mistakes_in_a_recipe_are_told(head, change, message):
    with pytest.raises(ValueError, match=message):
        recipe_for(head, **change)


@pytest.mark.parametrize("head", ["z_bins", "patches"])
def test_the_rig_gets_the_same_answers(head):
    pytest.importorskip("litert_torch", reason="needs the export extra")
    from export.convert import convert

    torch.manual_seed(0)
    recipe = recipe_for(head)
    network = Answering(build(recipe), recipe).eval()
    plain = Normalisation(mean=(0, 0, 0), std=(1, 1, 1))
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    on_the_rig = Network(convert(network, recipe.input), recipe.input, plain, "test").run(image)
    with torch.no_grad():
        here = network(torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None])[0]
    assert on_the_rig.tolist() == pytest.approx(here.tolist(), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("head", ["z_bins", "patches"])
def test_a_run_with_another_head_is_kept_whole(head, stacks, tmp_path):
    recipe = recipe_for(
        head, side_px=32, split={"validation": 0.25, "test": 0.2}, ema_decay=0.5, samples=32, jitter_px=2
    )
    change = (
        {"bins": {"count": 31, "width_um": 50}}
        if head == "z_bins"
        else {"patches": {"side_px": 20, "rows": [2]}}
    )
    recipe = Recipe.model_validate(recipe.model_dump() | change)
    run = train(recipe, [stacks], tmp_path, tell=lambda line: None, cache=tmp_path / "cache")
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    offsets_um, sigmas_um = run.predict(images)
    assert offsets_um.shape == sigmas_um.shape == (3,)
    assert (sigmas_um > 0).all()
    again = load_run(tmp_path).predict(images)
    assert torch.equal(again[0], offsets_um)
    assert torch.equal(again[1], sigmas_um)


def test_bins_that_do_not_reach_the_stacks_are_refused(stacks, tmp_path):
    recipe = recipe_for("z_bins", side_px=32, split={"validation": 0.25, "test": 0.2})
    with pytest.raises(ConfigError, match=r"5 of 100 um reach to ±250 um, the stacks' offsets to ±6\d\d"):
        train(recipe, [stacks], tmp_path, tell=lambda line: None, cache=tmp_path / "cache")

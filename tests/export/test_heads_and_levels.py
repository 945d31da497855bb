"""Every head, and levels of an image's own, keep their answers in int8."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the export extra")
pytest.importorskip("ai_edge_quantizer", reason="needs the export extra")

import torch

from edge.bundle import Network, Normalisation
from edge.bundle.operators import operators_of
from export.convert import convert
from export.quantize import Quantization, plan, quantize
from training.heads import Answering, build
from training.recipe import LOSSES, Recipe

SIDE = 32
NORMALISATION = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def recipe(head: str, **more: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "test",
            "network": "focusnet_tiny",
            "head": head,
            "loss": {"kind": LOSSES[head][0]},
            "input": {"width_px": SIDE, "height_px": SIDE, "um_per_px": 3.1},
            "normalisation": NORMALISATION.model_dump(),
            "samples": 1,
            "epoch_samples": 1,
            "batch": 1,
            **more,
        }
    )


CASES = {
    "z_bins": recipe("z_bins", bins={"count": 11, "width_um": 100}),
    "patches": recipe("patches", patches={"side_px": 24, "rows": [2, 3, 2]}),
    "z_score": recipe("offset_sigma", levels="z_score"),
}


def images(count: int, seed: int) -> np.ndarray:
    """Smooth random colours with noise on them, (count, SIDE, SIDE, 3) uint8."""
    rng = np.random.default_rng(seed)
    tints = rng.uniform(60, 190, (count, 1, 1, 3))
    ramps = np.linspace(-1, 1, SIDE)[None, :, None, None] * rng.uniform(-50, 50, (count, 1, 1, 3))
    return np.clip(tints + ramps + rng.normal(0, 15, (count, SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=CASES, ids=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[Recipe, Any, bytes]:
    """Recipe, network whose answers differ between images, and its float file."""
    torch.manual_seed(0)
    wanted = CASES[request.param]
    network = Answering(build(wanted), wanted)
    inputs = torch.from_numpy((images(32, 1) / 255 - 0.5) / 0.25).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
        for _ in range(30):
            network.train()(inputs)
        head = [part for part in network.modules() if isinstance(part, torch.nn.Linear)][-1]
        head.weight *= 30
    return wanted, network.eval(), convert(network.eval(), wanted.input)


@pytest.mark.parametrize("method", ["static-int8", "dynamic-int8", "float16"])
def test_answers_stay(case: tuple[Recipe, Any, bytes], method: Quantization) -> None:
    wanted, network, flatbuffer = case
    calibration = [((each / 255 - 0.5) / 0.25).astype(np.float32)[None] for each in images(64, 2)]
    quantized = quantize(flatbuffer, method, calibration)
    assert quantized != flatbuffer
    file = Network(quantized, wanted.input, NORMALISATION, "test")
    seen = images(24, 3)
    found = np.stack([file.run(each) for each in seen])
    inputs = torch.from_numpy((seen / 255 - 0.5) / 0.25).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = network(inputs).numpy()
    assert expected[:, 0].std() > 0.01
    assert np.abs(found - expected)[:, 0].mean() < 0.1 * expected[:, 0].std()
    assert np.abs(found - expected)[:, 1].mean() < 0.1


def test_what_comes_before_and_after_the_layers_is_float(case: tuple[Recipe, Any, bytes]) -> None:
    _, _, flatbuffer = case
    found = operators_of(flatbuffer)
    weighted = [place for place, each in enumerate(found) if each.weights is not None]
    chosen = plan(flatbuffer, "static-int8")
    outside = [*found[: weighted[0] + 1], *found[weighted[-1] :]]
    assert len(outside) > 2
    assert not {each.scope for each in outside} & set(chosen)
    assert len(chosen) > 10

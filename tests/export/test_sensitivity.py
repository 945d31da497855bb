"""A layer that int8 ruins is found, and spared."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the export extra")
pytest.importorskip("ai_edge_quantizer", reason="needs the export extra")

import torch
from torch import nn

from edge.bundle import InputSpec
from export.convert import convert
from export.parity import Samples
from export.quantize import Quantizer
from export.sensitivity import blocks, choose, measure

SIDE = 16
SPEC = InputSpec(width_px=SIDE, height_px=SIDE, um_per_px=1.0)


class Uneven(nn.Module):
    """Red minus blue, by way of a layer of which one channel is a thousand times the others."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.wide = nn.Conv2d(8, 8, 1)
        self.narrow = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 1)
        with torch.no_grad():
            for layer in (self.stem, self.wide, self.narrow, self.last, self.head):
                layer.weight.zero_()
                layer.bias.fill_(0.01)
            self.stem.weight[0, 0], self.stem.weight[1, 2], self.stem.weight[2, 1] = 1, 1, 1
            self.wide.weight[0, 0], self.wide.weight[1, 1], self.wide.weight[2, 2] = 1, 1, 1000
            self.narrow.weight[0, 0], self.narrow.weight[1, 1] = 1, 1
            self.last.weight[0, 0], self.last.weight[1, 1] = 1, 1
            self.head.weight[0, 0], self.head.weight[0, 1] = 1, -1

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) to (N, 1)."""
        features = self.narrow(self.wide(self.stem(images)))
        out: torch.Tensor = self.head(self.last(features).mean(dim=(2, 3)))
        return out


@pytest.fixture(scope="module")
def flatbuffer() -> bytes:
    return convert(Uneven().eval(), SPEC)


@pytest.fixture(scope="module")
def samples() -> Samples:
    rng = np.random.default_rng(0)
    images = rng.integers(90, 166, (40, 1, 1, 3)) + rng.integers(-4, 5, (40, SIDE, SIDE, 3))
    truth = (images[..., 0].mean(axis=(1, 2)) - images[..., 2].mean(axis=(1, 2))) / 255
    return Samples(images.astype(np.uint8), truth + rng.normal(0, 0.01, 40))


def inputs(images: np.ndarray) -> list[np.ndarray]:
    return [(each[None] / 255).astype(np.float32) for each in images]


def predict(file: bytes, images: np.ndarray) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=file)
    interpreter.allocate_tensors()
    told = []
    for image in inputs(images):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        told.append(float(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, 0]))
    return np.array(told)


def test_blocks_are_layers_by_name(flatbuffer: bytes) -> None:
    found = blocks(flatbuffer, "static-int8")
    assert [block.name for block in found] == ["wide", "narrow", "last"]
    (joined,) = blocks(flatbuffer, "static-int8", limit=1)
    assert joined.scopes == (*found[0].scopes, *found[1].scopes, *found[2].scopes)
    assert blocks(flatbuffer, "float16") == ()


def test_the_uneven_layer_and_what_reads_it_suffer_most(flatbuffer: bytes, samples: Samples) -> None:
    ranking = measure(
        Quantizer(flatbuffer, inputs(samples.images)), "static-int8", predict, samples, tell=lambda line: None
    )
    *worst, last = ranking
    assert {each.block.name for each in worst} == {"wide", "narrow"}
    assert last.rms_um < 0.2 * min(each.rms_um for each in worst)
    assert min(each.ratio for each in worst) > 2 > last.ratio


def test_they_are_spared_and_nothing_else(flatbuffer: bytes, samples: Samples) -> None:
    told: list[str] = []
    choice = choose(
        Quantizer(flatbuffer, inputs(samples.images)),
        "static-int8",
        predict,
        samples,
        target=1.2,
        tell=told.append,
    )
    # Measuring their input as they run does not help these: one range has to do for all channels there, too.
    assert {block.name for block in choice.left_float} == {"wide", "narrow"}
    assert choice.plain_loss is not None
    assert choice.loss is not None
    assert choice.loss <= 1.2 < choice.plain_loss
    assert "2 are in float" in told[-1]
    figures = choice.figures()
    assert sorted(figures["left_float"]) == ["narrow", "wide"]
    assert figures["ranking"][-1]["block"] == "last"


def test_nothing_is_measured_where_nothing_suffers(flatbuffer: bytes, samples: Samples) -> None:
    quantizer = Quantizer(flatbuffer, inputs(samples.images))
    choice = choose(quantizer, "static-int8", predict, samples, target=1e6)
    assert (choice.spared, choice.left_float, choice.ranking) == ((), (), ())
    assert choice.flatbuffer == quantizer.file("static-int8")
    nothing = Samples(samples.images[:0], samples.offsets_um[:0])
    assert choose(quantizer, "static-int8", predict, nothing).loss is None

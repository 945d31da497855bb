"""Looking into flatbuffers; what quantization makes of them is tested with it."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the export extra")

from export.correction import mean_last_output, shift_bias
from export.flatbuffer import composition, last_weighted, operations

TINT = Path(__file__).parents[1] / "edge" / "networks" / "tint_float32.tflite"


def test_operations_are_told_in_order_with_what_they_take() -> None:
    found = operations(TINT.read_bytes())
    place = last_weighted(found)
    assert place is not None
    first = next(each for each in found if each.weights is not None)
    assert first.kind == "CONV_2D"
    assert "Conv2d_conv" in first.scope
    assert first.multiply_adds > 0
    assert all(maker < place for place, each in enumerate(found) for maker in each.inputs)


def test_a_float_file_is_float_throughout() -> None:
    made_of = composition(TINT.read_bytes())
    assert set(made_of.counts) == {"float"}
    assert sum(made_of.float_kinds.values()) == made_of.counts["float"]
    assert (made_of.borders, made_of.int8_share) == (0, 0.0)


def test_a_layer_without_a_bias_of_its_own_is_left_as_it_is() -> None:
    flatbuffer = TINT.read_bytes()
    mean = mean_last_output(flatbuffer, _blank(flatbuffer))
    assert mean is not None
    assert shift_bias(flatbuffer, np.zeros(len(mean) + 1)) == flatbuffer


def _blank(flatbuffer: bytes) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    shape = Interpreter(model_content=flatbuffer).get_input_details()[0]["shape"]
    return [np.zeros(shape, np.float32)]

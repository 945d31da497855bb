"""Shifting what the last layer gives; what that does for quantization is tested with it."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the export extra")

from export.correction import mean_last_output, shift_bias

TINT = Path(__file__).parents[1] / "edge" / "networks" / "tint_float32.tflite"


def test_a_layer_without_a_bias_of_its_own_is_left_as_it_is() -> None:
    flatbuffer = TINT.read_bytes()
    mean = mean_last_output(flatbuffer, _blank(flatbuffer))
    assert mean is not None
    assert shift_bias(flatbuffer, np.zeros(len(mean) + 1)) == flatbuffer


def _blank(flatbuffer: bytes) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    shape = Interpreter(model_content=flatbuffer).get_input_details()[0]["shape"]
    return [np.zeros(shape, np.float32)]

"""Operators that are cut out do what they do in the whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edge.bench.cut import cut, idle_model, pieces
from edge.bundle import load_bundle
from edge.bundle.operators import Operator, Tensor, operators_of

NETWORKS = Path(__file__).parents[1] / "networks"


def answers(model: bytes, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    for tensor, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(tensor["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(tensor["index"]) for tensor in interpreter.get_output_details()]


@pytest.mark.parametrize("name", ["tint_float32", "tint_int8", "default"])
def test_the_pieces_one_after_the_other_are_the_whole(name: str) -> None:
    path = NETWORKS / f"{name}.tflite"
    model = path.read_bytes() if path.exists() else load_bundle(name).flatbuffer
    operators = operators_of(model)
    first = operators[0].inputs[0]
    random = np.random.default_rng(0)
    image = (
        random.normal(size=first.shape) if first.dtype == "FLOAT32" else random.integers(-99, 99, first.shape)
    )
    values = {first.index: image.astype(first.dtype.lower())}
    for operator, indices in pieces(operators):
        # Inputs stand in the order of their numbers in the whole, each once.
        wanted = sorted({t.index for t in operator.inputs if not t.constant})
        (made,) = answers(cut(model, indices), [values[index] for index in wanted])
        values[operator.outputs[0].index] = made
    (whole,) = answers(model, [values[first.index]])
    np.testing.assert_allclose(made.astype(float), whole.astype(float), rtol=1e-4, atol=1e-4)


def test_a_convolution_alone_runs_as_fast_code() -> None:
    # Constants that do not begin at a multiple of 16 bytes, or are taken for inputs, keep XNNPACK out: it
    # would show in no answer, only in the time.
    model = load_bundle("default").flatbuffer
    for operator in operators_of(model):
        if operator.name == "CONV_2D":
            interpreter = Interpreter(model_content=cut(model, [operator.index]), num_threads=1)
            interpreter.allocate_tensors()
            names = [found["op_name"] for found in interpreter._get_ops_details()]
            assert names == ["CONV_2D", "DELEGATE"]


def test_what_prepares_constants_stays_with_its_user() -> None:
    half = Tensor(0, "half", (2, 2), "FLOAT16", constant=True)
    weights, image, answer = (Tensor(i, f"{i}", (2, 2), "FLOAT32", constant=False) for i in (1, 2, 3))
    maker = Operator(0, "DEQUANTIZE", "elementwise", "other", (half,), (weights,), (), 0)
    product = Operator(1, "FULLY_CONNECTED", "linear", "float16", (image, weights), (answer,), (0,), 8)
    assert pieces([maker, product]) == [(product, (0, 1))]


def test_the_idle_model_adds() -> None:
    two, three = np.array([[2.0]], np.float32), np.array([[3.0]], np.float32)
    (total,) = answers(idle_model(), [two, three])
    assert total.tolist() == [[5.0]]

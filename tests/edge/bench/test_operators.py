"""What operators of known networks are counted as."""

from pathlib import Path

import pytest

from edge.bench.by_operator import left_in_float
from edge.bench.operators import Operator, Tensor, _operator, operators_of, precision_of
from edge.bundle import load_bundle
from hw.errors import BundleError

NETWORKS = Path(__file__).parents[1] / "networks"


def test_a_small_network_is_counted_by_hand() -> None:
    operators = operators_of((NETWORKS / "tint_float32.tflite").read_bytes())
    (convolution,) = [o for o in operators if o.kind != "elementwise"]
    # tests/edge/networks/make.py: two outputs of three colours at each of 12x8 pixels.
    assert (convolution.name, convolution.kind) == ("CONV_2D", "pointwise")
    assert convolution.multiply_adds == 12 * 8 * 2 * 3
    assert convolution.weight_bytes == 4 * (2 * 3 + 2)
    assert convolution.activation_bytes == 4 * 12 * 8 * (3 + 2)
    assert precision_of(operators) == "fp32"


def test_int8_moves_a_quarter_of_the_bytes() -> None:
    there, here = (
        operators_of((NETWORKS / f"tint_{name}.tflite").read_bytes()) for name in ("float32", "int8")
    )
    assert precision_of(here) == "int8"
    assert {o.precision for o in here if o.name == "CONV_2D"} == {"int8"}
    float_bytes, int_bytes = (
        sum(o.activation_bytes for o in found if o.name == "CONV_2D") for found in (there, here)
    )
    assert float_bytes == 4 * int_bytes


def test_the_default_bundle_is_int8_but_for_its_ends() -> None:
    operators = operators_of(load_bundle("default").flatbuffer)
    assert precision_of(operators) == "int8"
    floats = [o.name for o in operators if o.precision == "float32"]
    assert floats == ["CONV_2D", "FULLY_CONNECTED"]
    counts = left_in_float(operators)
    assert counts["float_operators"] == 2
    assert counts["operators_in_all"] == len(operators)
    # Some of its weights lie behind the flatbuffer; none may be taken for an input.
    assert all(o.inputs[1].constant for o in operators if o.name == "CONV_2D")
    assert 3 * counts["conversions"] < len(operators)


def test_int8_weights_and_float_images_are_dynamic() -> None:
    operators = operators_of((NETWORKS / "tint_float32.tflite").read_bytes())
    convolution = next(o for o in operators if o.name == "CONV_2D")
    image, _, bias = convolution.inputs
    weights = Tensor(1, (2, 1, 1, 3), "INT8", constant=True)
    found = _operator(0, "CONV_2D", [image, weights, bias], list(convolution.outputs))
    assert found.precision == "dynamic"
    assert found.weight_bytes == 2 * 3 + 4 * 2
    assert precision_of([found]) == "dynamic"


def test_weights_of_half_precision_make_a_file_fp16() -> None:
    half = Tensor(0, (2, 2), "FLOAT16", constant=True)
    single = Tensor(1, (2, 2), "FLOAT32", constant=False)
    maker = Operator(0, "DEQUANTIZE", "elementwise", "other", (half,), (single,), 0)
    product = Operator(1, "FULLY_CONNECTED", "linear", "float32", (single, single), (single,), 8)
    assert precision_of([maker, product]) == "fp16"
    assert half.bytes == 8


def test_shapes_are_of_no_precision() -> None:
    shape = Tensor(0, (4,), "INT32", constant=False)
    image = Tensor(1, (1, 8, 8, 3), "FLOAT32", constant=False)
    assert _operator(0, "PACK", [shape], [shape]).precision == "other"
    assert _operator(0, "RESHAPE", [image, shape], [image]).precision == "float32"


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(BundleError, match=r"photo.png: no TFLite file"):
        operators_of(b"\x89PNG\r\n\x1a\n", "photo.png")

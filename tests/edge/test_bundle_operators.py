"""What operators of known networks are read as, and what they are counted as."""

from collections.abc import Collection, Sequence
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge.bundle import load_bundle
from edge.bundle.composition import composition, precision_of
from edge.bundle.operators import Operator, Tensor, _operator, last_weighted, operators_of
from hw.errors import BundleError

NETWORKS = Path(__file__).parent / "networks"
TINT = NETWORKS / "tint_float32.tflite"


def tensor(index: int, shape: tuple[int, ...], dtype: str = "FLOAT32", *, constant: bool = False) -> Tensor:
    return Tensor(index, f"tensor {index}", shape, dtype, constant)


def operator(
    name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], halves: Collection[int] = ()
) -> Operator:
    return _operator(0, name, inputs, outputs, {}, halves)


def test_a_small_network_is_counted_by_hand() -> None:
    operators = operators_of(TINT.read_bytes())
    (convolution,) = [o for o in operators if o.kind != "elementwise"]
    # tests/edge/networks/make.py: two outputs of three colours at each of 12x8 pixels.
    assert (convolution.name, convolution.kind) == ("CONV_2D", "pointwise")
    assert convolution.multiply_adds == 12 * 8 * 2 * 3
    assert convolution.weight_bytes == 4 * (2 * 3 + 2)
    assert convolution.activation_bytes == 4 * 12 * 8 * (3 + 2)
    assert precision_of(operators) == "fp32"


def test_operators_are_told_in_order_with_what_they_take() -> None:
    operators = operators_of(TINT.read_bytes())
    convolution, mean = operators
    assert [o.index for o in operators] == [0, 1]
    assert last_weighted(operators) == convolution.index
    assert convolution.weights is not None
    assert convolution.weights.shape == (2, 1, 1, 3)
    assert mean.weights is None
    # What a quantization recipe knows it by.
    assert "Conv2d_conv" in convolution.scope
    assert convolution.scope == f"{convolution.outputs[0].name};"
    assert (convolution.makers, mean.makers) == ((), (convolution.index,))
    assert last_weighted([mean]) is None


def test_a_float_file_is_float_throughout() -> None:
    made_of = composition(operators_of(TINT.read_bytes()))
    assert made_of.counts == {"float": 2}
    assert sum(made_of.float_kinds.values()) == made_of.in_float == made_of.operators == 2
    assert (made_of.borders, made_of.int8_share) == (0, 0.0)


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
    made_of = composition(operators)
    assert made_of.float_kinds == {"CONV_2D": 1, "FULLY_CONNECTED": 1}
    assert made_of.in_float == made_of.counts["float"] == 2
    assert made_of.operators == len(operators)
    assert made_of.int8_share > 0.9
    # Some of its weights lie behind the flatbuffer; none may be taken for an input.
    assert all(o.weights.constant for o in operators if o.weights is not None)
    assert 3 * made_of.borders < len(operators)


def test_int8_weights_and_float_images_are_dynamic() -> None:
    convolution = operators_of(TINT.read_bytes())[0]
    image, _, bias = convolution.inputs
    weights = tensor(1, (2, 1, 1, 3), "INT8", constant=True)
    found = operator("CONV_2D", [image, weights, bias], convolution.outputs)
    assert found.precision == "dynamic"
    assert found.weight_bytes == 2 * 3 + 4 * 2
    assert precision_of([found]) == "dynamic"
    assert composition([found]).int8_share == 1.0


def test_weights_of_half_precision_make_a_file_fp16() -> None:
    half, single, image = tensor(0, (2, 2), "FLOAT16", constant=True), tensor(1, (2, 2)), tensor(2, (2, 2))
    maker = operator("DEQUANTIZE", [half], [single])
    product = operator("FULLY_CONNECTED", [image, single], [tensor(3, (2, 2))], halves={1})
    assert (maker.precision, product.precision) == ("other", "float16")
    assert precision_of([maker, product]) == "fp16"
    made_of = composition([maker, product])
    assert (made_of.counts, made_of.borders, made_of.in_float) == ({"float16": 1}, 1, 1)
    assert half.bytes == 8


def test_shapes_are_of_no_precision() -> None:
    shape, image = tensor(0, (4,), "INT32"), tensor(1, (1, 8, 8, 3))
    packed, shaped = operator("PACK", [shape], [shape]), operator("RESHAPE", [image, shape], [image])
    assert (packed.precision, shaped.precision) == ("other", "float32")
    assert composition([packed, shaped]).counts == {"other": 1, "float": 1}


def test_pixels_made_float_are_a_conversion() -> None:
    pixels, image = tensor(0, (1, 8, 8, 3), "UINT8"), tensor(1, (1, 8, 8, 3))
    made_of = composition([operator("CAST", [pixels], [image])])
    assert (made_of.counts, made_of.borders) == ({}, 1)


def test_a_transposed_convolution_spreads_every_pixel() -> None:
    shape, weights = tensor(0, (4,), "INT32", constant=True), tensor(1, (5, 2, 2, 3), constant=True)
    found = operator("TRANSPOSE_CONV", [shape, weights, tensor(2, (1, 4, 4, 3))], [tensor(3, (1, 8, 8, 5))])
    assert (found.kind, found.weights) == ("dense", weights)
    # Strides of two: each of 8x8 pixels sees one of the four places of a kernel.
    assert found.multiply_adds == 8 * 8 * 5 * 3


def test_files_of_old_converters_are_read() -> None:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(TINT.read_bytes()))
    for code in model.operatorCodes:
        code.deprecatedBuiltinCode, code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode), 0
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    assert operators_of(bytes(builder.Output())) == operators_of(TINT.read_bytes())


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(BundleError, match=r"photo.png: no TFLite file"):
        operators_of(b"\x89PNG\r\n\x1a\n", "photo.png")
    with pytest.raises(BundleError, match=r"the network: truncated or damaged"):
        operators_of(TINT.read_bytes()[:200])

"""What each operator of a TFLite model does to one image: its kind, its precision, its work, its bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hw.errors import BundleError

__all__ = ["Kind", "Operator", "Precision", "Tensor", "operators_of", "precision_of"]

Kind = Literal["dense", "pointwise", "depthwise", "linear", "elementwise"]
Precision = Literal["float32", "dynamic", "int8", "other"]

# Bytes per number, by TFLite's type names; a type that is not here is counted with four.
_BYTES = {"FLOAT16": 2.0, "INT8": 1.0, "UINT8": 1.0, "BOOL": 1.0, "INT4": 0.5, "INT16": 2.0, "INT64": 8.0}
_CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """What goes into an operator or comes out of it.

    Attributes
    ----------
    index : in the graph
    shape : lengths of its axes
    dtype : TFLite's name of its type, as `INT8`
    constant : it is part of the file
    """

    index: int
    shape: tuple[int, ...]
    dtype: str
    constant: bool

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Its size in memory."""
        return math.ceil(self.elements * _BYTES.get(self.dtype, 4.0))


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a model.

    Attributes
    ----------
    index : in the graph
    name : TFLite's, as `CONV_2D`
    kind : `dense` is a convolution over an area, `pointwise` one over a single pixel, `linear` a fully
        connected layer or a product of matrices; all that multiplies no matrices is `elementwise`
    precision : `dynamic` has int8 weights and float activations; `other` is everything between or beyond,
        conversions among them
    inputs, outputs : its tensors, absent ones left out
    multiply_adds : of convolutions, linear layers and matrix products, 0 for others
    """

    index: int
    name: str
    kind: Kind
    precision: Precision
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    multiply_adds: int

    @property
    def weight_bytes(self) -> int:
        """Bytes of its constants."""
        return sum(tensor.bytes for tensor in self.inputs if tensor.constant)

    @property
    def activation_bytes(self) -> int:
        """Bytes of what it reads and writes besides its constants."""
        return sum(t.bytes for t in (*self.inputs, *self.outputs) if not t.constant)

    @property
    def prepares(self) -> bool:
        """Whether it only makes constants of constants, which is done once."""
        return bool(self.inputs) and all(tensor.constant for tensor in self.inputs)

    @property
    def converts(self) -> bool:
        """Whether all it does is to turn float into int8 or back."""
        return self.name in _CONVERSIONS


def operators_of(flatbuffer: bytes, name: str = "the network") -> list[Operator]:
    """Read a model's operators, in the order in which they run.

    Parameters
    ----------
    flatbuffer : a TFLite model; of one with several graphs the first is read
    name : of the file, for errors

    Raises
    ------
    BundleError
        It is no TFLite model.
    """
    from ai_edge_litert import schema_py_generated as schema

    if flatbuffer[4:8] != b"TFL3":
        raise BundleError(f"{name}: no TFLite file (its first bytes say otherwise); check the path")
    model = schema.Model.GetRootAs(flatbuffer)
    graph = model.Subgraphs(0)
    names = {code: text for text, code in vars(schema.BuiltinOperator).items() if not text.startswith("_")}
    tensors = [_tensor(model, graph, index) for index in range(graph.TensorsLength())]
    found = []
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        # Files of old converters have the number in the deprecated field alone.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        found.append(
            _operator(
                index,
                names.get(number, f"OPERATOR_{number}"),
                [tensors[i] for i in operator.InputsAsNumpy() if i >= 0],
                [tensors[i] for i in operator.OutputsAsNumpy() if i >= 0],
            )
        )
    return found


def precision_of(operators: Sequence[Operator]) -> str:
    """Name the precision that does most of a model's work: `fp32`, `fp16`, `dynamic` or `int8`.

    A `fp16` file holds its weights in half precision and multiplies in single.
    """
    work: dict[str, int] = {}
    for operator in operators:
        work[operator.precision] = work.get(operator.precision, 0) + operator.multiply_adds
    most = max(work, key=lambda precision: work[precision], default="float32")
    if most == "float32":
        halves = any(t.constant and t.dtype == "FLOAT16" for o in operators for t in o.inputs)
        return "fp16" if halves else "fp32"
    return most


def _tensor(model: Any, graph: Any, index: int) -> Tensor:
    tensor = graph.Tensors(index)
    shape = tuple(int(n) for n in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
    buffer = model.Buffers(tensor.Buffer())
    # Data lies in the buffer, or behind the flatbuffer with its place in the buffer.
    constant = buffer.DataLength() > 0 or buffer.Size() > 0
    return Tensor(index, shape, _type_name(tensor.Type()), constant)


def _type_name(number: int) -> str:
    from ai_edge_litert import schema_py_generated as schema

    for text, value in vars(schema.TensorType).items():
        if value == number and not text.startswith("_"):
            return str(text)
    return f"TYPE_{number}"


def _operator(index: int, name: str, inputs: list[Tensor], outputs: list[Tensor]) -> Operator:
    made = outputs[0].elements if outputs else 0
    kind: Kind = "elementwise"
    work = 0
    if name in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}:
        weights = inputs[1]
        # (outputs, ...), but (1, rows, columns, outputs) of a depthwise convolution.
        number = weights.shape[3] if name == "DEPTHWISE_CONV_2D" else weights.shape[0]
        each = weights.elements // number
        work = made * each
        if name == "DEPTHWISE_CONV_2D":
            kind = "depthwise"
        elif name == "FULLY_CONNECTED":
            kind = "linear"
        else:
            kind = "pointwise" if weights.shape[1:3] == (1, 1) else "dense"
    elif name == "BATCH_MATMUL":
        kind, work = "linear", made * inputs[0].shape[-1]
    return Operator(
        index, name, kind, _precision(name, kind, inputs, outputs), tuple(inputs), tuple(outputs), work
    )


def _precision(name: str, kind: Kind, inputs: list[Tensor], outputs: list[Tensor]) -> Precision:
    if name in _CONVERSIONS:
        return "other"
    moving = {t.dtype for t in (*inputs, *outputs) if not t.constant}
    # Shapes and axes come as integers to operators of every precision.
    moving -= {"INT32", "INT64", "BOOL"}
    if moving and moving <= {"INT8", "UINT8"}:
        return "int8"
    if moving == {"FLOAT32"}:
        if kind != "elementwise" and len(inputs) > 1 and inputs[1].dtype in {"INT8", "INT4"}:
            return "dynamic"
        return "float32"
    return "other"

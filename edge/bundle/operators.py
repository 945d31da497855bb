"""The operators of a TFLite model: what each is, what it takes and gives, and what it does to one image."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hw.errors import BundleError

__all__ = ["Kind", "Operator", "Precision", "Tensor", "last_weighted", "operators_of"]

Kind = Literal["dense", "pointwise", "depthwise", "linear", "elementwise"]
Precision = Literal["float32", "float16", "dynamic", "int8", "other"]

# Bytes per number, by TFLite's type names; a type that is not here is counted with four.
_BYTES = {"FLOAT16": 2.0, "INT8": 1.0, "UINT8": 1.0, "BOOL": 1.0, "INT4": 0.5, "INT16": 2.0, "INT64": 8.0}
# They compute nothing: they pass from one kind of numbers to another.
_CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE", "CAST"})
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})


@dataclass(frozen=True, slots=True)
class Tensor:
    """What goes into an operator or comes out of it.

    Attributes
    ----------
    index : in the graph
    name : that the converter gave it
    shape : lengths of its axes
    dtype : TFLite's name of its type, as `INT8`
    constant : it is part of the file
    """

    index: int
    name: str
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
    index : in the graph, whose operators stand in the order in which they run
    name : TFLite's, as `CONV_2D`
    kind : `dense` is a convolution over an area, `pointwise` one over a single pixel, `linear` a fully
        connected layer or a product of matrices; all that multiplies no matrices is `elementwise`
    precision : `dynamic` has int8 weights, and measures its float input as it runs; `float16` stores its
        weights so and computes in float; `other` is everything between or beyond, conversions among them
    inputs, outputs : its tensors, absent ones left out
    makers : indices of the operators that give it what it takes
    multiply_adds : of convolutions, linear layers and matrix products, 0 for others
    """

    index: int
    name: str
    kind: Kind
    precision: Precision
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    makers: tuple[int, ...]
    multiply_adds: int

    @property
    def scope(self) -> str:
        """Names of what it gives, each with a semicolon behind it: what a quantization recipe knows it by."""
        return "".join(f"{tensor.name};" for tensor in self.outputs)

    @property
    def weights(self) -> Tensor | None:
        """Its weights, for a convolution or a fully connected layer."""
        return self.inputs[1] if self.name in _WEIGHTED else None

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
        """Whether all it does is to turn one kind of numbers into another, as float into int8."""
        return self.name in _CONVERSIONS


def operators_of(flatbuffer: bytes, name: str = "the network") -> tuple[Operator, ...]:
    """Read a model's operators, in the order in which they run.

    Parameters
    ----------
    flatbuffer : a TFLite model; of one with several graphs the first is read
    name : of the file, for errors

    Raises
    ------
    BundleError
        It is no TFLite model, or a damaged one.
    """
    if flatbuffer[4:8] != b"TFL3":
        raise BundleError(f"{name}: no TFLite file (its first bytes say otherwise); check the path")
    try:
        return tuple(_read(flatbuffer))
    except Exception as error:  # the schema's reader fails in its own ways on bytes that are no model
        raise BundleError(
            f"{name}: truncated or damaged ({type(error).__name__}: {error}); copy it again"
        ) from error


def last_weighted(operators: Sequence[Operator]) -> int | None:
    """Return the index of the last operator with weights, from which answers are read; None without."""
    return max((operator.index for operator in operators if operator.weights is not None), default=None)


def _read(flatbuffer: bytes) -> list[Operator]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(flatbuffer)
    graph = model.Subgraphs(0)
    names, dtypes = _names(schema.BuiltinOperator), _names(schema.TensorType)
    tensors = [_tensor(model, graph, index, dtypes) for index in range(graph.TensorsLength())]
    found: list[Operator] = []
    makers: dict[int, int] = {}
    halves: set[int] = set()
    for index in range(graph.OperatorsLength()):
        held = graph.Operators(index)
        code = model.OperatorCodes(held.OpcodeIndex())
        # Files of old converters have the number in the deprecated field alone.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        operator = _operator(
            index,
            names.get(number, f"OPERATOR_{number}"),
            [tensors[i] for i in held.InputsAsNumpy() if i >= 0],
            [tensors[i] for i in held.OutputsAsNumpy() if i >= 0],
            makers,
            halves,
        )
        found.append(operator)
        made = [tensor.index for tensor in operator.outputs]
        makers |= dict.fromkeys(made, index)
        if operator.name == "DEQUANTIZE" and operator.inputs[0].dtype == "FLOAT16":
            halves.update(made)
    return found


def _names(enumeration: type) -> dict[int, str]:
    return {number: text for text, number in vars(enumeration).items() if not text.startswith("_")}


def _tensor(model: Any, graph: Any, index: int, dtypes: dict[int, str]) -> Tensor:
    tensor = graph.Tensors(index)
    shape = tuple(int(n) for n in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
    buffer = model.Buffers(tensor.Buffer())
    # Data lies in the buffer, or behind the flatbuffer with its place in the buffer.
    constant = buffer.DataLength() > 0 or buffer.Size() > 0
    number = tensor.Type()
    return Tensor(
        index, (tensor.Name() or b"").decode(), shape, dtypes.get(number, f"TYPE_{number}"), constant
    )


def _operator(
    index: int,
    name: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    makers: dict[int, int],
    halves: Collection[int],
) -> Operator:
    """Say what an operator is, knowing what the ones before it have made.

    Parameters
    ----------
    index, name, inputs, outputs : of the operator
    makers : operator that has made a tensor, by indices
    halves : indices of tensors made of half-precision constants
    """
    kind, work = _work(name, inputs, outputs)
    return Operator(
        index,
        name,
        kind,
        _precision(name, kind, inputs, outputs, halves),
        tuple(inputs),
        tuple(outputs),
        tuple(makers[tensor.index] for tensor in inputs if tensor.index in makers),
        work,
    )


def _work(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[Kind, int]:
    """Return the kind of an operator, and its multiply-adds."""
    made = outputs[0].elements if outputs else 0
    if name == "BATCH_MATMUL":
        return "linear", made * inputs[0].shape[-1]
    if name not in _WEIGHTED:
        return "elementwise", 0
    weights = inputs[1]
    if name == "DEPTHWISE_CONV_2D":
        # (1, rows, columns, outputs)
        return "depthwise", made * (weights.elements // weights.shape[3])
    if name == "TRANSPOSE_CONV":
        # (outputs, rows, columns, inputs); every pixel of its image is spread over an area.
        return "dense", inputs[2].elements * (weights.elements // weights.shape[3])
    # (outputs, ...)
    work = made * (weights.elements // weights.shape[0])
    if name == "FULLY_CONNECTED":
        return "linear", work
    return "pointwise" if weights.shape[1:3] == (1, 1) else "dense", work


def _precision(
    name: str, kind: Kind, inputs: Sequence[Tensor], outputs: Sequence[Tensor], halves: Collection[int]
) -> Precision:
    if name in _CONVERSIONS:
        return "other"
    moving = {t.dtype for t in (*inputs, *outputs) if not t.constant}
    # Shapes and axes come as integers to operators of every precision.
    moving -= {"INT32", "INT64", "BOOL"}
    if moving and moving <= {"INT8", "UINT8"}:
        return "int8"
    if moving != {"FLOAT32"}:
        return "other"
    if kind != "elementwise" and len(inputs) > 1:
        if inputs[1].index in halves:
            return "float16"
        if inputs[1].dtype in {"INT8", "UINT8", "INT4"}:
            return "dynamic"
    return "float32"

"""Looking into a TFLite flatbuffer: its operations, and which numbers they compute with."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from ai_edge_litert import schema_py_generated as schema

__all__ = ["Composition", "Operation", "Precision", "composition", "last_weighted", "operations"]

Precision = Literal["float", "float16", "dynamic", "int8"]

WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
# They compute nothing: they pass from one kind of numbers to another.
BORDERS = frozenset({"QUANTIZE", "DEQUANTIZE"})

_KINDS: dict[int, str] = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
_INTEGERS = frozenset({schema.TensorType.INT8, schema.TensorType.UINT8, schema.TensorType.INT16})


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a model.

    Attributes
    ----------
    kind : its name, ``CONV_2D``
    scope : names of the tensors that it gives, each with a semicolon behind it; what a quantization recipe
        knows it by
    shape : of the first tensor that it gives
    weights : shape of its weights; None for an operation without
    multiply_adds : of convolutions and fully connected layers
    precision : `dynamic` has int8 weights and measures its input as it runs; `float16` stores its weights so
        and computes in float
    inputs : places of the operations whose results it takes
    """

    kind: str
    scope: str
    shape: tuple[int, ...]
    weights: tuple[int, ...] | None
    multiply_adds: int
    precision: Precision
    inputs: tuple[int, ...]


def operations(flatbuffer: bytes) -> tuple[Operation, ...]:
    """Return the operations of a model, in the order in which they run."""
    model = schema.Model.GetRootAs(flatbuffer)
    graph = model.Subgraphs(0)
    halves = _stored_as_half(model, graph)
    found, makers = [], dict[int, int]()
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        taken = (int(tensor) for tensor in operator.InputsAsNumpy())
        inputs = tuple(makers[tensor] for tensor in taken if tensor in makers)
        found.append(_operation(model, graph, operator, halves, inputs))
        makers |= {int(tensor): index for tensor in operator.OutputsAsNumpy()}
    return tuple(found)


def last_weighted(found: tuple[Operation, ...]) -> int | None:
    """Return the place of the last operation with weights, from which the answers are read; None without."""
    return max((place for place, each in enumerate(found) if each.weights is not None), default=None)


@dataclass(frozen=True, slots=True)
class Composition:
    """What a file computes with.

    Attributes
    ----------
    counts : number of operations of each precision
    borders : operations that only pass from one precision to another
    float_kinds : number of operations in float, by kind, the most frequent first
    int8_share : of all multiply-adds, 0 to 1, those with int8 weights
    """

    counts: dict[Precision, int]
    borders: int
    float_kinds: dict[str, int]
    int8_share: float


def composition(flatbuffer: bytes) -> Composition:
    """Count the operations of a file by what they compute with."""
    found = operations(flatbuffer)
    inner = [each for each in found if each.kind not in BORDERS]
    total = sum(each.multiply_adds for each in inner)
    small = sum(each.multiply_adds for each in inner if each.precision in {"int8", "dynamic"})
    return Composition(
        counts=dict(Counter(each.precision for each in inner)),
        borders=len(found) - len(inner),
        float_kinds=dict(Counter(each.kind for each in inner if each.precision == "float").most_common()),
        int8_share=small / total if total else 0.0,
    )


def _operation(model: Any, graph: Any, operator: Any, halves: set[int], inputs: tuple[int, ...]) -> Operation:
    kind = _kind(model, operator)
    outputs = [graph.Tensors(int(place)) for place in operator.OutputsAsNumpy()]
    shape = _shape(outputs[0])
    weights, multiply_adds = None, 0
    precision: Precision = "int8" if outputs[0].Type() in _INTEGERS else "float"
    if kind in WEIGHTED:
        tensor = graph.Tensors(operator.Inputs(1))
        weights = _shape(tensor)
        made = weights[3] if kind == "DEPTHWISE_CONV_2D" else weights[0]
        multiply_adds = math.prod(shape) * (math.prod(weights) // made)
        if operator.Inputs(1) in halves:
            precision = "float16"
        elif tensor.Type() in _INTEGERS and precision == "float":
            precision = "dynamic"
    scope = "".join(f"{tensor.Name().decode()};" for tensor in outputs)
    return Operation(kind, scope, shape, weights, multiply_adds, precision, inputs)


def _stored_as_half(model: Any, graph: Any) -> set[int]:
    """Tensors that are made of half-precision constants."""
    found = set()
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        if (
            _kind(model, operator) == "DEQUANTIZE"
            and graph.Tensors(operator.Inputs(0)).Type() == schema.TensorType.FLOAT16
        ):
            found.add(int(operator.Outputs(0)))
    return found


def _kind(model: Any, operator: Any) -> str:
    return _KINDS[model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()]


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(length) for length in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()

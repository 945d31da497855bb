"""What a TFLite flatbuffer consists of: its operators by kind and type, and the numbers in its constants."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

__all__ = ["Constant", "constants", "operators"]

# Whose second input is weights; that of others is an axis, a shape or a margin.
_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"}
_DTYPES: dict[int, np.dtype[Any]] = {
    schema.TensorType.FLOAT32: np.dtype("<f4"),
    schema.TensorType.FLOAT16: np.dtype("<f2"),
    schema.TensorType.INT32: np.dtype("<i4"),
    schema.TensorType.UINT8: np.dtype("u1"),
    schema.TensorType.INT64: np.dtype("<i8"),
    schema.TensorType.INT16: np.dtype("<i2"),
    schema.TensorType.INT8: np.dtype("i1"),
}


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor whose numbers are in the file.

    Attributes
    ----------
    name : that the converter gave it
    operator : kind of the first one that uses it
    place : which of that one's inputs it is
    dtype : that it is stored in
    values : what its numbers mean, dequantized, float64
    """

    name: str
    operator: str
    place: int
    dtype: str
    values: NDArray[np.float64]

    @property
    def role(self) -> tuple[str, int, tuple[int, ...]]:
        """What two networks' constants are matched by: operator, place and shape."""
        return self.operator, self.place, self.values.shape


def operators(flatbuffer: bytes) -> Counter[tuple[str, str]]:
    """Count a model's operators by kind and type.

    Returns
    -------
    Counter of (kind, type)
        Kind as TFLite names it. Type is that of the first output, with that of the weights where it is
        another: ``float32 by int8`` is what dynamic quantization gives.
    """
    graph = _Graph(flatbuffer)
    found: Counter[tuple[str, str]] = Counter()
    for kind, operator in graph.operators():
        made = graph.type_of(operator.Outputs(0)) if operator.OutputsLength() else "none"
        weights = graph.type_of(operator.Inputs(1)) if kind in _WEIGHTED else None
        found[kind, made if weights in {None, made} else f"{made} by {weights}"] += 1
    return found


def constants(flatbuffer: bytes) -> list[Constant]:
    """Return a model's constants in the order in which its operators use them, each once.

    Numbers that an operator only widens, as float16 weights are, count as those of the operator behind it.
    Tensors of types that networks have no weights in are left out.
    """
    graph = _Graph(flatbuffer)
    found: dict[int, Constant] = {}
    widened: dict[int, int] = {}
    for kind, operator in graph.operators():
        inputs = [widened.get(index, index) for index in operator.InputsAsNumpy().tolist()]
        if kind == "DEQUANTIZE" and graph.data(inputs[0]) is not None:
            widened[operator.Outputs(0)] = inputs[0]
            continue
        for place, index in enumerate(inputs):
            # -1 stands for an input that is left out.
            if index >= 0 and index not in found:
                values = graph.values(index)
                if values is not None:
                    name = graph.name(index)
                    found[index] = Constant(name, kind, place, graph.type_of(index), values)
    return list(found.values())


class _Graph:
    """The first subgraph of a model, read through the generated schema."""

    def __init__(self, flatbuffer: bytes) -> None:
        self._flatbuffer = flatbuffer
        self._model = schema.Model.GetRootAs(flatbuffer)
        self._graph = self._model.Subgraphs(0)
        # The generated enumerations are classes of plain integers.
        self._kinds: dict[int, str] = {
            value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()
        }
        self._types: dict[int, str] = {
            value: name for name, value in vars(schema.TensorType).items() if name.isupper()
        }

    def operators(self) -> Iterator[tuple[str, Any]]:
        for index in range(self._graph.OperatorsLength()):
            operator = self._graph.Operators(index)
            code = self._model.OperatorCodes(operator.OpcodeIndex())
            # Files of old writers have small codes in a field of their own.
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            custom = code.CustomCode()
            yield custom.decode() if custom else self._kinds.get(number, str(number)), operator

    def name(self, index: int) -> str:
        name: bytes | None = self._graph.Tensors(index).Name()
        return "" if name is None else name.decode()

    def type_of(self, index: int) -> str:
        number = self._graph.Tensors(index).Type()
        return self._types.get(number, f"type {number}").lower()

    def data(self, index: int) -> NDArray[np.uint8] | None:
        """Return the bytes of a constant, None for any other tensor."""
        if index < 0:
            return None
        buffer = self._model.Buffers(self._graph.Tensors(index).Buffer())
        # Large ones lie behind the tables; offsets 0 and 1 are for those that do not.
        if buffer.Offset() > 1:
            return np.frombuffer(self._flatbuffer, np.uint8, buffer.Size(), buffer.Offset())
        return buffer.DataAsNumpy() if buffer.DataLength() else None

    def values(self, index: int) -> NDArray[np.float64] | None:
        tensor, data = self._graph.Tensors(index), self.data(index)
        dtype = _DTYPES.get(tensor.Type())
        if data is None or dtype is None:
            return None
        shape = tensor.ShapeAsNumpy().tolist() if tensor.ShapeLength() else []
        stored = data.view(dtype).reshape(shape)
        return _dequantized(stored.astype(np.float64), tensor.Quantization())


def _dequantized(stored: NDArray[np.float64], quantization: Any) -> NDArray[np.float64]:
    if quantization is None or not quantization.ScaleLength():
        return stored
    scale = quantization.ScaleAsNumpy().astype(np.float64)
    zero = (
        quantization.ZeroPointAsNumpy().astype(np.float64) if quantization.ZeroPointLength() else 0.0 * scale
    )
    if len(scale) > 1:
        # Per channel: one scale for each index along one axis.
        along = [1] * stored.ndim
        along[quantization.QuantizedDimension()] = len(scale)
        scale, zero = scale.reshape(along), np.broadcast_to(zero, len(scale)).reshape(along)
    found: NDArray[np.float64] = (stored - zero) * scale
    return found

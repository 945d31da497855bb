"""What a TFLite flatbuffer consists of: its operators by kind and type, and the numbers in its constants."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge.bundle.operators import Tensor, operators_of

__all__ = ["Constant", "constants", "operators"]

_DTYPES: dict[str, np.dtype[Any]] = {
    "FLOAT32": np.dtype("<f4"),
    "FLOAT16": np.dtype("<f2"),
    "INT64": np.dtype("<i8"),
    "INT32": np.dtype("<i4"),
    "INT16": np.dtype("<i2"),
    "INT8": np.dtype("i1"),
    "UINT8": np.dtype("u1"),
}


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor whose numbers are in the file.

    Attributes
    ----------
    name : that the converter gave it
    operator : kind of the first one that uses it
    place : which of that one's inputs it is, absent ones left out
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
    found: Counter[tuple[str, str]] = Counter()
    for operator in operators_of(flatbuffer):
        made = operator.outputs[0].dtype if operator.outputs else "NONE"
        weighted = operator.kind != "elementwise" and len(operator.inputs) > 1
        weights = operator.inputs[1].dtype if weighted else made
        found[operator.name, (made if weights == made else f"{made} by {weights}").lower()] += 1
    return found


def constants(flatbuffer: bytes) -> list[Constant]:
    """Return a model's constants in the order in which its operators use them, each once.

    Numbers that an operator only widens, as float16 weights are, count as those of the operator behind it.
    Tensors of types that networks have no weights in are left out.
    """
    model = schema.Model.GetRootAs(flatbuffer)
    graph = model.Subgraphs(0)
    found: dict[int, Constant] = {}
    widened: dict[int, Tensor] = {}
    for operator in operators_of(flatbuffer):
        inputs = [widened.get(tensor.index, tensor) for tensor in operator.inputs]
        if operator.name == "DEQUANTIZE" and inputs[0].constant:
            widened[operator.outputs[0].index] = inputs[0]
            continue
        for place, tensor in enumerate(inputs):
            if tensor.constant and tensor.index not in found and tensor.dtype in _DTYPES:
                held = graph.Tensors(tensor.index)
                stored = _data(flatbuffer, model.Buffers(held.Buffer())).view(_DTYPES[tensor.dtype])
                values = _dequantized(stored.reshape(tensor.shape).astype(np.float64), held.Quantization())
                found[tensor.index] = Constant(
                    tensor.name, operator.name, place, tensor.dtype.lower(), values
                )
    return list(found.values())


def _data(flatbuffer: bytes, buffer: Any) -> NDArray[np.uint8]:
    # Large ones lie behind the tables; offsets 0 and 1 are for those that do not.
    if buffer.Offset() > 1:
        return np.frombuffer(flatbuffer, np.uint8, buffer.Size(), buffer.Offset())
    within: NDArray[np.uint8] = buffer.DataAsNumpy()
    return within


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

"""Single operators cut out of a TFLite model, each a model of its own that can be run and timed."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from edge.bundle.operators import Operator

__all__ = ["cut", "idle_model", "pieces"]

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16


def pieces(operators: Sequence[Operator]) -> list[tuple[Operator, tuple[int, ...]]]:
    """Say which operators to cut out together: every one with those that only prepare its constants.

    Half-precision files hold weights that an operator of its own makes single; without it, a convolution
    would get its weights as an input, for which runtimes have other, slower code.

    Returns
    -------
    list of (Operator, tuple of int)
        The operator, and the indices to cut out, in the order in which they run.
    """
    makers = {operator.outputs[0].index: operator for operator in operators if operator.prepares}
    found = []
    for operator in operators:
        if operator.prepares:
            continue
        helpers = {makers[t.index].index for t in operator.inputs if t.index in makers}
        found.append((operator, (*sorted(helpers), operator.index)))
    return found


def cut(flatbuffer: bytes, indices: Iterable[int]) -> bytes:
    """Make a model of some operators of another one, with their constants.

    Parameters
    ----------
    flatbuffer : a TFLite model
    indices : of operators in its first graph, in the order in which they run

    Returns
    -------
    bytes
        A model whose inputs are what those operators take from others, and whose outputs are what none of
        them takes up.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(flatbuffer))
    graph = model.subgraphs[0]
    chosen = [graph.operators[index] for index in indices]
    used = sorted({int(t) for o in chosen for t in (*o.inputs, *o.outputs) if t >= 0})
    place = {old: new for new, old in enumerate(used)}
    made = {int(t) for o in chosen for t in o.outputs}
    taken = {int(t) for o in chosen for t in o.inputs}

    # Buffer 0 is empty by convention; tensors without data share it.
    buffers = [b""]
    tensors = []
    for old in used:
        tensor = graph.tensors[old]
        data = _data(flatbuffer, model.buffers[tensor.buffer])
        if data:
            buffers.append(data)
        tensor.buffer = len(buffers) - 1 if data else 0
        tensors.append(tensor)
    codes: list[Any] = []
    for operator in chosen:
        operator.inputs = [place[int(t)] if t >= 0 else -1 for t in operator.inputs]
        operator.outputs = [place[int(t)] for t in operator.outputs]
        codes.append(model.operatorCodes[operator.opcodeIndex])
        operator.opcodeIndex = len(codes) - 1
    small = schema.SubGraphT()
    small.tensors, small.operators = tensors, chosen
    small.inputs = [place[t] for t in used if t in taken and t not in made and tensors[place[t]].buffer == 0]
    small.outputs = [place[t] for t in used if t in made and t not in taken]
    return _pack(small, codes, buffers)


def idle_model() -> bytes:
    """Return a model that adds two numbers, which takes no longer than asking a runtime for anything."""
    from ai_edge_litert import schema_py_generated as schema

    tensors = []
    for name in (b"first", b"second", b"sum"):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer, tensor.name = [1, 1], schema.TensorType.FLOAT32, 0, name
        tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1], [2]
    operator.builtinOptionsType = schema.BuiltinOptions.AddOptions
    operator.builtinOptions = schema.AddOptionsT()
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version = 1
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, [operator], [0, 1], [2]
    return _pack(graph, [code], [b""])


def _data(flatbuffer: bytes, buffer: Any) -> bytes:
    """Return a buffer's data, which lie in it, or behind the flatbuffer where it says."""
    if buffer.size:
        return bytes(memoryview(flatbuffer)[buffer.offset : buffer.offset + buffer.size])
    return b"" if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()


def _pack(graph: Any, codes: list[Any], buffers: list[bytes]) -> bytes:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    class Aligned(schema.BufferT):  # type: ignore[misc]
        """A buffer whose data begin at a multiple of 16 bytes, as the schema wants and its Python forgets."""

        def __init__(self, content: bytes) -> None:
            super().__init__()
            self.content = content

        def Pack(self, builder: Any) -> Any:  # noqa: N802 - the schema's name
            place = None
            if self.content:
                builder.StartVector(1, len(self.content), _ALIGNMENT)
                builder.head -= len(self.content)
                builder.Bytes[builder.head : builder.head + len(self.content)] = self.content
                place = builder.EndVector()
            schema.BufferStart(builder)
            if place is not None:
                schema.BufferAddData(builder, place)
            return schema.BufferEnd(builder)

    model = schema.ModelT()
    model.version = 3
    model.subgraphs, model.operatorCodes, model.buffers = [graph], codes, [Aligned(data) for data in buffers]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())

"""The mean of what the last layer gives, and the bias by which to shift it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge.bundle.operators import last_weighted, operators_of
from export.convert import quiet

__all__ = ["mean_last_output", "shift_bias"]


def mean_last_output(flatbuffer: bytes, images: Sequence[NDArray[Any]]) -> NDArray[np.float64] | None:
    """Return the mean over images, and over all but the last axis, of what the last layer with weights gives.

    Parameters
    ----------
    flatbuffer : a model
    images : (1, height, width, channels) each, as the network takes them

    Returns
    -------
    (outputs of that layer,) float64
        None for a model that has no such layer.
    """
    from ai_edge_litert.interpreter import Interpreter

    operators = operators_of(flatbuffer)
    place = last_weighted(operators)
    if place is None:
        return None
    name = operators[place].outputs[0].name
    with quiet():
        # Without it, the memory of a tensor in the middle holds something else by the end.
        interpreter = Interpreter(model_content=flatbuffer, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    sink = next(each["index"] for each in interpreter.get_tensor_details() if each["name"] == name)
    means = []
    for image in images:
        interpreter.set_tensor(source, image)
        interpreter.invoke()
        value = interpreter.get_tensor(sink)
        means.append(value.reshape(-1, value.shape[-1]).mean(axis=0, dtype=np.float64))
    return np.asarray(np.mean(means, axis=0, dtype=np.float64))


def shift_bias(flatbuffer: bytes, shift: NDArray[np.float64]) -> bytes:
    """Add constants to the bias of the last layer with weights.

    Parameters
    ----------
    flatbuffer : a model
    shift : (outputs of that layer,)

    Returns
    -------
    bytes
        The model, changed in those few bytes only, or as it is where there is no such bias in float that is
        used once.
    """
    data = bytearray(flatbuffer)
    model = schema.Model.GetRootAs(data)
    graph = model.Subgraphs(0)
    bias = _last_bias(flatbuffer, graph)
    if bias is None or bias.Type() != schema.TensorType.FLOAT32:
        return flatbuffer
    # The converter stores equal constants once: one that is used elsewhere too must stay.
    users = sum(graph.Tensors(i).Buffer() == bias.Buffer() for i in range(graph.TensorsLength()))
    content = model.Buffers(bias.Buffer()).DataAsNumpy()
    if users != 1 or not isinstance(content, np.ndarray):
        return flatbuffer
    # A view into `data`: adding to it changes the file.
    values = content.view("<f4")
    if values.shape != shift.shape:
        return flatbuffer
    values += shift.astype(np.float32)
    return bytes(data)


def _last_bias(flatbuffer: bytes, graph: Any) -> Any | None:
    operators = operators_of(flatbuffer)
    place = last_weighted(operators)
    if place is None or len(operators[place].inputs) < 3:
        return None
    return graph.Tensors(operators[place].inputs[2].index)

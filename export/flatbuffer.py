"""Looking into a TFLite flatbuffer, and changing the one constant that export has to change."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from hw.errors import ConfigError

__all__ = ["first_convolution", "shift_outputs"]


def first_convolution(flatbuffer: bytes) -> str | None:
    """Return the name of the tensor that the first convolution of a model gives, or None without one."""
    model = schema.Model.GetRootAs(flatbuffer)
    graph = model.Subgraphs(0)
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        if model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode() == schema.BuiltinOperator.CONV_2D:
            name: bytes = graph.Tensors(operator.Outputs(0)).Name()
            return name.decode()
    return None


def shift_outputs(flatbuffer: bytes, shift: NDArray[np.float32]) -> bytes:
    """Add constants to what a model gives, by its last layer's bias.

    Parameters
    ----------
    flatbuffer : a model that ends in a fully connected layer with a float bias
    shift : (outputs,)

    Returns
    -------
    bytes
        The model, changed in those few bytes only.

    Raises
    ------
    ConfigError
        The model ends in something else.
    """
    data = bytearray(flatbuffer)
    model = schema.Model.GetRootAs(data)
    graph = model.Subgraphs(0)
    bias = _last_bias(model, graph)
    if bias is None or bias.Type() != schema.TensorType.FLOAT32:
        raise ConfigError(
            "the model does not end in a fully connected layer with a float bias, by which the mean error of "
            "int8 is taken out; give the network one, or export with --quantization float32"
        )
    # The converter stores equal constants once: one that is used elsewhere too must stay.
    users = sum(graph.Tensors(i).Buffer() == bias.Buffer() for i in range(graph.TensorsLength()))
    # A view into `data`: adding to it changes the file.
    values = model.Buffers(bias.Buffer()).DataAsNumpy().view("<f4")
    if users != 1 or values.shape != shift.shape:
        raise ConfigError(
            f"the last layer's bias, {values.shape} used {users} times, cannot take {shift.shape}, by which "
            "the mean error of int8 is taken out; export with --quantization float32"
        )
    values += shift
    return bytes(data)


def _last_bias(model: Any, graph: Any) -> Any | None:
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        if (
            graph.Outputs(0) in operator.OutputsAsNumpy().tolist()
            and code == schema.BuiltinOperator.FULLY_CONNECTED
            and operator.InputsLength() > 2
            and operator.Inputs(2) >= 0
        ):
            return graph.Tensors(operator.Inputs(2))
    return None

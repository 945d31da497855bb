"""From float TFLite to int8, by ai-edge-quantizer."""

import re
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from export.convert import quiet
from export.flatbuffer import first_convolution, shift_outputs

__all__ = ["QUANTIZATIONS", "Quantization", "quantize"]

Quantization = Literal["static-int8", "dynamic-int8", "float32"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)

# Left in float by static int8. The borders and the last layer, because the offset is read from them and one
# step of an int8 output would be several um; HARD_SWISH, because its int8 kernel in XNNPACK is several times
# slower than the float one.
_FLOAT_IN_STATIC = ("INPUT", "OUTPUT", "FULLY_CONNECTED", "HARD_SWISH")


def quantize(flatbuffer: bytes, method: Quantization, calibration: Sequence[NDArray[np.float32]]) -> bytes:
    """Quantize a float model, and take the mean error that this causes back out.

    Parameters
    ----------
    flatbuffer : as made by `export.convert.convert`
    method : `static-int8` has int8 weights and activations, with ranges taken from `calibration`;
        `dynamic-int8` has int8 weights in convolutions and measures activations as it runs;
        `float32` leaves all as it is
    calibration : (1, height, width, channels) float32 each, normalised; images like those that the rig will
        see, never of specimens that the result is tested on

    Returns
    -------
    bytes
        A flatbuffer with float32 borders.

    Raises
    ------
    ValueError
        Quantization without calibration images.
    ConfigError
        The network does not end in a linear layer.
    """
    if method == "float32":
        return flatbuffer
    if not calibration:
        raise ValueError(f"{method} needs calibration images, and there are none")
    with quiet():
        quantized = _quantized(flatbuffer, method, calibration)
    # Rounded weights shift every activation a little, always the same way; a mean over the whole field adds
    # that up instead of averaging it out. Nagel et al., "Data-Free Quantization Through Weight Equalization
    # and Bias Correction", 2019, section 4.2, here once for the whole network.
    error = _mean_outputs(flatbuffer, calibration) - _mean_outputs(quantized, calibration)
    return shift_outputs(quantized, error)


def _quantized(flatbuffer: bytes, method: Quantization, calibration: Sequence[NDArray[np.float32]]) -> bytes:
    from ai_edge_quantizer import quantizer, recipe, recipe_manager

    operation, as_it_is = recipe.TFLOperationName, recipe.AlgorithmName.NO_QUANTIZE
    manager = recipe_manager.RecipeManager()
    statistics = None
    if method == "dynamic-int8":
        manager.add_dynamic_config(regex=".*", operation_name=operation.CONV_2D, num_bits=8)
    else:
        manager.add_static_config(
            regex=".*",
            operation_name=operation.ALL_SUPPORTED,
            activation_num_bits=8,
            weight_num_bits=8,
        )
        for name in _FLOAT_IN_STATIC:
            manager.add_quantization_config(
                regex=".*", operation_name=operation(name), algorithm_key=as_it_is
            )
    # The first layer sees the fine structure that tells defocus, a small part of the range of grey values:
    # most of the error of int8 arises there, and little of the work.
    first = first_convolution(flatbuffer)
    if first is not None:
        manager.add_quantization_config(
            regex=re.escape(f"{first};"), operation_name=operation.CONV_2D, algorithm_key=as_it_is
        )
    if method == "static-int8":
        statistics = _calibrate(flatbuffer, manager, calibration)
    worker = quantizer.Quantizer(bytearray(flatbuffer), manager.get_quantization_recipe())
    return bytes(worker.quantize(statistics, enable_progress_report=False).quantized_model)


def _calibrate(flatbuffer: bytes, manager: Any, images: Sequence[NDArray[np.float32]]) -> Any:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    # A converted network has one entry with one input.
    signature, names = next(iter(Interpreter(model_content=flatbuffer).get_signature_list().items()))
    data = [{names["inputs"][0]: image} for image in images]
    # The default, a moving average of the extremes, clips activations and ruins static int8.
    worker = calibrator.Calibrator(flatbuffer, qsv_update_func=qsv_utils.min_max_update)
    worker.calibrate({signature: data}, manager)
    return worker.get_model_qsvs()


def _mean_outputs(flatbuffer: bytes, images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=flatbuffer)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    sink = interpreter.get_output_details()[0]["index"]
    outputs = []
    for image in images:
        interpreter.set_tensor(source, image)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(sink)[0])
    return np.asarray(np.mean(outputs, axis=0, dtype=np.float64), np.float32)

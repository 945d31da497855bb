"""From float TFLite to int8, by ai-edge-quantizer."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from export.convert import quiet

__all__ = ["QUANTIZATIONS", "Quantization", "quantize"]

Quantization = Literal["static-int8", "dynamic-int8", "float32"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)

# Left in float by static int8. The borders and the last layer, because the offset is read from them and one
# step of an int8 output would be several um; HARD_SWISH, because its int8 kernel in XNNPACK is several times
# slower than the float one.
_FLOAT_IN_STATIC = ("INPUT", "OUTPUT", "FULLY_CONNECTED", "HARD_SWISH")


def quantize(
    flatbuffer: bytes, method: Quantization, calibration: Sequence[NDArray[np.float32]] = ()
) -> bytes:
    """Quantize a float model.

    Parameters
    ----------
    flatbuffer : as made by `export.convert.convert`
    method : `static-int8` has int8 weights and activations, with ranges taken from `calibration`;
        `dynamic-int8` has int8 weights in convolutions and measures activations as it runs;
        `float32` leaves all as it is
    calibration : (1, height, width, channels) float32 each, normalised; for `static-int8`, images like those
        that the rig will see, never of specimens that the result is tested on

    Returns
    -------
    bytes
        A flatbuffer with float32 borders.

    Raises
    ------
    ValueError
        Static quantization without calibration images.
    """
    if method == "float32":
        return flatbuffer
    with quiet():
        from ai_edge_quantizer import quantizer, recipe, recipe_manager

    operation = recipe.TFLOperationName
    manager = recipe_manager.RecipeManager()
    if method == "dynamic-int8":
        manager.add_dynamic_config(regex=".*", operation_name=operation("CONV_2D"), num_bits=8)
        statistics = None
    else:
        if not calibration:
            raise ValueError("static int8 takes its ranges from calibration images, and there are none")
        manager.add_static_config(
            regex=".*",
            operation_name=operation.ALL_SUPPORTED,
            activation_num_bits=8,
            weight_num_bits=8,
        )
        for name in _FLOAT_IN_STATIC:
            manager.add_quantization_config(
                regex=".*",
                operation_name=operation(name),
                algorithm_key=recipe.AlgorithmName.NO_QUANTIZE,
            )
        statistics = _calibrate(flatbuffer, manager, calibration)
    worker = quantizer.Quantizer(bytearray(flatbuffer), manager.get_quantization_recipe())
    with quiet():
        result = worker.quantize(statistics, enable_progress_report=False)
    return bytes(result.quantized_model)


def _calibrate(flatbuffer: bytes, manager: Any, images: Sequence[NDArray[np.float32]]) -> Any:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    # The first of one: a converted network has a single entry, with a single input.
    signature, names = next(iter(Interpreter(model_content=flatbuffer).get_signature_list().items()))
    data = [{names["inputs"][0]: image} for image in images]
    # The default, a moving average of the extremes, clips activations and ruins static int8.
    with quiet():
        worker = calibrator.Calibrator(flatbuffer, num_threads=2, qsv_update_func=qsv_utils.min_max_update)
        worker.calibrate({signature: data}, manager)
    return worker.get_model_qsvs()

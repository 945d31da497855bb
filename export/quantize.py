"""From float TFLite to smaller numbers, by ai-edge-quantizer."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edge.bundle.operators import Operator, Tensor, last_weighted, operators_of
from export.convert import quiet
from export.correction import mean_last_output, shift_bias

__all__ = ["QUANTIZATIONS", "Quantization", "Quantizer", "plan", "quantize"]

Quantization = Literal["static-int8", "dynamic-int8", "float16", "float32"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)

# Smaller depthwise kernels run slower with int8 weights than in float: there is too little to compute in each
# for measuring its input as it runs. Static int8 has no fast kernel for larger ones, so that there, too, they
# measure their input.
_DEPTHWISE_DYNAMIC_PX = 7
# Left in float by static int8. The int8 kernel of HARD_SWISH in XNNPACK is several times slower than the
# float one; roots and quotients span more than eight bits. GELU is as fast in float, and rounded once less:
# it bends where its input is small, of which int8 keeps little.
_FLOAT_IN_STATIC = frozenset({"HARD_SWISH", "GELU", "DIV", "SQRT", "RSQRT", "SQUARED_DIFFERENCE"})
# So do the norms: a square needs twice the bits of what is squared.
_NORMS = re.compile(r"\b(?:ChannelNorm|ResponseNorm)")

# Images that a mean error is taken over; it varies little between them.
_CORRECTION_IMAGES = 128

Kind = Literal["int8", "dynamic"]


def plan(
    flatbuffer: bytes, method: Quantization, spared: Collection[str] = (), left_float: Collection[str] = ()
) -> dict[str, Kind]:
    """Decide what becomes of each operator.

    Whatever the method, all up to the first convolution stay in float: an image's own levels, and the layer
    that sees the fine structure that tells defocus, a small part of the range of grey values. Most of the
    error of int8 would arise there, and little of the work is done there. So does all from the last layer
    with weights on: the offset is read from it, and one step of an int8 output would be several um.

    In between, what has weights is quantized. In static int8, so is what has none where all that it takes is
    int8 already.

    Parameters
    ----------
    flatbuffer : a float model
    method : of quantization
    spared : scopes of operators that suffer from ranges set beforehand: in static int8 these measure their
        input as they run, where that is fast, and stay in float elsewhere
    left_float : scopes of operators that stay in float

    Returns
    -------
    dict
        Of scopes; those not in it stay in float.
    """
    operators = operators_of(flatbuffer)
    last = last_weighted(operators)
    if last is None or method in {"float16", "float32"}:
        return {}
    first = next((each.index for each in operators if each.name == "CONV_2D"), -1)
    kinds: dict[int, Kind] = {}
    for operator in operators[first + 1 : last]:
        if operator.scope in left_float:
            continue
        suffers = operator.scope in spared
        if operator.weights is not None:
            kind = _kind_of(operator, operator.weights, method, suffers)
            if kind is not None:
                kinds[operator.index] = kind
        elif (
            not suffers
            and method == "static-int8"
            and operator.makers
            and all(kinds.get(maker) == "int8" for maker in operator.makers)
            and operator.name not in _FLOAT_IN_STATIC
            and not _NORMS.search(operator.scope)
        ):
            kinds[operator.index] = "int8"
    return {operators[index].scope: kind for index, kind in kinds.items()}


def _kind_of(operator: Operator, weights: Tensor, method: Quantization, suffers: bool) -> Kind | None:
    depthwise = operator.kind == "depthwise"
    large = weights.shape[1] >= _DEPTHWISE_DYNAMIC_PX
    if method == "static-int8" and not suffers and not (depthwise and large):
        return "int8"
    return None if depthwise and not large else "dynamic"


def quantize(flatbuffer: bytes, method: Quantization, calibration: Sequence[NDArray[Any]]) -> bytes:
    """Quantize a float model, and take the mean error that this causes back out; see `Quantizer.file`."""
    return Quantizer(flatbuffer, calibration).file(method)


class Quantizer:
    """A float model with images to calibrate by, and what was measured of the two.

    Parameters
    ----------
    flatbuffer : as made by `export.convert.convert`
    calibration : (1, height, width, channels) each, as the network takes them; images like those that the rig
        will see, never of specimens that the result is tested on
    """

    def __init__(self, flatbuffer: bytes, calibration: Sequence[NDArray[Any]]) -> None:
        self.flatbuffer = flatbuffer
        self._calibration = calibration

    def file(
        self,
        method: Quantization,
        *,
        spared: Collection[str] = (),
        left_float: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> bytes:
        """Quantize the model, and take the mean error that this causes back out.

        Parameters
        ----------
        method : `static-int8` has int8 weights and activations, with ranges taken from the images;
            `dynamic-int8` has int8 weights and measures activations as it runs; `float16` stores weights in
            half the bytes and computes in float; `float32` leaves all as it is
        spared, left_float : scopes of operators that suffer, as `plan` takes them
        only : scopes of operators to quantize, of those that the plan would; all of them where absent

        Returns
        -------
        bytes
            A flatbuffer with the borders of the float model.

        Raises
        ------
        ValueError
            Int8 without calibration images.
        """
        if method == "float32":
            return self.flatbuffer
        if method == "float16":
            return _quantized(self.flatbuffer, _half_recipe(), None)
        if not self._calibration:
            raise ValueError(f"{method} needs calibration images, and there are none")
        chosen = plan(self.flatbuffer, method, spared, left_float)
        if only is not None:
            chosen = {scope: kind for scope, kind in chosen.items() if scope in only}
        if not chosen:
            return self.flatbuffer
        statistics = self._ranges if method == "static-int8" else None
        quantized = _quantized(self.flatbuffer, _recipe(chosen), statistics)
        # Rounded weights shift every activation a little, always the same way; a mean over the whole field
        # adds that up instead of averaging it out. Nagel et al., "Data-Free Quantization Through Weight
        # Equalization and Bias Correction", 2019, section 4.2, here once for the whole network: where the
        # scores of bins or the offsets of patches arise, before anything that is not linear.
        found = mean_last_output(quantized, self._correcting)
        return quantized if found is None else shift_bias(quantized, self._mean_output - found)

    @cached_property
    def _correcting(self) -> Sequence[NDArray[Any]]:
        # Evenly from all of them, which come in the order of specimens.
        return self._calibration[:: math.ceil(len(self._calibration) / _CORRECTION_IMAGES)]

    @cached_property
    def _mean_output(self) -> NDArray[np.float64]:
        mean = mean_last_output(self.flatbuffer, self._correcting)
        assert mean is not None, "what can be quantized has a layer with weights"
        return mean

    @cached_property
    def _ranges(self) -> Any:
        """Ranges of all activations that static int8 may quantize."""
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_quantizer import calibrator
        from ai_edge_quantizer.utils import qsv_utils

        # A converted network has one entry with one input.
        interpreter = Interpreter(model_content=self.flatbuffer)
        signature, names = next(iter(interpreter.get_signature_list().items()))
        data = [{names["inputs"][0]: image} for image in self._calibration]
        with quiet():
            # The default, a moving average of the extremes, clips activations and ruins static int8.
            worker = calibrator.Calibrator(self.flatbuffer, qsv_update_func=qsv_utils.min_max_update)
            worker.calibrate({signature: data}, _recipe(plan(self.flatbuffer, "static-int8")))
            return worker.get_model_qsvs()


def _recipe(chosen: Mapping[str, Kind]) -> Any:
    from ai_edge_quantizer import recipe, recipe_manager

    manager = recipe_manager.RecipeManager()
    # What has no kernel for it stays in float.
    every = recipe.TFLOperationName.ALL_SUPPORTED
    for kind in ("int8", "dynamic"):
        scopes = [re.escape(scope) for scope, wanted in chosen.items() if wanted == kind]
        if not scopes:
            continue
        these = f"^(?:{'|'.join(scopes)})$"
        if kind == "dynamic":
            manager.add_dynamic_config(regex=these, operation_name=every, num_bits=8)
        else:
            manager.add_static_config(
                regex=these, operation_name=every, activation_num_bits=8, weight_num_bits=8
            )
    return manager


def _half_recipe() -> Any:
    from ai_edge_quantizer import recipe, recipe_manager

    manager = recipe_manager.RecipeManager()
    for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        manager.add_weight_only_config(
            regex=".*",
            operation_name=recipe.TFLOperationName(name),
            num_bits=16,
            algorithm_key=recipe.AlgorithmName.FLOAT_CASTING,
        )
    return manager


def _quantized(flatbuffer: bytes, manager: Any, statistics: Any) -> bytes:
    from ai_edge_quantizer import quantizer

    with quiet():
        worker = quantizer.Quantizer(bytearray(flatbuffer), manager.get_quantization_recipe())
        return bytes(worker.quantize(statistics, enable_progress_report=False).quantized_model)

"""Running a bundle's network on the rig: a window goes in, an offset comes out."""

import importlib
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.bundle.card import Normalisation
from edge.bundle.file import Bundle
from edge.bundle.window import resize_to_input
from hw.errors import BundleError

__all__ = ["Prediction", "Predictor"]

_INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
# exp() of more is no longer a confidence; it only overflows.
_MAX_LOG_SIGMA = 20.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says about one window.

    Attributes
    ----------
    offset_um : the move that brings the subject into focus, signed, um; 0 when the network gave no number
    sigma_um : standard deviation of the offset, um; None when the network does not tell, inf when it gave
        no number
    in_range : the offset lies within the range that the network was trained on
    """

    offset_um: float
    sigma_um: float | None
    in_range: bool


class Predictor:
    """A network ready to run, with its buffers; use it from one thread at a time.

    Parameters
    ----------
    bundle : the network and its card
    threads : of the interpreter

    Raises
    ------
    BundleError
        No interpreter is installed, it refuses the network, or the tensors are not what the card says.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.card = bundle.card
        interpreter = _interpreter_class(bundle.card.name)
        # Kept with the predictor: the interpreter reads the weights from these very bytes.
        self._flatbuffer = bundle.flatbuffer
        try:
            self._interpreter = interpreter(model_content=self._flatbuffer, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise BundleError(
                f"{bundle.path}: the interpreter refuses the network ({_one_line(error)}); "
                "update ai-edge-litert or export the bundle again"
            ) from error
        source, sink = self._border(bundle)
        self._input, self._output = source["index"], sink["index"]
        self._output_quantization = sink["quantization"]
        # One table does it all: from uint8 straight to what the input tensor holds.
        self._table = _input_table(self.card.normalisation, source)
        spec = self.card.input
        self._buffer = np.zeros((1, spec.height_px, spec.width_px, spec.channels), self._table.dtype)
        # The first run allocates and packs; it must not be a frame's.
        self._interpreter.set_tensor(self._input, self._buffer)
        self._interpreter.invoke()

    def predict(self, window: NDArray[np.uint8]) -> Prediction:
        """Judge one window.

        Parameters
        ----------
        window : (H, W, 3) uint8, RGB, showing the network's field (`edge.bundle.window_px`) in any number of
            pixels
        """
        return self._interpret(self.run(window))

    def run(self, window: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the network's own numbers for one window, (1,) or (2,) float32; see `OutputSpec`."""
        image = resize_to_input(window, self.card.input)
        cv2.LUT(image, self._table, dst=self._buffer[0])
        self._interpreter.set_tensor(self._input, self._buffer)
        self._interpreter.invoke()
        values: NDArray[Any] = self._interpreter.get_tensor(self._output)[0]
        if values.dtype != np.float32:
            scale, zero = self._output_quantization
            values = (values.astype(np.float32) - zero) * scale
        return values.astype(np.float32)

    def _interpret(self, values: NDArray[np.float32]) -> Prediction:
        outputs = self.card.outputs
        if not np.isfinite(values).all():
            return Prediction(0.0, math.inf, False)
        offset_um = float(values[0]) * outputs.scale_um
        sigma_um = None
        if outputs.kind == "offset_sigma":
            sigma_um = (
                math.exp(min(float(values[1]), _MAX_LOG_SIGMA)) * outputs.scale_um * outputs.sigma_factor
            )
        return Prediction(offset_um, sigma_um, abs(offset_um) <= self.card.trained_range_um)

    def _border(self, bundle: Bundle) -> tuple[dict[str, Any], dict[str, Any]]:
        """Details of the input and output tensors, checked against the card."""
        sources, sinks = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        spec = self.card.input
        if spec.channels != 3:
            raise BundleError(
                f"{bundle.path}: the network takes {spec.channels} channel(s), windows have 3; "
                "choose another bundle"
            )
        expected_in = [1, spec.height_px, spec.width_px, spec.channels]
        expected_out = [1, self.card.outputs.width]
        found_in = [list(map(int, tensor["shape"])) for tensor in sources]
        found_out = [list(map(int, tensor["shape"])) for tensor in sinks]
        if found_in != [expected_in] or found_out != [expected_out]:
            raise BundleError(
                f"{bundle.path}: the network takes {found_in} and gives {found_out}, its card says "
                f"[{expected_in}] and [{expected_out}]; export the bundle again"
            )
        found_dtype = np.dtype(sources[0]["dtype"]).name
        if found_dtype != self.card.input_dtype:
            raise BundleError(
                f"{bundle.path}: the network takes {found_dtype}, its card says {self.card.input_dtype}; "
                "export the bundle again"
            )
        return sources[0], sinks[0]


def _interpreter_class(name: str) -> Any:
    reasons = []
    for module in _INTERPRETERS:
        try:
            return importlib.import_module(module).Interpreter
        except ImportError as error:
            reasons.append(f"{module.partition('.')[0]}: {_one_line(error)}")
    raise BundleError(
        f"bundle '{name}' cannot run: no interpreter can be imported ({'; '.join(reasons)}); "
        "install one with 'pip install ai-edge-litert'"
    )


def _input_table(normalisation: Normalisation, tensor: dict[str, Any]) -> NDArray[Any]:
    """Tabulate what the input tensor must hold for each uint8 value: (1, 256, 3) of its type."""
    mean = np.asarray(normalisation.mean)
    std = np.asarray(normalisation.std)
    values = (np.arange(256)[:, None] / 255 - mean) / std
    dtype = np.dtype(tensor["dtype"])
    if dtype != np.float32:
        scale, zero = tensor["quantization"]
        limits = np.iinfo(dtype)
        values = np.clip(np.round(values / scale) + zero, limits.min, limits.max)
    table: NDArray[Any] = values.astype(dtype)[None]
    return table


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

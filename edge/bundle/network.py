"""A TFLite network in its interpreter: windows in, the network's own numbers out."""

import importlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.bundle.card import InputSpec, Normalisation
from edge.bundle.window import resize_to_input
from hw.errors import BundleError

__all__ = ["Network"]

# The mirror images of a window, in the order in which they are used: as it is, left-right, upside down, both;
# as cv2.flip calls them.
FLIPS = (None, 1, 0, -1)
INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


class Network:
    """A flatbuffer ready to run, with its buffers; use it from one thread at a time.

    Parameters
    ----------
    flatbuffer : a TFLite model with one image in and one row of numbers out
    spec : the image it takes
    normalisation : what its input means
    name : of the file, for errors
    threads : of the interpreter
    mirrors : how many mirror images of a window to ask about: 1, 2 or 4

    Attributes
    ----------
    input_dtype : type of the input tensor
    width : how many numbers it gives

    Raises
    ------
    BundleError
        No interpreter is installed, it refuses the network, or the network takes something else.
    """

    def __init__(
        self,
        flatbuffer: bytes,
        spec: InputSpec,
        normalisation: Normalisation,
        name: str,
        threads: int = 1,
        mirrors: int = 1,
    ) -> None:
        interpreter = _interpreter_class(name)
        # Kept with the interpreter, which reads the weights from these very bytes.
        self._flatbuffer = flatbuffer
        try:
            self._interpreter = interpreter(model_content=self._flatbuffer, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise BundleError(
                f"{name}: the interpreter refuses the network ({_one_line(error)}); "
                "update ai-edge-litert or export the bundle again"
            ) from error
        sources, sinks = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        _check_borders(name, spec, sources, sinks)
        self.input_dtype = np.dtype(sources[0]["dtype"]).name
        self.width = int(sinks[0]["shape"][1])
        self._spec = spec
        self._flips = FLIPS[:mirrors]
        self._input, self._output = sources[0]["index"], sinks[0]["index"]
        self._output_quantization = sinks[0]["quantization"]
        # One table does it all: from uint8 straight to what the input tensor holds. A network that takes
        # plain pixels needs none.
        self._table = None if _takes_pixels(sources[0]) else _input_table(normalisation, sources[0])
        self._buffer = np.zeros((1, spec.height_px, spec.width_px, spec.channels), sources[0]["dtype"])
        # The first run allocates and packs; it must not be a frame's.
        self._interpreter.set_tensor(self._input, self._buffer)
        self._interpreter.invoke()

    def run(self, window: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the numbers for one window (H, W, 3) uint8 RGB of any size: (width,) float32.

        They are means over the window's mirror images.
        """
        image = resize_to_input(window, self._spec)
        answers = [self._ask(image if flip is None else cv2.flip(image, flip)) for flip in self._flips]
        mean: NDArray[np.float32] = np.mean(answers, axis=0, dtype=np.float32)
        return mean

    def _ask(self, image: NDArray[Any]) -> NDArray[np.float32]:
        if self._table is None:
            self._buffer[0] = image
        else:
            cv2.LUT(image, self._table, dst=self._buffer[0])
        self._interpreter.set_tensor(self._input, self._buffer)
        self._interpreter.invoke()
        values: NDArray[Any] = self._interpreter.get_tensor(self._output)[0]
        if values.dtype != np.float32:
            scale, zero = self._output_quantization
            values = (values.astype(np.float32) - zero) * scale
        return values.astype(np.float32)


def _interpreter_class(name: str) -> Any:
    reasons = []
    for module in INTERPRETERS:
        try:
            return importlib.import_module(module).Interpreter
        except ImportError as error:
            reasons.append(f"{module.partition('.')[0]}: {_one_line(error)}")
    raise BundleError(
        f"{name}: cannot run, no interpreter can be imported ({'; '.join(reasons)}); "
        "install one with 'pip install ai-edge-litert'"
    )


def _check_borders(
    name: str, spec: InputSpec, sources: list[dict[str, Any]], sinks: list[dict[str, Any]]
) -> None:
    if spec.channels != 3:
        raise BundleError(
            f"{name}: the network takes {spec.channels} channel(s), windows have 3; choose another bundle"
        )
    expected = [[1, spec.height_px, spec.width_px, spec.channels]]
    found = [list(map(int, tensor["shape"])) for tensor in sources]
    if found != expected:
        raise BundleError(
            f"{name}: the network takes {found}, its card says {expected}; export the bundle again"
        )
    answers = [list(map(int, tensor["shape"])) for tensor in sinks]
    if len(answers) != 1 or len(answers[0]) != 2 or answers[0][0] != 1:
        raise BundleError(
            f"{name}: the network gives {answers}, not one row of numbers; export the bundle again"
        )


def _takes_pixels(tensor: dict[str, Any]) -> bool:
    """Whether the normalisation is within the network: its uint8 input stands for no other numbers."""
    return bool(np.dtype(tensor["dtype"]) == np.uint8 and tensor["quantization"][0] == 0)


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

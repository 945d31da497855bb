"""Running a bundle's network on the rig: a window goes in, an offset comes out."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle.file import Bundle
from edge.bundle.network import Network
from hw.errors import BundleError

__all__ = ["Prediction", "Predictor"]


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
    """A bundle ready to run; use it from one thread at a time.

    Parameters
    ----------
    bundle : the network and its card
    threads : of the interpreter

    Raises
    ------
    BundleError
        No interpreter is installed, it refuses the network, or the network is not what the card says.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.card = card = bundle.card
        self._network = Network(
            bundle.flatbuffer, card.input, card.normalisation, str(bundle.path), threads, card.mirrors
        )
        for what, found, said in (
            ("takes", self._network.input_dtype, card.input_dtype),
            ("gives numbers per image:", self._network.width, card.outputs.width),
        ):
            if found != said:
                raise BundleError(
                    f"{bundle.path}: the network {what} {found}, its card says {said}; "
                    "export the bundle again"
                )

    def predict(self, window: NDArray[np.uint8]) -> Prediction:
        """Judge one window.

        Parameters
        ----------
        window : (H, W, 3) uint8, RGB, showing the network's field (`edge.bundle.window_px`) in any number of
            pixels
        """
        values = self._network.run(window)
        if not np.isfinite(values).all():
            return Prediction(0.0, math.inf, False)
        outputs = self.card.outputs
        offset_um = float(values[0]) * outputs.scale_um
        sigma_um = outputs.sigma_um(float(values[1])) if outputs.kind == "offset_sigma" else None
        return Prediction(offset_um, sigma_um, abs(offset_um) <= self.card.trained_range_um)

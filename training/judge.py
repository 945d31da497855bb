"""Something that predicts offsets: the float network of a run, or the very file that ships."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle, InputSpec, Predictor, resize_to_input
from training.run import Run

__all__ = ["Judge", "judge_of_bundle", "judge_of_run"]

Predict = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float64], NDArray[np.float64] | None]]

_BATCH = 32


@dataclass(frozen=True, eq=False)
class Judge:
    """Something that predicts offsets.

    Attributes
    ----------
    spec : the network's input
    predict : takes (Z, h, w, 3) uint8 views of the network's field in any number of pixels; returns offsets
        and, where it has them, deviations, each (Z,) in um
    """

    spec: InputSpec
    predict: Predict


def judge_of_bundle(bundle: Bundle) -> Judge:
    """Judge with a bundle, through the code that runs on the rig.

    Raises
    ------
    BundleError
        It cannot be run here.
    """
    predictor = Predictor(bundle)

    def predict(views: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        found = [predictor.predict(view) for view in views]
        sigmas = [p.sigma_um for p in found if p.sigma_um is not None]
        return np.array([p.offset_um for p in found]), np.array(sigmas) if sigmas else None

    return Judge(bundle.card.input, predict)


def judge_of_run(run: Run, mirrors: int = 1) -> Judge:
    """Judge with the float network of a run; `mirrors` as for `Run.predict`."""
    import torch

    def predict(views: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        offsets, sigmas = [], []
        for start in range(0, len(views), _BATCH):
            images = np.stack([resize_to_input(view, run.input) for view in views[start : start + _BATCH]])
            offset, sigma = run.predict(torch.from_numpy(images).permute(0, 3, 1, 2), mirrors)
            offsets.append(offset.double().numpy())
            if sigma is not None:
                sigmas.append(sigma.double().numpy())
        return np.concatenate(offsets), np.concatenate(sigmas) if sigmas else None

    return Judge(run.input, predict)

"""The same held-out images through the network as trained and through the file that ships."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge.bundle import Network, Normalisation, Parity

__all__ = ["Samples", "file_outputs", "float_outputs", "measure_parity", "normalise"]

_BATCH = 32


@dataclass(frozen=True)
class Samples:
    """Images with their labels.

    Attributes
    ----------
    images : (N, height, width, 3) uint8, RGB, at the network's input size
    offsets_um : (N,) float64, true offsets
    """

    images: NDArray[np.uint8]
    offsets_um: NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.images) != len(self.offsets_um):
            raise ValueError(
                f"{len(self.images)} images and {len(self.offsets_um)} offsets; each needs its own"
            )


def normalise(images: NDArray[np.uint8], normalisation: Normalisation) -> NDArray[np.float32]:
    """Bring images (..., 3) uint8 to what the network was trained on, float32 of the same shape."""
    mean = np.asarray(normalisation.mean, np.float32)
    std = np.asarray(normalisation.std, np.float32)
    return ((images / np.float32(255) - mean) / std).astype(np.float32)


def float_outputs(
    network: nn.Module, images: NDArray[np.uint8], normalisation: Normalisation
) -> NDArray[np.float32]:
    """Return what the network as trained gives for images (N, height, width, 3): (N, outputs) float32."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            batch = normalise(images[start : start + _BATCH], normalisation)
            parts.append(network(torch.from_numpy(batch).permute(0, 3, 1, 2)).numpy())
    return np.concatenate(parts)


def file_outputs(network: Network, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what a file gives for images (N, height, width, 3), run as on the rig: (N, outputs) float32."""
    return np.stack([network.run(image) for image in images])


def measure_parity(
    offsets_um: NDArray[np.float64], float_um: NDArray[np.float64], file_um: NDArray[np.float64]
) -> Parity:
    """Compare the predictions of the float network and of the file.

    Parameters
    ----------
    offsets_um, float_um, file_um : (N,), true offsets and both predictions, um

    Raises
    ------
    ValueError
        No samples, or a prediction that is no number.
    """
    if len(offsets_um) == 0:
        raise ValueError("parity needs samples, and there are none")
    float_mae = float(np.abs(float_um - offsets_um).mean())
    file_mae = float(np.abs(file_um - offsets_um).mean())
    if not np.isfinite([float_mae, file_mae]).all():
        raise ValueError("a network gives values that are no numbers; check the training run")
    # Two perfect networks are at par.
    ratio = file_mae / float_mae if float_mae > 0 else (1.0 if file_mae == 0 else np.finfo(np.float64).max)
    return Parity(
        n=len(offsets_um),
        float_mae_um=float_mae,
        file_mae_um=file_mae,
        ratio=float(ratio),
        mean_abs_difference_um=float(np.abs(file_um - float_um).mean()),
    )

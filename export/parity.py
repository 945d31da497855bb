"""The same held-out images through the network as trained and through the file that ships."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edge.bundle import Network, OutputSpec, Parity
from training import metrics
from training.run import Run

__all__ = [
    "MAX_RATIO",
    "MAX_SIGN_RISE",
    "SIGMA_RATIOS",
    "Predicted",
    "Samples",
    "file_predictions",
    "float_predictions",
    "losses",
    "measure_parity",
]

# How much worse than the float network a file may be: in mean absolute error, in the share of wrong signs,
# and in how far its deviations can be believed, which decides how much the controller listens.
MAX_RATIO = 1.05
MAX_SIGN_RISE = 0.005
SIGMA_RATIOS = (0.8, 1.25)

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


@dataclass(frozen=True)
class Predicted:
    """What a network says about N images.

    Attributes
    ----------
    offsets_um : (N,) float64
    sigmas_um : (N,) float64; None for a network that tells none
    """

    offsets_um: NDArray[np.float64]
    sigmas_um: NDArray[np.float64] | None = None


def float_predictions(run: Run, images: NDArray[np.uint8], mirrors: int = 1) -> Predicted:
    """Return what the network as trained says about images (N, height, width, 3) and their mirror images."""
    offsets, sigmas = [], []
    for start in range(0, len(images), _BATCH):
        batch = torch.from_numpy(images[start : start + _BATCH]).permute(0, 3, 1, 2)
        offset, sigma = run.predict(batch, mirrors)
        offsets.append(offset.double().numpy())
        if sigma is not None:
            sigmas.append(sigma.double().numpy())
    return Predicted(np.concatenate(offsets), np.concatenate(sigmas) if sigmas else None)


def file_predictions(network: Network, outputs: OutputSpec, images: NDArray[np.uint8]) -> Predicted:
    """Return what a file says about images (N, height, width, 3), run as on the rig."""
    values = np.stack([network.run(image) for image in images]).astype(np.float64)
    sigmas = [outputs.sigma_um(float(row[1])) for row in values] if outputs.width > 1 else None
    return Predicted(values[:, 0] * outputs.scale_um, None if sigmas is None else np.array(sigmas))


def measure_parity(
    offsets_um: NDArray[np.float64], float_network: Predicted, file: Predicted, dof_um: float
) -> Parity:
    """Compare the predictions of the float network and of the file.

    Parameters
    ----------
    offsets_um : (N,), true offsets, um
    float_network, file : both predictions of the same N images
    dof_um : depth of field; the sign counts beyond it

    Raises
    ------
    ValueError
        No samples, or a prediction that is no number.
    """
    if len(offsets_um) == 0:
        raise ValueError("parity needs samples, and there are none")
    float_mae, float_sign, float_factor = _judged(offsets_um, float_network, dof_um)
    file_mae, file_sign, file_factor = _judged(offsets_um, file, dof_um)
    if not np.isfinite([float_mae, file_mae]).all():
        raise ValueError("a network gives values that are no numbers; check the training run")
    return Parity(
        n=len(offsets_um),
        float_mae_um=float_mae,
        file_mae_um=file_mae,
        ratio=_ratio(file_mae, float_mae),
        mean_abs_difference_um=float(np.abs(file.offsets_um - float_network.offsets_um).mean()),
        float_sign_error_rate=float_sign,
        file_sign_error_rate=file_sign,
        float_sigma_factor=float_factor,
        file_sigma_factor=file_factor,
    )


def losses(parity: Parity) -> tuple[str, ...]:
    """Return all that makes a file too much worse than its float network, each in a few words."""
    found = []
    if parity.ratio > MAX_RATIO:
        found.append(
            f"{parity.ratio:.3f} times the float network's error ({parity.file_mae_um:.1f} against "
            f"{parity.float_mae_um:.1f} um, allowed are {MAX_RATIO:g} times)"
        )
    before, after = parity.float_sign_error_rate, parity.file_sign_error_rate
    if before is not None and after is not None and after - before > MAX_SIGN_RISE:
        found.append(
            f"{after:.2%} wrong signs against {before:.2%} (allowed are {100 * MAX_SIGN_RISE:g} points more)"
        )
    if parity.float_sigma_factor is not None and parity.file_sigma_factor is not None:
        ratio = _ratio(parity.file_sigma_factor, parity.float_sigma_factor)
        low, high = SIGMA_RATIOS
        if not low <= ratio <= high:
            found.append(
                f"deviations whose honesty changed {ratio:.3f} times (sigma factor "
                f"{parity.file_sigma_factor:.3f} against {parity.float_sigma_factor:.3f}, allowed are "
                f"{low:g} to {high:g} times)"
            )
    return tuple(found)


def _judged(
    offsets_um: NDArray[np.float64], predicted: Predicted, dof_um: float
) -> tuple[float, float | None, float | None]:
    """Mean absolute error, share of wrong signs, and sigma factor."""
    # The unit of steps is of no interest here.
    figures = metrics.figures(offsets_um, predicted.offsets_um, 1.0, dof_um)
    mae_um = figures["mae_um"]
    assert mae_um is not None
    factor = None
    if predicted.sigmas_um is not None:
        factor = metrics.sigma_factor(offsets_um, predicted.offsets_um, predicted.sigmas_um)
    return float(mae_um), figures["sign_error_rate"], factor


def _ratio(file: float, float_network: float) -> float:
    # Two perfect networks are at par.
    if float_network > 0:
        return file / float_network
    return 1.0 if file == 0 else float(np.finfo(np.float64).max)

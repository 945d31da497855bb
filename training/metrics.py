"""Figures that say how good a network is, under the names of ``evaluate --json``."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BANDS_UM", "Figures", "figures", "grouped_figures", "in_words", "sigma_factor"]

Figures = dict[str, float | int | None]

BANDS_UM = (0.0, 110.0, 220.0, 500.0, 1000.0, 1500.0, np.inf)
_AVERAGED = ("mae_um", "mae_steps", "mae_dof", "median_um", "p95_um", "bias_um")


def figures(offsets_um: ArrayLike, predictions_um: ArrayLike, um_per_step: float, dof_um: float) -> Figures:
    """Compare predictions with labels.

    Parameters
    ----------
    offsets_um, predictions_um : (N,), true and predicted offsets, um
    um_per_step : of the rig's axis
    dof_um : depth of field of the rig's optics, um

    Returns
    -------
    dict
        ``n``; mean absolute error ``mae_um, mae_steps, mae_dof``; ``median_um`` and ``p95_um`` of the
        absolute error; ``bias_um``, the mean of prediction minus truth; ``sign_error_rate``, the share of the
        frames more than one depth of field out whose predicted sign is wrong. None where no frame counts.
    """
    truth = np.asarray(offsets_um, np.float64)
    guess = np.asarray(predictions_um, np.float64)
    if truth.shape != guess.shape or truth.ndim != 1:
        raise ValueError(f"{truth.shape} offsets and {guess.shape} predictions; both must be (N,)")
    if truth.size == 0:
        return {"n": 0, **dict.fromkeys((*_AVERAGED, "sign_error_rate"))}
    error = guess - truth
    size = np.abs(error)
    mae_um = float(size.mean())
    out = np.abs(truth) > dof_um
    wrong = float(np.mean(guess[out] * truth[out] <= 0)) if out.any() else None
    return {
        "n": int(truth.size),
        "mae_um": mae_um,
        "mae_steps": mae_um / um_per_step,
        "mae_dof": mae_um / dof_um,
        "median_um": float(np.median(size)),
        "p95_um": float(np.percentile(size, 95)),
        "bias_um": float(error.mean()),
        "sign_error_rate": wrong,
    }


def grouped_figures(
    offsets_um: ArrayLike,
    predictions_um: ArrayLike,
    views: Sequence[str],
    um_per_step: float,
    dof_um: float,
) -> dict[str, Any]:
    """Return the figures of all frames, and under ``groups`` those by kind of view and by size of the offset.

    Parameters
    ----------
    views : (N,), the kind of view of each frame
    """
    truth, guess, kinds = np.asarray(offsets_um), np.asarray(predictions_um), np.asarray(views)

    def of(chosen: NDArray[np.bool_]) -> Figures:
        return figures(truth[chosen], guess[chosen], um_per_step, dof_um)

    bands = {}
    for low, high in pairwise(BANDS_UM):
        chosen = (np.abs(truth) >= low) & (np.abs(truth) < high)
        if chosen.any():
            bands[f"{low:g}-{high:g}"] = of(chosen)
    return {
        **figures(truth, guess, um_per_step, dof_um),
        "groups": {
            "view": {kind: of(kinds == kind) for kind in sorted(set(kinds.tolist()))},
            "abs_offset_um": bands,
        },
    }


def sigma_factor(offsets_um: ArrayLike, predictions_um: ArrayLike, sigmas_um: ArrayLike) -> float:
    """Return the factor that makes predicted deviations honest: that of greatest Gaussian likelihood.

    It is the root mean square of the errors in units of their predicted deviations.
    """
    errors = (np.asarray(predictions_um) - np.asarray(offsets_um)) / np.asarray(sigmas_um)
    return float(np.sqrt(np.mean(np.square(errors))))


def in_words(all_figures: Mapping[str, Any]) -> str:
    """Return the main figures in one line."""
    if not all_figures["n"]:
        return "no image"
    sign = all_figures["sign_error_rate"]
    words = "{n} images, MAE {mae_um:.1f} um = {mae_steps:.2f} steps = {mae_dof:.3f} DOF, ".format(
        **all_figures
    )
    words += "median {median_um:.1f} um, 95 % within {p95_um:.1f} um, bias {bias_um:+.1f} um, ".format(
        **all_figures
    )
    return words + ("no sign to judge" if sign is None else f"sign errors {100 * sign:.2f} %")

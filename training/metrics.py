"""Figures that say how good a network is, under the names of ``evaluate --json``."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BANDS_DOF",
    "BANDS_UM",
    "Figures",
    "coverage_factor",
    "figures",
    "figures_with_sigma",
    "grouped_figures",
    "in_words",
    "offset_bands",
    "sigma_factor",
    "sigma_figures",
    "thirds",
    "within",
]

Figures = dict[str, float | int | None]

BANDS_UM = (0.0, 110.0, 220.0, 500.0, 1000.0, 1500.0, np.inf)
# Signed, in depths of field, for rigs of any scale.
BANDS_DOF = (-4.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 4.0)
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


def figures_with_sigma(
    offsets_um: ArrayLike,
    predictions_um: ArrayLike,
    um_per_step: float,
    dof_um: float,
    sigmas_um: ArrayLike | None = None,
) -> dict[str, Any]:
    """Return `figures`, and where there are deviations, (N,), under ``sigma`` what `sigma_figures` says."""
    found: dict[str, Any] = dict(figures(offsets_um, predictions_um, um_per_step, dof_um))
    if sigmas_um is not None:
        found["sigma"] = sigma_figures(offsets_um, predictions_um, sigmas_um)
    return found


def grouped_figures(
    offsets_um: ArrayLike,
    predictions_um: ArrayLike,
    views: Sequence[str],
    um_per_step: float,
    dof_um: float,
    *,
    sigmas_um: ArrayLike | None = None,
    more: Mapping[str, Mapping[str, NDArray[np.bool_]]] | None = None,
) -> dict[str, Any]:
    """Return the figures of all frames, and under ``groups`` those by kind of view and by size of the offset.

    Parameters
    ----------
    views : (N,), the kind of view of each frame
    sigmas_um : (N,), predicted deviations, um; with them, all figures have ``sigma`` as `sigma_figures`
    more : further ways to group, each with its groups by name, (N,) true for the frames of a group
    """
    truth, guess, kinds = np.asarray(offsets_um), np.asarray(predictions_um), np.asarray(views)
    sigmas = None if sigmas_um is None else np.asarray(sigmas_um)

    def of(chosen: NDArray[np.bool_]) -> dict[str, Any]:
        some = None if sigmas is None else sigmas[chosen]
        return figures_with_sigma(truth[chosen], guess[chosen], um_per_step, dof_um, some)

    bands = {}
    for low, high in pairwise(BANDS_UM):
        chosen = (np.abs(truth) >= low) & (np.abs(truth) < high)
        if chosen.any():
            bands[f"{low:g}-{high:g}"] = of(chosen)
    groups = {
        "view": {kind: of(kinds == kind) for kind in sorted(set(kinds.tolist()))},
        "abs_offset_um": bands,
    }
    for kind, some in (more or {}).items():
        groups[kind] = {name: of(chosen) for name, chosen in some.items()}
    return {**of(np.ones(len(truth), bool)), "groups": groups}


def offset_bands(offsets_um: ArrayLike, dof_um: float) -> dict[str, NDArray[np.bool_]]:
    """Return which frames, (N,), fall into each band of signed offsets in depths of field; none is empty."""
    return _bands(np.asarray(offsets_um, np.float64) / dof_um, BANDS_DOF, "g")


def thirds(values: ArrayLike) -> dict[str, NDArray[np.bool_]]:
    """Return which frames, (N,), fall into each third of all values, named by its limits; none is empty."""
    given = np.asarray(values, np.float64)
    return _bands(given, np.quantile(given, [1 / 3, 2 / 3]).tolist(), ".1f")


def _bands(values: NDArray[np.float64], edges: Sequence[float], form: str) -> dict[str, NDArray[np.bool_]]:
    shown = [format(edge, form) for edge in edges]
    names = [f"below {shown[0]}", *(f"{a} to {b}" for a, b in pairwise(shown)), f"{shown[-1]} and above"]
    band = np.searchsorted(edges, values, side="right")
    return {name: band == place for place, name in enumerate(names) if np.any(band == place)}


def sigma_figures(
    offsets_um: ArrayLike, predictions_um: ArrayLike, sigmas_um: ArrayLike
) -> dict[str, float | None]:
    """Say how honest predicted deviations are.

    Returns
    -------
    dict
        ``factor`` as `sigma_factor`; ``coverage_68`` and ``coverage_95``, the shares of errors within 0.994
        and 1.960 predicted deviations, which for an honest normal distribution are 0.68 and 0.95.
    """
    errors = np.abs(np.asarray(predictions_um) - np.asarray(offsets_um))
    sigmas = np.asarray(sigmas_um)
    if errors.size == 0:
        return {"factor": None, "coverage_68": None, "coverage_95": None}
    return {
        "factor": sigma_factor(offsets_um, predictions_um, sigmas_um),
        "coverage_68": float(np.mean(errors <= within(0.68) * sigmas)),
        "coverage_95": float(np.mean(errors <= within(0.95) * sigmas)),
    }


def within(share: float) -> float:
    """Return how many deviations to either side of its mean hold a share of a normal distribution."""
    return NormalDist().inv_cdf((1 + share) / 2)


def coverage_factor(offsets_um: ArrayLike, predictions_um: ArrayLike, sigmas_um: ArrayLike) -> float:
    """Return the factor after which predicted deviations cover their shares of the errors best.

    That of greatest likelihood (`sigma_factor`) follows the few largest errors and then covers too many of
    the others. This one makes the larger of two differences smallest: between the share of the errors within
    0.994 deviations and 0.68, and between that within 1.960 and 0.95.

    Raises
    ------
    ValueError
        There are no errors.
    """
    sizes = np.sort(np.abs(np.asarray(predictions_um) - np.asarray(offsets_um)) / np.asarray(sigmas_um))
    if sizes.size == 0:
        raise ValueError("no errors to fit a factor to")
    # Coverage changes at these factors only.
    tried = np.unique(np.concatenate([sizes / within(0.68), sizes / within(0.95)]))
    off = [
        np.abs(np.searchsorted(sizes, within(share) * tried * (1 + 1e-9), side="right") / sizes.size - share)
        for share in (0.68, 0.95)
    ]
    best = tried[np.argmin(np.maximum(*off))]
    return float(best) if best > 0 else 1.0


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

"""How sure figures are: intervals by specimen, and tests of one network against another.

Frames of one specimen err alike: a worm with an unusual focus peak is judged wrong in every one of them.
What is drawn anew in the bootstrap is therefore the specimen, with all its frames (a cluster bootstrap:
Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8), and paired tests are made
twice: over frames, as paper 1 (section 3.2) does, and over the mean errors of specimens, whose p values can
be believed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["DRAWS", "LEVEL", "compare_errors", "holm", "intervals", "mean_interval", "paired_test"]

DRAWS = 2000
LEVEL = 0.95
# Beyond, Shapiro and Wilk's p values are not known to be right (Royston 1995).
_MOST_FOR_SHAPIRO = 5000


def mean_interval(
    values: ArrayLike, specimens: ArrayLike, *, seed: int = 0, draws: int = DRAWS, level: float = LEVEL
) -> tuple[float, float] | None:
    """Return the bootstrap interval of a mean over frames, drawing specimens with all their frames.

    Parameters
    ----------
    values : (N,), one for each frame
    specimens : (N,), names
    seed : of the draws
    draws : how many
    level : share of the draws within the interval, between equal tails

    Returns
    -------
    (low, high) or None
        None with fewer than two specimens, which say nothing of others.
    """
    values = np.asarray(values, np.float64)
    names, which = np.unique(np.asarray(specimens), return_inverse=True)
    if len(names) < 2:
        return None
    sums = np.bincount(which, values, minlength=len(names))
    counts = np.bincount(which, minlength=len(names))
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    means = drawn @ sums / (drawn @ counts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def intervals(
    offsets_um: ArrayLike, predictions_um: ArrayLike, specimens: ArrayLike, dof_um: float, *, seed: int = 0
) -> dict[str, Any]:
    """Return the intervals of the figures that are means.

    Parameters
    ----------
    offsets_um, predictions_um : (N,), true and predicted offsets, um
    specimens : (N,), names
    dof_um : the sign counts beyond it
    seed : of the bootstrap

    Returns
    -------
    dict
        ``level``, ``draws`` and ``seed``; ``mae_um``, ``bias_um`` and ``sign_error_rate``, each [low, high],
        or None where there are too few specimens.
    """
    truth, guess = np.asarray(offsets_um, np.float64), np.asarray(predictions_um, np.float64)
    names = np.asarray(specimens)
    out = np.abs(truth) > dof_um
    found = {
        "mae_um": mean_interval(np.abs(guess - truth), names, seed=seed),
        "bias_um": mean_interval(guess - truth, names, seed=seed),
        "sign_error_rate": mean_interval((guess * truth <= 0)[out], names[out], seed=seed),
    }
    return {
        "level": LEVEL,
        "draws": DRAWS,
        "seed": seed,
        **{name: None if pair is None else list(pair) for name, pair in found.items()},
    }


def paired_test(differences: ArrayLike, *, seed: int = 0) -> dict[str, Any]:
    """Test whether paired differences lie around 0, without assuming that they are normal.

    Parameters
    ----------
    differences : (N,)
    seed : of the sample of 5000 that Shapiro and Wilk's test is shown of more differences

    Returns
    -------
    dict
        ``n``; ``mean`` and ``median`` difference; ``shapiro_p``, small where they are not normal;
        ``wilcoxon_p`` of the signed-rank test, two-sided; ``effect_size``, the matched-pairs rank-biserial
        correlation (Kerby 2014): the share of the rank sum that is positive less the share that is negative,
        -1 to 1. None where there is too little to test.
    """
    from scipy import stats

    d = np.asarray(differences, np.float64)
    result: dict[str, Any] = {
        "n": int(d.size),
        "mean": float(d.mean()) if d.size else None,
        "median": float(np.median(d)) if d.size else None,
        "shapiro_p": None,
        "wilcoxon_p": None,
        "effect_size": None,
    }
    moved = d[d != 0]
    if moved.size == 0:
        return result
    ranks = stats.rankdata(np.abs(moved))
    result["effect_size"] = float(np.sum(ranks * np.sign(moved)) / ranks.sum())
    result["wilcoxon_p"] = float(stats.wilcoxon(moved).pvalue)
    if d.size >= 3 and np.ptp(d) > 0:
        some = d
        if d.size > _MOST_FOR_SHAPIRO:
            some = np.random.default_rng(seed).choice(d, _MOST_FOR_SHAPIRO, replace=False)
        result["shapiro_p"] = float(stats.shapiro(some).pvalue)
    return result


def compare_errors(
    first_um: ArrayLike, second_um: ArrayLike, specimens: ArrayLike, *, seed: int = 0
) -> dict[str, Any]:
    """Compare the absolute errors of two networks on the same frames.

    Parameters
    ----------
    first_um, second_um : (N,), absolute errors, um
    specimens : (N,), names
    seed : of what is drawn

    Returns
    -------
    dict
        ``frames`` and ``specimens``, each as `paired_test` gives it, of the first network's errors less the
        second's (negative where the first is better); ``mean_interval_um``, the bootstrap interval of the
        mean difference, by specimen, or None.
    """
    difference = np.asarray(first_um, np.float64) - np.asarray(second_um, np.float64)
    _, which = np.unique(np.asarray(specimens), return_inverse=True)
    by_specimen: NDArray[np.float64] = np.bincount(which, difference) / np.bincount(which)
    interval = mean_interval(difference, specimens, seed=seed)
    return {
        "frames": paired_test(difference, seed=seed),
        "specimens": paired_test(by_specimen, seed=seed),
        "mean_interval_um": None if interval is None else list(interval),
    }


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p values adjusted for being several (Holm 1979); None stays None."""
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[place] = highest
    return adjusted

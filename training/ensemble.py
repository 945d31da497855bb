"""Several networks asked the same: the mean of their answers, without outliers, and how far they are apart.

Paper 5 (section "Inferencing with multiple trained models") averages ten networks that differ by their random
start alone, and removes outliers by quartiles among the beads that each of them judges. Here it is the
networks' answers to one image that are an outlier or not, which needs no beads.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.robust import within_fences
from hw.errors import ConfigError
from training.candidate import Candidate
from training.evaluate import Answers
from training.judge import Judge
from training.networks.cost import Cost

__all__ = ["combined", "ensemble_of", "mean_and_spread"]

ENSEMBLE = "ensemble"
"""Name of an ensemble among the networks that it is compared with."""


def mean_and_spread(
    offsets_um: NDArray[np.float64], sigmas_um: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of the offsets that are no outliers, and its standard deviation.

    Outliers lie more than 1.5 interquartile ranges from the quartiles; with fewer than four networks there
    are none. Where every network tells a deviation, that of the whole is the deviation of the mixture: the
    mean of their variances plus the variance of their offsets (Lakshminarayanan et al. 2017, section 2.4).
    Elsewhere it is the standard deviation of their offsets alone, which knows nothing of what they all get
    wrong.

    Parameters
    ----------
    offsets_um : (K, N), of K networks for N images
    sigmas_um : (K, N), their deviations; None where one of them tells none

    Returns
    -------
    mean_um, sigma_um : (N,)
    """
    kept = within_fences(offsets_um, 0)
    count = kept.sum(axis=0)
    mean = np.where(kept, offsets_um, 0.0).sum(axis=0) / count
    squared = np.where(kept, offsets_um - mean, 0.0) ** 2
    if sigmas_um is None:
        variance = squared.sum(axis=0) / np.maximum(1, count - 1)
    else:
        variance = (squared + np.where(kept, sigmas_um, 0.0) ** 2).sum(axis=0) / count
    return mean, np.sqrt(variance)


def combined(members: Sequence[Answers]) -> Answers:
    """Return what an ensemble says, given what each of its networks said about the same frames."""
    sigmas = [answers.sigma_um for answers in members if answers.sigma_um is not None]
    offsets_um = np.stack([answers.predicted_um for answers in members])
    told = np.stack(sigmas) if len(sigmas) == len(members) else None
    return Answers(*mean_and_spread(offsets_um, told))


def ensemble_of(members: Sequence[Candidate]) -> Candidate:
    """Return an ensemble of networks as one to be judged beside them.

    Parameters
    ----------
    members : two or more

    Raises
    ------
    ConfigError
        They look at different fields, are for rigs of different scales, or one has the ensemble's name.
    """
    first = members[0]
    if any(member.name == ENSEMBLE for member in members):
        raise ConfigError(f"a network is called '{ENSEMBLE}', as all of them together are; rename its folder")
    for other in members[1:]:
        if not np.allclose(other.judge.spec.field_um, first.judge.spec.field_um, rtol=1e-3):
            fields = [" x ".join(f"{side:g}" for side in m.judge.spec.field_um) for m in (first, other)]
            raise ConfigError(
                f"{first.name} looks at {fields[0]} um and {other.name} at {fields[1]} um: they are not "
                "shown the same, so they make no ensemble; give networks of one field"
            )
        if other.scale != first.scale:
            raise ConfigError(
                f"{first.name} is for rig '{first.rig}' and {other.name} for rig '{other.rig}', which have "
                "other steps or depths of field; give networks of one rig"
            )

    def predict(views: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        said = combined([Answers(*member.judge.predict(views)) for member in members])
        return said.predicted_um, said.sigma_um

    networks = list(dict.fromkeys(member.network for member in members))
    learnt = [member.learnt for member in members if member.learnt is not None]
    tests = [member.test for member in members if member.test is not None]
    fingerprints = {member.fingerprint for member in members}
    return Candidate(
        ENSEMBLE,
        "ensemble",
        f"{len(members)} x {', '.join(networks)}" if len(networks) == 1 else ", ".join(networks),
        Judge(first.judge.spec, predict),
        first.scale,
        first.rig,
        frozenset().union(*learnt) if len(learnt) == len(members) else None,
        frozenset.intersection(*tests) if len(tests) == len(members) else None,
        fingerprints.pop() if len(fingerprints) == 1 else "",
        frozenset().union(*(member.fingerprints for member in members)),
        Cost(
            sum(member.cost.multiply_adds for member in members),
            sum(member.cost.parameters for member in members),
        ),
        {"of": ", ".join(member.name for member in members)},
    )

"""What several networks say together, with wild answers left out."""

from dataclasses import replace

import numpy as np
import pytest

from edge.bundle import InputSpec
from hw.errors import ConfigError
from training.candidate import Candidate, Scale
from training.ensemble import combined, ensemble_of, mean_and_spread
from training.evaluate import Answers
from training.judge import Judge
from training.networks.cost import Cost

SPEC = InputSpec(width_px=16, height_px=16, um_per_px=3.1)


def test_an_outlier_is_left_out_of_mean_and_spread():
    offsets = np.array([[9.0, 1], [10, 1], [11, 1], [10, 1], [10, 1], [500, 1]])
    mean, sigma = mean_and_spread(offsets, None)
    np.testing.assert_allclose(mean, [10, 1])
    np.testing.assert_allclose(sigma, [np.std([9, 10, 11, 10, 10], ddof=1), 0])


def test_of_three_answers_none_is_an_outlier():
    mean, _ = mean_and_spread(np.array([[0.0], [1.0], [1000.0]]), None)
    assert mean[0] == pytest.approx(1001 / 3)


def test_the_deviation_is_that_of_the_mixture():
    offsets, sigmas = np.array([[-10.0], [10.0]]), np.array([[3.0], [4.0]])
    mean, sigma = mean_and_spread(offsets, sigmas)
    # Draws from two normal distributions, half from each.
    rng = np.random.default_rng(0)
    draws = np.concatenate([rng.normal(-10, 3, 400_000), rng.normal(10, 4, 400_000)])
    assert mean[0] == 0
    assert sigma[0] == pytest.approx(draws.std(), rel=2e-3)


def test_a_member_without_deviations_leaves_the_spread_of_the_offsets():
    members = [Answers(np.array([1.0, 2]), np.array([5.0, 5])), Answers(np.array([3.0, 2]))]
    said = combined(members)
    np.testing.assert_allclose(said.predicted_um, [2, 2])
    np.testing.assert_allclose(said.sigma_um, [np.sqrt(2), 0])


def candidate(name, shift, **more):
    """A network that says the mean grey value, shifted."""
    judge = Judge(SPEC, lambda views: (views.mean(axis=(1, 2, 3)) + shift, np.full(len(views), 2.0)))
    found = Candidate(
        name, "run", "net", judge, Scale(5.0, 220.0), "rig", frozenset({name}), frozenset({"t", f"t{name}"}),
        "print", frozenset({"print", name}), Cost(10, 3), {},
    )  # fmt: skip
    return replace(found, **more)


def test_an_ensemble_is_judged_as_one():
    members = [candidate("a", 0.0), candidate("b", 6.0)]
    whole = ensemble_of(members)
    views = np.full((3, 8, 8, 3), 100, np.uint8)
    offsets, sigmas = whole.judge.predict(views)
    np.testing.assert_allclose(offsets, 103)
    np.testing.assert_allclose(sigmas, np.sqrt(4 + 9))
    assert (whole.cost, whole.network) == (Cost(20, 6), "2 x net")
    # What any has learnt from is known, and only what all left aside is a test.
    assert whole.learnt == {"a", "b"}
    assert whole.test == {"t"}
    assert (whole.fingerprint, whole.fingerprints) == ("print", {"print", "a", "b"})
    assert ensemble_of([members[0], candidate("b", 0, learnt=None)]).learnt is None


def test_networks_that_look_at_other_things_make_no_ensemble():
    finer = Judge(SPEC.model_copy(update={"width_px": 32, "height_px": 32, "um_per_px": 1.55}), None)
    wider = Judge(SPEC.model_copy(update={"um_per_px": 6.2}), None)
    ensemble_of([candidate("a", 0), candidate("b", 0, judge=finer)])
    with pytest.raises(ConfigError, match=r"a looks at 49\.6 x 49\.6 um and b at 99\.2 x 99\.2 um"):
        ensemble_of([candidate("a", 0), candidate("b", 0, judge=wider)])
    with pytest.raises(ConfigError, match="networks of one rig"):
        ensemble_of([candidate("a", 0), candidate("b", 0, scale=Scale(1.0, 220.0))])
    with pytest.raises(ConfigError, match="rename its folder"):
        ensemble_of([candidate("a", 0), candidate("ensemble", 0)])

import math

import numpy as np
import pytest

from training.metrics import (
    coverage_factor,
    figures,
    grouped_figures,
    in_words,
    offset_bands,
    sigma_factor,
    sigma_figures,
    thirds,
)


def test_figures_by_hand():
    # Errors +10, -20, +300 (sign wrong, but within one DOF), -400 (sign wrong, beyond one DOF).
    found = figures([100, -300, -150, 250], [110, -320, 150, -150], um_per_step=5, dof_um=200)
    assert found["n"] == 4
    assert found["mae_um"] == pytest.approx(182.5)
    assert found["mae_steps"] == pytest.approx(36.5)
    assert found["mae_dof"] == pytest.approx(0.9125)
    assert found["median_um"] == pytest.approx(160)
    assert found["bias_um"] == pytest.approx(-27.5)
    assert found["sign_error_rate"] == pytest.approx(1 / 2)
    assert found["p95_um"] == pytest.approx(300 + 0.85 * 100)


def test_no_frame_beyond_one_dof_gives_no_sign_error_rate():
    assert figures([10, -20], [10, -20], 5, 200)["sign_error_rate"] is None
    assert figures([], [], 5, 200)["mae_um"] is None
    assert "no sign" in in_words(figures([10], [12], 5, 200))


def test_a_prediction_of_zero_far_out_has_the_wrong_sign():
    assert figures([500, 500], [0, 1], 5, 200)["sign_error_rate"] == 0.5


def test_groups_hold_their_own_frames():
    found = grouped_figures([50, 300, -300], [60, 330, -300], ["window", "full", "window"], 5, 200)
    assert found["n"] == 3
    assert found["groups"]["view"]["full"]["mae_um"] == 30
    assert found["groups"]["view"]["window"]["n"] == 2
    bands = found["groups"]["abs_offset_um"]
    assert {band: group["n"] for band, group in bands.items()} == {"0-110": 1, "220-500": 2}


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="must be"):
        figures([1, 2], [1], 5, 200)


def test_sigma_factor_makes_normalised_errors_unit():
    assert sigma_factor([0, 0], [10, -20], [5, 10]) == pytest.approx(2)
    assert sigma_factor([0, 0], [3, 4], [1, 1]) == pytest.approx(math.sqrt(12.5))


def test_bands_are_signed_and_hold_each_frame_once():
    found = offset_bands([-1000, -100, 0, 99, 110, 440, 900], dof_um=220)
    assert list(found) == ["below -4", "-0.5 to 0.5", "0.5 to 1", "2 to 4", "4 and above"]
    assert found["-0.5 to 0.5"].tolist() == [False, True, True, True, False, False, False]
    assert sum(chosen.sum() for chosen in found.values()) == 7


def test_thirds_are_thirds():
    found = thirds(range(9))
    assert [int(chosen.sum()) for chosen in found.values()] == [3, 3, 3]
    assert list(found) == ["below 2.7", "2.7 to 5.3", "5.3 and above"]
    assert [int(chosen.sum()) for chosen in thirds([5, 5, 5]).values()] == [3]


def test_coverage_of_honest_and_of_overconfident_deviations():
    random = np.random.default_rng(0)
    sigmas = random.uniform(1, 50, 20_000)
    errors = random.normal(0, sigmas)
    honest = sigma_figures(np.zeros(20_000), errors, sigmas)
    assert honest["coverage_68"] == pytest.approx(0.68, abs=0.01)
    assert honest["coverage_95"] == pytest.approx(0.95, abs=0.005)
    assert honest["factor"] == pytest.approx(1, abs=0.02)
    bold = sigma_figures(np.zeros(20_000), errors, sigmas / 2)
    assert bold["coverage_68"] == pytest.approx(0.381, abs=0.01)
    assert sigma_figures([], [], [])["coverage_68"] is None
    # One that gave no number knows that it knows nothing.
    assert sigma_figures([100.0], [0.0], [math.inf])["coverage_95"] == 1


def test_further_groups_and_deviations():
    found = grouped_figures(
        [50, 300], [60, 330], ["window"] * 2, 5, 200,
        sigmas_um=[10, 10], more={"day": {"one": np.array([True, False])}},
    )  # fmt: skip
    assert found["groups"]["day"]["one"]["mae_um"] == 10
    assert found["sigma"]["coverage_68"] == 0
    assert found["groups"]["day"]["one"]["sigma"]["coverage_95"] == 1


def test_coverage_factor_makes_a_normal_distribution_honest():
    random = np.random.default_rng(0)
    sigmas = random.uniform(1, 10, 20_000)
    errors = random.normal(0, 1.7 * sigmas)
    assert coverage_factor(np.zeros_like(errors), errors, sigmas) == pytest.approx(1.7, rel=0.02)


def test_coverage_factor_does_not_follow_the_few_largest_errors():
    random = np.random.default_rng(0)
    errors = random.normal(0, 1, 10_000)
    errors[:100] *= 30
    zeros, ones = np.zeros_like(errors), np.ones_like(errors)
    assert sigma_factor(zeros, errors, ones) > 2.5
    factor = coverage_factor(zeros, errors, ones)
    honest = sigma_figures(zeros, errors, factor * ones)
    assert honest["coverage_68"] == pytest.approx(0.68, abs=0.02)
    assert honest["coverage_95"] == pytest.approx(0.95, abs=0.02)


def test_a_factor_needs_errors():
    with pytest.raises(ValueError, match="no errors"):
        coverage_factor([], [], [])

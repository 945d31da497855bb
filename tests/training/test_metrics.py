import math

import pytest

from training.metrics import figures, grouped_figures, in_words, sigma_factor


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

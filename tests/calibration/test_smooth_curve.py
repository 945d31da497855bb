"""A smooth curve through scattered points."""

import numpy as np
import pytest

from calibration.smooth_curve import smooth_curve


def test_it_follows_a_bell_through_noise() -> None:
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-50, 50, 60))
    curve = smooth_curve(x, np.exp(-np.square(x) / 800) + 0.02 * rng.standard_normal(60))
    inside = np.linspace(-45, 45, 200)
    assert np.abs(curve.at(inside) - np.exp(-np.square(inside) / 800)).max() < 0.03
    top = inside[curve.at(inside).argmax()]
    assert top == pytest.approx(0, abs=1.5)
    assert float(curve.at(np.array([top]), 1)[0]) == pytest.approx(0, abs=2e-3)


def test_noise_that_neighbours_share_is_not_taken_for_the_curve() -> None:
    # Four places, each met four times with the same error and a little beside itself.
    rng = np.random.default_rng(1)
    at = np.repeat([-45.0, -15.0, 15.0, 45.0], 4) + rng.uniform(-0.5, 0.5, 16)
    shared = np.repeat([0.0, 0.02, -0.02, 0.01], 4)
    curve = smooth_curve(at, 1 - np.square(at) / 3000 + shared)
    inside = np.linspace(-44, 44, 100)
    assert np.abs(curve.at(inside) - (1 - np.square(inside) / 3000)).max() < 0.06


def test_four_points_make_a_parabola() -> None:
    x = np.array([-3.0, -1.0, 1.0, 3.0])
    y = 2 - np.square(x - 0.5)
    np.testing.assert_allclose(
        smooth_curve(x, y).at(np.array([-2.0, 0.5, 2.0])), [-4.25, 2, -0.25], atol=1e-3
    )


def test_the_response_says_how_the_curve_answers_to_each_point() -> None:
    x = np.linspace(0, 10, 15)
    y = np.sin(x / 3)
    curve = smooth_curve(x, y)
    np.testing.assert_allclose(curve.response @ y, curve.coefficients)
    slope = float(curve.at(np.array([4.0]), 1)[0])
    assert curve.response_at(4.0, 1) @ y == pytest.approx(slope)
    assert slope == pytest.approx(np.cos(4 / 3) / 3, abs=0.02)

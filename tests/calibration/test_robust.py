"""Spread and fences that a few wild values do not move."""

import numpy as np
import pytest

from calibration.robust import robust_sigma, within_fences


def test_wild_values_do_not_move_the_spread():
    values = np.random.default_rng(0).normal(0, 2.0, 20_001)
    values[:2000] = 1e6
    assert robust_sigma(values) == pytest.approx(2.0, rel=0.2)


def test_fences_lie_one_and_a_half_quartile_ranges_out():
    # Quartiles 1 and 3, so that fences lie at -2 and 6.
    values = np.array([0.0, 1, 2, 3, 4])
    for wild, kept in ((-2.0, True), (-2.01, False), (6.0, True), (6.01, False)):
        changed = np.where(values == (0 if wild < 0 else 4), wild, values)
        assert within_fences(changed, 0).tolist() == [kept or value != wild for value in changed]
    both = np.stack([values, np.array([5.0, 5, 5, 5, 90])], axis=1)
    assert within_fences(both, 0)[:, 1].tolist() == [True] * 4 + [False]
    assert within_fences(both.T, 1).T.tolist() == within_fences(both, 0).tolist()


def test_of_three_values_none_lies_outside():
    assert within_fences(np.array([0.0, 0.0, 1e9]), 0).all()
    assert within_fences(np.array([7.0]), 0).all()

"""Which values are wild."""

import numpy as np

from calibration.robust import within_fences


def test_outliers_lie_beyond_the_quartiles_by_one_and_a_half_times_their_distance() -> None:
    # Quartiles 2.25 and 6.75: the fences are at -4.5 and 13.5.
    values = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 13.4, 13.6])
    assert within_fences(values).tolist() == [True] * 9 + [False]
    rows = np.array([[1.0, 2, 3, 4, 50], [-50.0, 2, 3, 4, 5]])
    assert within_fences(rows).tolist() == [[True] * 4 + [False], [False] + [True] * 4]
    assert within_fences(np.full(5, 3.0)).all()

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.axis.curves import align
from hw.errors import StackError

Z = np.linspace(-70.0, 70.0, 25)


def curve(z: NDArray[np.float64], shift: float, gain: float = 1.0) -> NDArray[np.float64]:
    """A skewed focus curve."""
    x = (z - shift) / 45
    return gain * (np.exp(-0.5 * x**2) * (1 + 0.15 * np.tanh(x)) + 0.2)


def test_shifts_and_gains_are_found_together() -> None:
    true = np.array([0.0, 1.3, -0.7, 5.2])
    values = [curve(Z, s, g) for s, g in zip(true, (1.0, 1.1, 0.9, 1.0), strict=True)]
    found = align([Z] * 4, values)
    np.testing.assert_allclose(found.shift - found.shift[0], true, atol=0.02)
    assert found.misfit < 1e-3


def test_the_stated_deviation_is_that_of_many_trials() -> None:
    rng = np.random.default_rng(0)
    differences, stated = [], []
    for _ in range(60):
        values = [curve(Z, s) + rng.normal(0, 0.01, len(Z)) for s in (0.0, 2.0)]
        found = align([Z, Z], values)
        differences.append(found.shift[1] - found.shift[0])
        stated.append(found.sigma)
    assert np.mean(differences) == pytest.approx(2.0, abs=0.15)
    assert np.std(differences) == pytest.approx(np.sqrt(2) * np.mean(stated), rel=0.35)


def test_curves_about_different_places_are_aligned() -> None:
    found = align([Z, Z + 100], [curve(Z, 3.0), curve(Z + 100, 101.0)], [0.0, 100.0])
    assert found.shift[1] - found.shift[0] == pytest.approx(98.0, abs=0.1)


def test_curves_that_are_not_one_curve_are_refused() -> None:
    other = np.exp(-0.5 * (Z / 12) ** 2) + 0.8 * np.exp(-0.5 * ((Z - 50) / 8) ** 2)
    with pytest.raises(StackError, match="not one curve shifted"):
        align([Z, Z], [curve(Z, 0.0), other])


def test_too_few_points_are_refused() -> None:
    with pytest.raises(StackError, match="too few"):
        align([Z[:5], Z[:5]], [curve(Z[:5], 0.0), curve(Z[:5], 1.0)])

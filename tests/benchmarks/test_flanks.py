import numpy as np
import pytest
from methods.flanks import compare_flanks

Z = np.linspace(-10, 10, 81)


def skewed(z: np.ndarray) -> np.ndarray:
    """A peak at 0 that falls twice as fast on the left."""
    return np.where(z < 0, np.exp(-((z / 2) ** 2)), np.exp(-((z / 4) ** 2)))


def test_equal_flanks_have_no_asymmetry() -> None:
    flanks = compare_flanks(Z, 1 / (1 + (Z / 3) ** 2))
    assert flanks.asymmetry == pytest.approx(0, abs=1e-12)
    assert flanks.left == pytest.approx(flanks.right)
    assert flanks.position == pytest.approx(0, abs=1e-12)


def test_the_sign_says_where_the_curve_holds_up_and_turns_with_it() -> None:
    flanks = compare_flanks(Z, skewed(Z))
    mirrored = compare_flanks(Z, skewed(-Z))
    assert flanks.asymmetry > 0.1
    assert flanks.right > 1.8 * flanks.left
    assert mirrored.asymmetry == pytest.approx(-flanks.asymmetry)


def test_neither_scale_nor_offset_nor_upside_down_matters() -> None:
    plain = compare_flanks(Z, skewed(Z))
    scaled = compare_flanks(Z * 7 + 100, 5 - 3 * skewed(Z))
    assert (plain.kind, scaled.kind) == ("peak", "minimum")
    assert scaled.asymmetry == pytest.approx(plain.asymmetry)
    assert scaled.left == pytest.approx(7 * plain.left)


def test_half_widths_of_a_gaussian() -> None:
    flanks = compare_flanks(Z + 0.07, np.exp(-(Z**2) / 2 / 2.5**2))
    assert flanks.position == pytest.approx(0.07, abs=1e-9)
    # The curve's ends are at exp(-8), so half way down is nearly half the height.
    assert flanks.left == pytest.approx(2.5 * np.sqrt(2 * np.log(2)), rel=0.01)


def test_a_range_that_ends_early_is_looked_at_no_further() -> None:
    flanks = compare_flanks(Z[30:], skewed(Z[30:]))
    assert flanks.reach < 2


@pytest.mark.parametrize("values", [Z, np.ones_like(Z), Z**3])
def test_a_curve_without_extremum_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no extremum"):
        compare_flanks(Z, values)

import math

import pytest

from calibration.truth import sharpest_position
from hw.errors import StackError


@pytest.mark.parametrize("peak", [-610.0, -140.0, 3.0, 95.0, 450.0])
def test_finds_the_peak_of_a_skewed_curve(peak: float) -> None:
    def curve(z: float) -> float:
        u = (z - peak) / (180 if z < peak else 130)
        return -30 + 50 / (1 + u * u)

    assert sharpest_position(curve, 0.0, 220.0) == pytest.approx(peak, abs=13)


def test_a_symmetric_peak_is_found_within_a_micrometre() -> None:
    found = sharpest_position(lambda z: math.exp(-(((z - 77) / 150) ** 2)), 0.0, 220.0)
    assert found == pytest.approx(77, abs=1.5)


def test_a_curve_without_a_peak_is_refused() -> None:
    with pytest.raises(StackError, match="no focus peak within 880 um"):
        sharpest_position(lambda z: z, 0.0, 220.0)

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.truth import sharpest_position, true_focus
from hw.clock import VirtualClock
from hw.config import load_rig
from hw.errors import StackError
from hw.frame import Frame
from hw.replay import ReplayedAxis, ReplayedCamera
from hw.rig import Rig
from hw.zstack import ZStack


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
    with pytest.raises(StackError, match="no focus peak within 880 um of 0 um; leave this specimen out"):
        sharpest_position(lambda z: z, 0.0, 220.0)


class Stripes:
    """A subject whose contrast peaks 60 um above its plane, or nowhere from 2 s to 3 s."""

    def render(self, t: float, lens_um: float) -> NDArray[np.float32]:
        u = (lens_um - self.plane_um(t) - 60) / 200
        contrast = 0.3 / (1 + u * u) if not 2 <= t < 3 else 0.3 / (1 + math.exp(-u))
        stripes = np.where(np.arange(32) // 4 % 2, contrast, -contrast)[:, None, None]
        return (0.5 + stripes * np.ones((32, 8, 3))).astype(np.float32)

    def plane_um(self, t: float) -> float:
        return 500 + 100 * t

    def focus_um(self, t: float) -> float | None:
        return None

    def lens_error_um(self, t: float) -> float:
        return 20.0


class Marked(Stripes):
    """A subject whose true focus is known without looking."""

    def focus_um(self, t: float) -> float | None:
        return 700.0


def test_truth_follows_the_plane_and_is_unknown_where_there_is_no_peak() -> None:
    config = load_rig("worm_tracker_sim")
    clock = VirtualClock()
    axis = ReplayedAxis(config.axis, clock, 0.0)
    stack = ZStack(np.zeros((2, 4, 4), np.uint8), np.array([0.0, 1.0]))
    rig = Rig(config, clock, ReplayedCamera(config.camera, clock, axis, stack), axis, ideal=Stripes())
    truth = true_focus(rig)
    assert truth is not None
    frame = Frame(np.zeros((4, 4, 3), np.uint8), 0, 0.5, 0.0, 0.0, False)
    for t in (0.5, 1.1, 3.9):
        # The lens is 20 um above where the axis believes it, so the axis must aim 20 um lower.
        expected = (500 + 100 * t + 60 - 20) / 5
        assert truth(replace(frame, exposure_start_s=t)) == pytest.approx(expected, abs=0.6), "3 um"
    assert truth(replace(frame, exposure_start_s=2.5)) is None
    assert true_focus(replace(rig, ideal=None)) is None
    known = true_focus(replace(rig, ideal=Marked()))
    assert known is not None
    assert known(frame) == (700 - 20) / 5

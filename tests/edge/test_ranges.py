from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.bundle import InputSpec, Prediction
from edge.focusers import Focuser
from edge.loop import focus_once
from edge.ranges import FocusRange, RangesFocuser
from hw.config import load_rig
from hw.errors import BundleError
from hw.rig import Rig, open_rig

CONFIG = load_rig("slit_laser_sim")


@dataclass
class Oracle:
    """Knows the rig's true offset, and errs as it is told to."""

    rig: Rig
    range_um: float
    error: Callable[[float], float]
    sigma_um: float | None = None
    asked: int = 0

    def predict(self, window: NDArray[np.uint8]) -> Prediction:
        self.asked += 1
        now, ideal = self.rig.clock.now(), self.rig.ideal
        assert ideal is not None
        focus_um = ideal.focus_um(now)
        assert focus_um is not None
        truth = focus_um - self.rig.axis.position_steps * self.rig.axis.um_per_step
        said = truth + self.error(truth)
        return Prediction(said, self.sigma_um, abs(said) <= self.range_um)


def far(rig: Rig) -> FocusRange:
    return FocusRange("far", Oracle(rig, 110, lambda offset: 0.02 * offset + 1.0), wide_spec(), 110)


def near(rig: Rig) -> FocusRange:
    return FocusRange("near", Oracle(rig, 10, lambda offset: 0.05 * offset), narrow_spec(), 10)


def wide_spec() -> InputSpec:
    return InputSpec(width_px=96, height_px=96, um_per_px=0.7)


def narrow_spec() -> InputSpec:
    return InputSpec(width_px=96, height_px=96, um_per_px=0.35)


def error_um(rig: Rig) -> float:
    assert rig.ideal is not None
    focus_um = rig.ideal.focus_um(rig.clock.now())
    assert focus_um is not None
    return rig.axis.position_steps * rig.axis.um_per_step - focus_um


def started_at(rig: Rig, defocus_um: float) -> None:
    rig.axis.home()
    rig.axis.move_to(rig.axis.position_steps + (defocus_um - error_um(rig)) / rig.axis.um_per_step)
    rig.clock.sleep(5)


@pytest.mark.parametrize("defocus_um", [-95.0, 60.0, 8.0, 0.01])
def test_the_far_range_brings_the_lens_near_and_the_near_one_into_focus(defocus_um: float) -> None:
    with open_rig(CONFIG, seed=1) as rig:
        started_at(rig, defocus_um)
        ranges = [far(rig), near(rig)]
        focuser: Focuser = RangesFocuser(CONFIG, ranges)
        result = focus_once(rig, focuser, timeout_s=30)
        assert result.focused, result.reason
        assert "'near'" in result.reason
        assert abs(error_um(rig)) < 0.05
        assert ranges[0].predictor.asked == 1  # type: ignore[attr-defined]
        # One look to move by, one to confirm.
        assert ranges[1].predictor.asked <= 3  # type: ignore[attr-defined]


def test_the_far_range_alone_is_as_good_as_it_is() -> None:
    with open_rig(CONFIG, seed=1) as rig:
        started_at(rig, 60)
        alone = FocusRange("far", Oracle(rig, 110, lambda offset: 0.4, sigma_um=1.0), wide_spec(), 110)
        assert focus_once(rig, RangesFocuser(CONFIG, [alone]), timeout_s=30).focused
        # Each look moves the lens past focus by its constant error, which it cannot know.
        assert error_um(rig) == pytest.approx(0.4, abs=0.1)


def test_without_confirmation_each_range_is_asked_once() -> None:
    with open_rig(CONFIG, seed=1) as rig:
        started_at(rig, 60)
        ranges = [far(rig), near(rig)]
        result = focus_once(rig, RangesFocuser(CONFIG, ranges, confirm=False), timeout_s=30)
        assert result.focused
        assert [r.predictor.asked for r in ranges] == [1, 1]  # type: ignore[attr-defined]
        # The far range leaves 0.02 * 60 - 1 um, of which the near one errs by a twentieth.
        assert abs(error_um(rig)) == pytest.approx(0.05 * 0.2, abs=0.02)


def test_an_answer_beyond_the_only_range_is_a_failure_and_the_lens_goes_back() -> None:
    with open_rig(CONFIG, seed=1) as rig:
        started_at(rig, 40)
        before = rig.axis.position_steps
        focuser = RangesFocuser(CONFIG, [near(rig)])
        result = focus_once(rig, focuser, timeout_s=30)
        assert not result.focused
        assert focuser.gave_up
        assert "beyond its +-10 um" in result.reason
        assert result.seconds < 5, "it need not wait for its timeout"
        assert rig.axis.position_steps == pytest.approx(before, abs=1)


def test_a_near_range_that_finds_itself_far_hands_back_once_and_then_fails() -> None:
    with open_rig(CONFIG, seed=1) as rig:
        started_at(rig, 60)
        wrong = FocusRange("far", Oracle(rig, 110, lambda offset: 15.0), wide_spec(), 110)
        result = focus_once(rig, RangesFocuser(CONFIG, [wrong, near(rig)]), timeout_s=30)
        assert not result.focused
        assert "'near' says" in result.reason
        assert wrong.predictor.asked == 2  # type: ignore[attr-defined]


def test_answers_that_do_not_get_small_are_a_failure() -> None:
    with open_rig(CONFIG, seed=1) as rig:
        started_at(rig, 3)
        wild = FocusRange("near", Oracle(rig, 10, lambda offset: offset), narrow_spec(), 10)
        result = focus_once(rig, RangesFocuser(CONFIG, [wild]), timeout_s=30)
        assert not result.focused
        assert "do not get small" in result.reason


def test_a_target_past_the_limits_is_a_failure() -> None:
    with open_rig(CONFIG, seed=1) as rig:
        rig.axis.home()
        rig.axis.move_to(29000)
        rig.clock.sleep(10)
        liar = FocusRange("far", Oracle(rig, 1000, lambda offset: 80.0 - offset), wide_spec(), 110)
        result = focus_once(rig, RangesFocuser(CONFIG, [liar]), timeout_s=30)
        assert not result.focused
        assert "limits" in result.reason


def test_ranges_must_get_narrower_and_there_must_be_one() -> None:
    with open_rig(CONFIG, seed=1) as rig:
        with pytest.raises(BundleError, match="other order"):
            RangesFocuser(CONFIG, [near(rig), far(rig)])
        with pytest.raises(BundleError, match="at least one"):
            RangesFocuser(CONFIG, [])

import numpy as np
import pytest

from hw.clock import VirtualClock
from hw.config import AxisConfig
from hw.drive import DriveConfig
from hw.errors import AxisFault
from hw.simulation.config import SimulatedAxisConfig
from hw.simulation.stage import SimulatedAxis

CONFIG = AxisConfig(
    um_per_step=5,
    min_steps=-1000,
    max_steps=1000,
    max_speed_steps_s=400,
    acceleration_steps_s2=4000,
    backlash_steps=6,
    settle_s=0.03,
    drive=DriveConfig(wake_s=0),
)
TRUTH = SimulatedAxisConfig(
    start_offset_steps=250, backlash_steps=6, safe_speed_steps_s=800, missed_share=0.02, shake_um=1
)


def an_axis(
    truth: SimulatedAxisConfig = TRUTH, config: AxisConfig = CONFIG
) -> tuple[SimulatedAxis, VirtualClock]:
    clock = VirtualClock()
    axis = SimulatedAxis(config, truth, clock, np.random.default_rng(0))
    axis.home()
    return axis, clock


def rest(axis: SimulatedAxis, clock: VirtualClock) -> None:
    for _ in range(1000):
        if not axis.moving:
            return
        clock.sleep(0.01)
    raise AssertionError("the axis never came to rest")


def test_a_move_takes_the_time_of_its_profile_and_settles() -> None:
    axis, clock = an_axis()
    axis.move_to(250)
    clock.advance_to(0.72)
    assert axis.moving
    assert axis.position_steps < 250
    clock.advance_to(0.7251)
    assert axis.position_steps == pytest.approx(250)
    assert axis.moving, "it must settle first"
    clock.advance_to(0.7551)
    assert not axis.moving
    assert axis.moving_during(0.70, 0.71)
    assert not axis.moving_during(0.76, 0.80)


def test_compensated_backlash_puts_the_lens_where_it_was_sent_from_both_sides() -> None:
    axis, clock = an_axis()
    for target in (100, 60, 80, -30, -31, 5):
        axis.move_to(target)
        rest(axis, clock)
        assert axis.position_steps == pytest.approx(target)
        assert axis.true_position_at(clock.now()) == pytest.approx(target)


def test_more_play_than_believed_shows_as_an_error_after_a_reversal() -> None:
    axis, clock = an_axis(TRUTH.model_copy(update={"backlash_steps": 7.5}))
    axis.move_to(100)
    rest(axis, clock)
    assert axis.true_position_at(clock.now()) == pytest.approx(100)
    axis.move_to(50)
    rest(axis, clock)
    assert axis.true_position_at(clock.now()) == pytest.approx(51.5)


def test_a_retarget_in_mid_move_keeps_position_continuous_and_ends_there() -> None:
    axis, clock = an_axis()
    axis.move_to(400)
    positions = []
    for k in range(400):
        clock.advance_to(k * 0.005)
        if k == 60:
            axis.move_to(37)
        positions.append(axis.true_position_at(clock.now()))
    assert np.abs(np.diff(positions)).max() <= 400 * 0.005 + 1, "in whole steps"
    assert max(positions) > 100
    assert positions[-1] == pytest.approx(37)


@pytest.mark.parametrize("first", [400, -400])
@pytest.mark.parametrize("ahead", [-30, 0, 3, 15, 25])
def test_a_lens_too_fast_to_stop_in_time_comes_back_with_its_backlash_taken_up(
    first: float, ahead: float
) -> None:
    axis, clock = an_axis()
    axis.move_to(first)
    clock.advance_to(0.4)
    target = axis.position_steps + np.sign(first) * ahead
    axis.move_to(target)
    rest(axis, clock)
    assert axis.target_steps == target
    assert axis.position_steps == pytest.approx(target)
    assert axis.true_position_at(clock.now()) == pytest.approx(target)


def test_history_tells_the_position_of_a_past_moment() -> None:
    axis, clock = an_axis()
    axis.move_to(100)
    clock.advance_to(0.2)
    at_that_time = axis.position_steps
    axis.move_to(-50)
    clock.advance_to(3)
    assert axis.position_at(0.2) == pytest.approx(at_that_time)
    assert axis.position_at(0.0) == pytest.approx(0)


def test_a_motor_driven_too_hard_misses_steps() -> None:
    fast = CONFIG.model_copy(update={"max_speed_steps_s": 1500})
    axis, clock = an_axis(config=fast)
    for target in (900, -900, 900):
        axis.move_to(target)
        rest(axis, clock)
    assert axis.position_steps == pytest.approx(900)
    assert abs(axis.true_position_at(clock.now()) - 900) > 3


def test_only_steps_faster_than_the_motor_can_follow_are_missed() -> None:
    truth = TRUTH.model_copy(update={"backlash_steps": 0.0, "missed_share": 0.1})
    config = CONFIG.model_copy(update={"max_speed_steps_s": 1000, "backlash_steps": 0.0})
    axis, clock = an_axis(truth, config)
    axis.move_to(800)
    believed, true = [], []
    for k in range(500):
        clock.advance_to(k * 0.005)
        if k == 100:
            axis.move_to(-300)
        believed.append(axis.position_steps)
        true.append(axis.true_position_at(clock.now()))
    assert np.abs(np.diff(true)).max() <= np.abs(np.diff(believed)).max() + 1, "no jump"
    lost = np.array(believed) - true
    # 800 steps/s are safe and reached at 0.2 s; a motor on whole steps is within half a one of its profile.
    assert np.abs(lost[:41]).max() <= 0.5 + 1e-9
    # At 0.25 s the speed is 1000 steps/s and the profile at 125; 250 steps further on it is turned round.
    at_speed = slice(50, 100)
    share = np.polyfit(np.array(believed[at_speed]), lost[at_speed], 1)[0]
    assert 0 < share < 0.2
    assert lost[99] == pytest.approx(share * (believed[99] - believed[40]), abs=1.5)
    assert believed[-1] == -300
    assert abs(lost[-1]) > 1


def test_refusals_name_the_reason() -> None:
    axis, clock = an_axis()
    with pytest.raises(AxisFault, match="outside its limits"):
        axis.move_to(1001)
    unhomed = SimulatedAxis(CONFIG, TRUTH, clock, np.random.default_rng(0))
    with pytest.raises(AxisFault, match="not homed"):
        unhomed.move_to(1)
    axis.close()
    with pytest.raises(AxisFault, match="closed"):
        axis.move_to(1)


def test_stop_decelerates_and_keeps_the_position_known() -> None:
    axis, clock = an_axis()
    axis.move_to(400)
    clock.advance_to(0.3)
    axis.stop()
    rest(axis, clock)
    assert axis.position_steps == pytest.approx(100 + 20, abs=1e-6)
    assert axis.target_steps == pytest.approx(axis.position_steps)

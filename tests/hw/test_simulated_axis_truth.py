"""A simulated axis that differs from its rig file in direction, scale and settle time."""

from typing import Any

import numpy as np
import pytest

from hw.clock import VirtualClock
from hw.config import AxisConfig
from hw.drive import DriveConfig
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


def moved_to(steps: float, config: AxisConfig = CONFIG, **truth: Any) -> tuple[SimulatedAxis, VirtualClock]:
    clock = VirtualClock()
    true = SimulatedAxisConfig(
        start_offset_steps=0, backlash_steps=6, safe_speed_steps_s=800, missed_share=0, shake_um=1, **truth
    )
    axis = SimulatedAxis(config, true, clock, np.random.default_rng(0))
    axis.home()
    axis.move_to(steps)
    while axis.moving:
        clock.sleep(0.01)
    return axis, clock


def test_an_inverted_motor_moves_the_lens_the_other_way_and_the_axis_does_not_know() -> None:
    axis, clock = moved_to(100, inverted=True)
    assert axis.position_steps == 100
    # Turned down, the lens hangs behind by the play of the screw.
    assert axis.true_position_at(clock.now()) == pytest.approx(-94)
    assert axis.lens_error_um(clock.now()) == pytest.approx(-194 * 5)


def test_the_rig_file_turns_an_inverted_motor_round_again() -> None:
    turned = CONFIG.model_copy(update={"invert_direction": True})
    axis, clock = moved_to(100, turned, inverted=True)
    assert axis.true_position_at(clock.now()) == pytest.approx(100)
    axis, clock = moved_to(100, turned)
    assert axis.true_position_at(clock.now()) < 0


def test_a_true_scale_moves_the_lens_by_more_than_the_axis_believes() -> None:
    axis, clock = moved_to(100, um_per_step=6.0)
    assert axis.true_um_at(clock.now()) == pytest.approx(600)
    assert axis.lens_error_um(clock.now()) == pytest.approx(100)


def test_a_lens_shakes_for_its_true_settle_time() -> None:
    for truth, still_after in (({}, 0.03), ({"settle_s": 0.1}, 0.1), ({"settle_s": 0.0}, 0.0)):
        axis, clock = moved_to(100, **truth)
        clock.sleep(1.0)
        # 100 steps take 0.1 s of ramps and 60 steps at 400 steps/s.
        end_s = 0.35
        assert axis.shaking_at(end_s - 0.01)
        assert not axis.shaking_at(end_s + still_after + 0.001)
        if still_after:
            assert axis.shaking_at(end_s + still_after - 0.001)


def test_without_truths_of_its_own_it_is_what_its_rig_file_says() -> None:
    axis, clock = moved_to(100)
    assert axis.true_um_at(clock.now()) == 500.0
    assert axis.lens_error_um(clock.now()) == 0.0

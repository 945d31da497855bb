import math

import pytest

from hw.clock import VirtualClock
from hw.errors import AxisFault
from hw.simulation.xy_stage import SimulatedXYStage
from hw.stage import StageConfig, XYStage

CONFIG = StageConfig(
    min_x_um=-5000,
    max_x_um=5000,
    min_y_um=-2000,
    max_y_um=2000,
    max_speed_um_s=1000,
    acceleration_um_s2=10000,
    settle_s=0.1,
)


def a_stage() -> tuple[VirtualClock, SimulatedXYStage]:
    clock = VirtualClock()
    stage = SimulatedXYStage(CONFIG, clock)
    as_seam: XYStage = stage
    assert as_seam.limits_um == (-5000, -2000, 5000, 2000)
    return clock, stage


def test_it_gets_there_on_its_profile_and_settles() -> None:
    clock, stage = a_stage()
    assert not stage.moving
    stage.move_to(2000, -500)
    # 2000 um at 1000 um/s, and 0.1 s for speeding up and slowing down.
    assert stage.position_at(2.1) == pytest.approx((2000, -500))
    assert stage.position_at(1.05) == pytest.approx((1000, -500))
    clock.sleep(2.15)
    assert stage.moving, "it settles"
    clock.sleep(0.06)
    assert not stage.moving
    assert stage.position_um == pytest.approx((2000, -500))


def test_a_new_target_in_mid_move_and_a_stop_keep_the_past() -> None:
    clock, stage = a_stage()
    stage.move_to(2000, 0)
    clock.sleep(1.05)
    stage.move_to(-2000, 100)
    assert stage.position_at(0.55) == pytest.approx((500, 0)), "the past is as it was"
    clock.sleep(0.5)
    stage.stop()
    clock.sleep(1.0)
    x, y = stage.position_um
    assert not stage.moving
    assert -2000 < x < 1000
    assert y == pytest.approx(100)


@pytest.mark.parametrize(
    ("x", "y", "says"), [(5001, 0, "limits"), (0, -2001, "limits"), (math.nan, 0, "no place")]
)
def test_a_place_out_of_reach_is_refused_and_nothing_moves(x: float, y: float, says: str) -> None:
    _, stage = a_stage()
    with pytest.raises(AxisFault, match=says):
        stage.move_to(x, y)
    assert not stage.moving


def test_limits_in_disorder_are_told() -> None:
    with pytest.raises(ValueError, match="min_y_um 3000"):
        StageConfig(**{**CONFIG.model_dump(), "min_y_um": 3000})

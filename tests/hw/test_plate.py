import pytest

from hw.simulation.plate import Plate


def test_the_plate_drifts_to_its_reach_and_back_for_as_long_as_a_run_lasts():
    plate = Plate(
        (0.0, 0.0), drift_um_s=-5.0, drift_reach_um=1500.0, sway_um=0.0, sway_period_s=20.0, sway_phase=0.3
    )
    assert [plate.height_um(0, 0, t) for t in (0, 60, 300, 360, 600, 660)] == pytest.approx(
        [0, -300, -1500, -1200, 0, -300], abs=1e-6
    )
    assert all(-1500.001 <= plate.height_um(0, 0, hour * 3600.0) <= 0.001 for hour in range(25))


def test_a_tilted_plate_is_higher_on_one_side():
    plate = Plate(
        (0.02, -0.01), drift_um_s=1.0, drift_reach_um=1500.0, sway_um=0.0, sway_period_s=20.0, sway_phase=0.0
    )
    assert plate.height_um(500, 200, 0.0) == pytest.approx(8.0)

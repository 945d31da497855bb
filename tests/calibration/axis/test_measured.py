"""What is measured on a simulated rig, against its truth. Each rig is small, and quick to render."""

import numpy as np
import pytest

from calibration.axis.backlash import measure_backlash
from calibration.axis.bench import Bench, without_a_preferred_side
from calibration.axis.characterise import AxisPlan, characterise
from calibration.axis.find import find_target, still_enough
from calibration.axis.missed import fast_ways, gentle_way, make_trips
from calibration.axis.prove import Means, prove_direction
from calibration.axis.scale import measure_scale
from calibration.axis.settle import measure_settling
from hw.config import RigConfig
from hw.errors import StackError
from hw.rig import Rig, open_rig


def opened(config: RigConfig, seed: int = 0) -> Rig:
    return open_rig(without_a_preferred_side(config), seed=seed)


def focused(rig: Rig) -> tuple[Bench, float]:
    bench = Bench(rig)
    return bench, find_target(bench)


@pytest.mark.parametrize("true", [0.0, 13.5])
def test_backlash_is_recovered_whatever_the_rig_file_says(target_rig, true: float) -> None:
    with opened(target_rig(backlash_steps=true)) as rig:
        bench, focus = focused(rig)
        found = measure_backlash(bench, focus, pairs=2)
    assert found.backlash_steps == pytest.approx(true, abs=max(0.3, 4 * found.sigma_steps))
    assert found.sigma_steps < 0.3
    assert found.repeatability_steps < 0.5


def test_a_play_beyond_the_run_up_is_noticed_and_measured_again(target_rig) -> None:
    with opened(target_rig(backlash_steps=40.0)) as rig:
        bench, focus = focused(rig)
        before = bench.run_up_steps
        found = measure_backlash(bench, focus, pairs=2)
    assert bench.run_up_steps > before
    assert found.backlash_steps == pytest.approx(40.0, abs=0.5)


def test_an_inverted_axis_has_the_same_backlash(target_rig) -> None:
    with opened(target_rig(backlash_steps=9.0, inverted=True)) as rig:
        bench, focus = focused(rig)
        found = measure_backlash(bench, focus, pairs=2)
    assert found.backlash_steps == pytest.approx(9.0, abs=max(0.3, 4 * found.sigma_steps))


@pytest.mark.parametrize("true", [0.012, 0.095])
def test_settle_time_is_recovered_within_what_is_stated(target_rig, true: float) -> None:
    with opened(target_rig(settle_s=true, shake_um=2.0)) as rig:
        bench, focus = focused(rig)
        found = measure_settling(bench, focus, np.random.default_rng(0), moves=25)
    assert found.low_s <= true <= found.high_s
    assert found.high_s - found.low_s < 0.012


def test_a_lens_that_never_shakes_needs_no_settle_time(target_rig) -> None:
    with opened(target_rig(shake_um=0.0)) as rig:
        bench, focus = focused(rig)
        assert measure_settling(bench, focus, np.random.default_rng(0), moves=10).settle_s == 0.0


@pytest.mark.parametrize("inverted", [False, True])
def test_scale_and_direction_are_recovered_with_a_spacer(target_rig, inverted: bool) -> None:
    with opened(target_rig(um_per_step=6.2, inverted=inverted)) as rig:
        bench, focus = focused(rig)
        found = measure_scale(bench, focus, 300.0)
        again = find_target(bench)
    assert found.um_per_step == pytest.approx(6.2, abs=max(0.03, 4 * found.sigma_um_per_step))
    assert np.sign(found.shift_steps) == (-1 if inverted else 1)
    assert again == pytest.approx(focus, abs=6), "the spacer was taken out again"


def test_a_spacer_too_thin_to_see_is_refused(target_rig) -> None:
    with opened(target_rig()) as rig:
        bench, focus = focused(rig)
        with pytest.raises(StackError, match="too little to judge"):
            measure_scale(bench, focus, 0.5)


def test_no_steps_are_missed_by_a_motor_that_keeps_up(target_rig) -> None:
    with opened(target_rig()) as rig:
        bench, focus = focused(rig)
        gentle = make_trips(bench, focus, "gentle", gentle_way(bench, focus))
        fast = make_trips(bench, focus, "fast", fast_ways(bench, focus, 400, 2))
    assert not gentle.found
    assert not fast.found
    assert [trip.to_steps for trip in fast.trips] == pytest.approx([focus + 400, focus - 400])
    assert abs(fast.worst_steps) < 0.5


def test_missed_steps_are_reported_and_not_taken_for_backlash(target_rig) -> None:
    rig = target_rig(backlash_steps=9.0, safe_speed_steps_s=300.0, missed_share=0.05)
    plan = AxisPlan(pairs=2, moves=10, trips=2, far_steps=500)
    with opened(rig) as part:
        report = characterise(part, plan, np.random.default_rng(0))
    assert report.fast is not None
    assert report.fast.found
    assert not report.control.found
    assert not report.sound
    assert abs(report.fast.worst_steps) > 3
    assert report.values["axis.backlash_steps"] == pytest.approx(9.0, abs=0.3)
    assert any(
        "missed steps at full speed" in trouble and "home it" in trouble for trouble in report.troubles
    )


def test_the_loss_that_is_reported_is_the_one_that_happened(target_rig) -> None:
    with opened(target_rig(safe_speed_steps_s=300.0, missed_share=0.04)) as rig:
        bench, focus = focused(rig)
        before = rig.ideal.lens_error_um(rig.clock.now())
        found = make_trips(bench, focus, "fast", fast_ways(bench, focus, 500, 2))
        true = (rig.ideal.lens_error_um(rig.clock.now()) - before) / 5
    assert abs(true) > 2
    assert sum(trip.lost_steps for trip in found.trips) == pytest.approx(true, abs=0.3)


def test_an_axis_that_loses_steps_at_any_speed_gets_nothing_written(target_rig) -> None:
    with opened(target_rig(safe_speed_steps_s=60.0, missed_share=0.04)) as rig:
        report = characterise(rig, AxisPlan(), np.random.default_rng(0))
    assert report.control.found
    assert (report.backlash, report.settling, report.values) == (None, None, {})
    assert "even in small hops" in report.troubles[0]


@pytest.mark.parametrize("inverted", [False, True])
def test_colours_prove_the_direction_of_a_rig(target_rig, inverted: bool) -> None:
    with opened(target_rig(inverted=inverted), seed=1) as rig:
        proof = prove_direction(rig, Means(red_minus_blue_um=65.0))
    assert proof.verdict == ("inverted" if inverted else "right")


def test_turning_the_direction_round_in_the_rig_file_makes_it_right(target_rig) -> None:
    rig = target_rig(inverted=True)
    turned = rig.model_copy(update={"axis": rig.axis.model_copy(update={"invert_direction": True})})
    with opened(turned, seed=1) as part:
        assert prove_direction(part, Means(red_minus_blue_um=65.0)).verdict == "right"


def test_a_target_that_moves_is_refused(target_rig) -> None:
    rig = target_rig()
    worm = rig.simulation.worm.model_copy(update={"frequency_hz": 0.5, "slip": 1.0})
    moving = rig.model_copy(update={"simulation": rig.simulation.model_copy(update={"worm": worm})})
    with opened(moving) as part:
        bench, focus = focused(part)
        bench.creep(focus)
        with pytest.raises(StackError, match="keeps still"):
            still_enough(bench)


def test_no_room_to_look_is_refused(target_rig) -> None:
    with opened(target_rig()) as rig, pytest.raises(StackError, match="--centre-um"):
        find_target(Bench(rig), centre_um=6000.0)

"""The controller alone: no pixels, no clock but the times it is given."""

import dataclasses
import math

import pytest

from edge.bundle import Prediction
from edge.controller import Controller, Observation
from edge.decision import AxisReading

LIMITS = (-1000.0, 1000.0)


class Bench:
    """Feeds a controller one frame every 50 ms, with an axis that obeys at once or stands still."""

    def __init__(self, config, lens_steps=0.0, obedient=True):
        self.controller = Controller(config)
        self.controller.start(0.0)
        self.now = 0.0
        self.obedient = obedient
        self.axis = AxisReading(lens_steps, lens_steps, False, LIMITS)

    def see(self, offset_um=None, sigma_um=20.0, in_range=True, **changes):
        self.now += 0.05
        prediction = None if offset_um is None else Prediction(offset_um, sigma_um, in_range)
        seen = Observation(
            self.now - 0.006, self.now - 0.004, self.axis.position_steps, False, prediction, "worm lost: gone"
        )
        decision = self.controller.decide(dataclasses.replace(seen, **changes), self.axis, self.now)
        if self.obedient and decision.target_steps is not None:
            target = decision.target_steps
            self.axis = dataclasses.replace(self.axis, position_steps=target, target_steps=target)
        return decision


@pytest.mark.parametrize("offset_um", [1250.0, -1250.0])
def test_moves_along_the_sign_of_the_offset(make_config, offset_um):
    decision = Bench(make_config(), lens_steps=10).see(offset_um)
    assert decision.action == "move"
    assert decision.target_steps == pytest.approx(10 + offset_um / 5)
    assert decision.state == "locking"


def test_idle_until_started(make_config):
    controller = Controller(make_config())
    assert controller.state == "idle"
    with pytest.raises(RuntimeError, match="start"):
        controller.decide(Observation(0, 0, 0, False), AxisReading(0, 0, False, LIMITS), 0)


def test_no_move_inside_the_dead_band(make_config):
    bench = Bench(make_config())
    decisions = [bench.see(10.0) for _ in range(20)]
    assert {d.action for d in decisions} == {"hold"}
    assert "dead band" in decisions[-1].reason
    assert decisions[-1].state == "locked"


def test_enabled_is_not_locked(make_config):
    bench = Bench(make_config())
    assert bench.controller.state == "ready"
    assert bench.see(None).state == "ready"


def test_a_frame_from_before_the_move_does_not_lock(make_config):
    bench = Bench(make_config())
    bench.see(1000.0)
    stale = bench.see(1000.0, lens_steps=0.0)
    assert stale.state == "locking"
    assert stale.action in {"hold", "wait"}
    bench.see(0.0)
    assert bench.see(0.0).state == "locked"


def test_a_prediction_belongs_to_the_lens_position_of_its_frame(make_config):
    bench = Bench(make_config(), obedient=False)
    bench.axis = AxisReading(100.0, 200.0, True, LIMITS)
    decision = bench.see(700.0, lens_steps=60.0, lens_moving=True)
    assert decision.action == "wait"
    assert bench.controller.plane_um == pytest.approx(1000)


def test_retargets_in_mid_move(make_config):
    bench = Bench(make_config(), obedient=False)
    bench.axis = AxisReading(100.0, 200.0, True, LIMITS)
    decision = bench.see(1000.0, lens_steps=60.0, lens_moving=True)
    assert decision.action == "move"
    assert "retarget" in decision.reason
    assert decision.target_steps == pytest.approx(260)


def test_frames_in_motion_are_refused_where_motion_blurs_along_z(make_config):
    config = make_config(camera={"exposure_s": 0.04})
    bench = Bench(config, obedient=False)
    bench.axis = AxisReading(100.0, 200.0, True, LIMITS)
    decision = bench.see(1000.0, lens_moving=True)
    assert decision.action == "wait"
    assert "moved too far" in decision.reason
    assert bench.controller.plane_um is None


def test_a_reversal_needs_more_than_the_backlash(make_config):
    config = make_config()
    forward = Bench(config)
    forward.see(500.0)
    assert forward.see(-40.0, sigma_um=1.0).action == "hold"
    onward = Bench(config)
    onward.see(500.0)
    for _ in range(3):
        decision = onward.see(40.0, sigma_um=1.0)
    assert decision.action == "move" or onward.axis.position_steps > 100


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_prediction_that_is_no_number_is_not_used(make_config, broken):
    bench = Bench(make_config())
    decision = bench.see(broken)
    assert decision.action == "hold"
    assert "not a number" in decision.reason
    assert bench.controller.plane_um is None


def test_a_bundle_without_sigma_gets_the_rig_files(make_config):
    bench = Bench(make_config(control={"prediction_sigma_dof": 0.5}))
    bench.see(0.0, sigma_um=None)
    assert bench.controller.plane_sigma_um == pytest.approx(110, rel=0.02)


def test_out_of_range_moves_in_its_direction_by_a_bounded_step(make_config):
    decision = Bench(make_config()).see(-2500.0, in_range=False)
    assert decision.action == "move"
    assert decision.target_steps == pytest.approx(-150)
    assert "out of range" in decision.reason
    assert decision.state == "locking"


def test_never_past_a_limit(make_config):
    bench = Bench(make_config(), lens_steps=950)
    assert bench.see(1400.0).target_steps == 1000
    for _ in range(5):
        decision = bench.see(1150.0)
    assert decision.action == "hold"
    assert "limit" in decision.reason
    assert decision.state == "locking"


def test_one_outlier_moves_nothing(make_config):
    bench = Bench(make_config())
    for _ in range(10):
        bench.see(0.0)
    decision = bench.see(1400.0)
    assert decision.action == "hold"
    assert "disagrees" in decision.reason
    assert decision.state == "locked"


def test_a_lost_worm_means_hold_where_focus_was_good(make_config):
    bench = Bench(make_config())
    bench.see(500.0)
    for _ in range(5):
        bench.see(0.0)
    decisions = [bench.see(None, subject_seen=False) for _ in range(60)]
    assert {d.action for d in decisions} == {"hold"}
    assert decisions[0].state == "locked"
    assert decisions[-1].state == "lost"
    assert "worm lost: gone" in decisions[-1].reason
    assert bench.axis.position_steps == pytest.approx(100)


def test_the_last_good_place_is_the_last_one_and_not_the_first(make_config):
    bench = Bench(make_config())
    for plane_um in (500.0, 1500.0):
        for _ in range(20):
            bench.see(plane_um - bench.axis.position_steps * 5)
        assert bench.controller.state == "locked"
        for _ in range(60):
            bench.see(None, subject_seen=False)
        assert bench.controller.state == "lost"
    assert bench.axis.position_steps == pytest.approx(300)


def test_search_without_success_returns_to_the_last_good_place_and_stays(make_config):
    bench = Bench(make_config())
    bench.see(500.0)
    for _ in range(5):
        bench.see(0.0)
    visited = []
    for _ in range(200):
        decision = bench.see(math.nan, sharpness=1.0)
        visited.append(bench.axis.position_steps)
    assert decision.state == "lost"
    assert "searched once" in decision.reason
    assert bench.axis.position_steps == pytest.approx(100)
    assert min(visited) == pytest.approx(100 - 300)
    assert max(visited) == pytest.approx(100 + 300)


def test_search_ends_at_a_clear_peak(make_config):
    bench = Bench(make_config())
    for _ in range(100):
        decision = bench.see(math.nan, sharpness=100 - abs(bench.axis.position_steps + 200) / 4)
    assert decision.state == "lost"
    assert bench.axis.position_steps == pytest.approx(-200, abs=22)


def test_search_times_out(make_config):
    bench = Bench(make_config(control={"search_timeout_s": 2.0}))
    states = [bench.see(math.nan, sharpness=None).state for _ in range(100)]
    assert "searching" in states
    assert states[-1] == "lost"
    assert bench.axis.position_steps == 0


def test_sharpness_is_wanted_of_frames_exposed_where_the_search_sent_the_lens(make_config):
    bench = Bench(make_config())
    while bench.see(math.nan, sharpness=1.0).state != "searching":
        pass
    rest = bench.axis
    late = Observation(bench.now + 0.01, bench.now + 0.012, rest.position_steps, lens_moving=False)
    early = dataclasses.replace(late, exposure_start_s=bench.now - 0.01)
    wants = bench.controller.wants_sharpness
    assert wants(late, rest)
    assert not wants(early, rest)
    assert not wants(dataclasses.replace(late, lens_moving=True), rest)
    assert not wants(late, dataclasses.replace(rest, moving=True))


def test_a_usable_prediction_ends_a_search(make_config):
    bench = Bench(make_config())
    while bench.see(math.nan, sharpness=1.0).state != "searching":
        pass
    decision = bench.see(300.0)
    assert decision.state == "locking"
    later = Observation(bench.now + 0.05, bench.now + 0.052, bench.axis.position_steps, False)
    assert not bench.controller.wants_sharpness(later, bench.axis)


def test_a_fault_is_said_with_its_cause(make_config):
    bench = Bench(make_config())
    bench.axis = dataclasses.replace(bench.axis, fault="driver too hot; let it cool")
    decision = bench.see(0.0)
    assert (decision.action, decision.state) == ("fault", "fault")
    assert "too hot" in decision.reason


def test_a_far_prediction_counts_less_than_a_near_one(make_config):
    far, near = Bench(make_config()), Bench(make_config())
    far.see(1000.0, sigma_um=20)
    near.see(10.0, sigma_um=20)
    assert far.controller.plane_sigma_um > 4 * near.controller.plane_sigma_um

"""The whole loop on a rig of fakes: axis with backlash, camera with latency, noisy predictions."""

import math
import statistics

import numpy as np
import pytest

from edge.focusers import StillFocuser
from edge.loop import focus_once, loop_steps, run_autofocus
from hw.errors import AxisFault, CameraStalled


@pytest.mark.parametrize("start", [250, -250])
def test_locks_in_time_from_either_side(make_scene, start):
    times = []
    for seed in range(8):
        scene = make_scene(start)
        figures = run_autofocus(scene.rig, scene.network(seed=seed), seconds=2.0, truth=scene.truth)
        assert figures.time_to_lock_s is not None
        times.append(figures.time_to_lock_s)
        assert scene.worst_um(figures.time_to_lock_s) <= 110
    assert statistics.median(times) <= 1.2
    assert min(times) > 0.725 + 0.03


def test_stays_in_focus_on_a_tilted_drifting_plate(make_scene):
    def plane(t):
        return 40 * math.sin(t / 5) + 1.5 * t

    scene = make_scene(250, plane)
    figures = run_autofocus(scene.rig, scene.network(outlier_rate=0.03), seconds=15, truth=scene.truth)
    assert figures.time_to_lock_s <= 1.3
    assert figures.in_focus_fraction >= 0.98
    assert figures.rms_error_um < 55
    assert figures.lost_fraction == 0
    assert figures.in_focus_fraction_all < figures.in_focus_fraction


def test_hardly_moves_when_nothing_does(make_scene):
    scene = make_scene(0)
    figures = run_autofocus(scene.rig, scene.network(sigma_um=20), seconds=10)
    assert figures.moves == len(scene.axis.commands)
    assert figures.moves <= 2
    assert figures.in_focus_fraction is None


@pytest.mark.parametrize("bias_um", [100, -100])
def test_contrast_trims_the_constant_error_of_a_network(make_scene, make_config, bias_um):
    def worst_um(**control):
        scene = make_scene(150, lambda t: 2 * t, config=make_config(control=control))
        run_autofocus(scene.rig, scene.network(sigma_um=30, bias_um=bias_um), seconds=40)
        return scene.worst_um(after_s=30)

    assert worst_um(trim_every_s=0) > 100
    # A quarter of the DOF, 55 um, is how far a comparison looks to either side.
    assert worst_um(trim_every_s=1) < 55 + 40


def test_comparisons_are_few_and_stay_in_focus(make_scene, make_config):
    scene = make_scene(0, config=make_config(axis={"backlash_steps": 3}, control={"trim_every_s": 10}))
    figures = run_autofocus(scene.rig, scene.network(sigma_um=20), seconds=40, truth=scene.truth)
    # Three to begin with, and one every ten seconds: three moves each, and few others.
    assert 3 * 6 <= figures.moves <= 3 * 7 + 6
    assert figures.in_focus_fraction == 1


def test_a_jump_of_the_plane_is_followed(make_scene):
    scene = make_scene(0, lambda t: 0.0 if t < 3 else 150.0)
    run_autofocus(scene.rig, scene.network(), seconds=6)
    assert scene.worst_um(after_s=4.5) <= 110


def test_a_blind_predictor_is_lost_and_recovers(make_scene):
    scene = make_scene(100)
    focuser = scene.network(blind_from_s=2.0, blind_until_s=12.0)
    states = []
    run_autofocus(scene.rig, focuser, seconds=15, progress=lambda s: states.append(s.look.decision.state))
    assert {"locked", "lost", "searching"} <= set(states)
    assert states[-1] == "locked"
    assert scene.worst_um(after_s=14) <= 110


def test_far_out_of_range_still_comes_home(make_scene):
    scene = make_scene(700)
    figures = run_autofocus(scene.rig, scene.network(), seconds=6, truth=scene.truth)
    assert figures.time_to_lock_s is not None
    assert scene.worst_um(after_s=5) <= 110


def test_none_holds_still_and_never_locks(make_scene):
    scene = make_scene(250)
    figures = run_autofocus(scene.rig, StillFocuser(), seconds=2, truth=scene.truth)
    assert scene.axis.commands == []
    assert figures.time_to_lock_s is None
    assert figures.in_focus_fraction == 0
    assert figures.in_focus_fraction_all == 0
    assert figures.rms_error_um is None
    assert figures.rms_error_um_all == pytest.approx(1250)


def test_stage_times_are_of_the_stages_that_ran(make_scene):
    scene = make_scene(0)
    figures = run_autofocus(scene.rig, scene.network(), seconds=1)
    assert set(figures.stage_ms) == {"track", "crop", "predict", "decide"}
    assert all(0 <= s["median"] <= s["p99"] and s["mean"] > 0 for s in figures.stage_ms.values())


def test_a_stalled_camera_surfaces_and_stops_the_axis(make_scene):
    scene = make_scene(250)
    scene.camera.stalls_at_s = 0.3
    with pytest.raises(CameraStalled):
        run_autofocus(scene.rig, scene.network(), seconds=5)
    assert scene.axis.stops == 1
    assert scene.clock.now() < 5


def test_an_interrupt_stops_the_axis_in_mid_move(make_scene):
    scene = make_scene(250)

    def interrupt(step):
        if step.elapsed_s > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_autofocus(scene.rig, scene.network(), seconds=5, progress=interrupt)
    assert scene.axis.stops == 1
    assert abs(scene.axis.target_steps) > 50


def test_a_fault_of_the_axis_surfaces(make_scene):
    scene = make_scene(250)

    def break_down(step):
        if step.elapsed_s > 0.4:
            scene.axis.fault = "driver too hot; let it cool"

    with pytest.raises(AxisFault, match="too hot"):
        run_autofocus(scene.rig, scene.network(), seconds=5, progress=break_down)


def test_homes_an_axis_that_is_not(make_scene):
    scene = make_scene(0)
    scene.axis.homed = False
    next(steps := loop_steps(scene.rig, StillFocuser()))
    steps.close()
    assert scene.axis.homed


def test_a_slow_loop_sees_the_newest_frames(make_scene):
    scene = make_scene(200)
    seen = []

    def dawdle(step):
        seen.append(step)
        scene.clock.sleep(0.17)

    figures = run_autofocus(scene.rig, scene.network(), seconds=6, progress=dawdle)
    assert np.diff([s.frame.index for s in seen]).min() >= 3
    assert figures.time_to_lock_s < 2
    assert scene.worst_um(after_s=2.5) <= 110


def test_full_focus_says_whether_it_succeeded(make_scene):
    scene = make_scene(-200)
    result = focus_once(scene.rig, scene.network(), timeout_s=5)
    assert result.focused
    assert result.lens_steps == pytest.approx(0, abs=22)
    assert not scene.axis.moving

    blind = make_scene(-200)
    result = focus_once(blind.rig, blind.network(blind_from_s=0.0), timeout_s=3)
    assert not result.focused
    assert "not locked" in result.reason
    assert result.lens_steps == pytest.approx(-200)

    late = make_scene(-200)
    result = focus_once(late.rig, late.network(), timeout_s=0.5)
    assert not result.focused
    assert late.axis.commands[0][1] > -100
    assert result.lens_steps == pytest.approx(-200)
    assert not late.axis.moving


def test_a_fault_on_the_way_to_rest_is_no_success(make_scene):
    scene = make_scene(-200)

    def break_down(step):
        if step.elapsed_s >= 1.0:
            scene.axis.fault = "driver too hot; let it cool"

    with pytest.raises(AxisFault, match="too hot"):
        run_autofocus(scene.rig, StillFocuser(), seconds=1.0, progress=break_down)


def test_without_a_worm_the_network_holds_and_says_why(make_scene, make_config):
    scene = make_scene(150, config=make_config(tracking={"follow": True}))
    seen = []
    run_autofocus(scene.rig, scene.network(), seconds=3, progress=seen.append)
    assert scene.axis.commands == []
    assert seen[-1].look.decision.state == "lost"
    assert "worm" in seen[-1].look.decision.reason
    assert {step.look.offset_um for step in seen} == {None}

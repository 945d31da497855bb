import numpy as np
import pytest

from edge.contrast import HillClimb, sharpness
from edge.loop import focus_once, run_autofocus
from edge.scan import Scan, scan_positions


def climb(curve, start, step=40.0, limits=(-1000.0, 1000.0), **options):
    hill = HillClimb(start, step, 0.1 * step, limits, **options)
    visits = 0
    while not hill.record(curve(hill.target_steps)):
        visits += 1
        assert visits < 200
    return hill


@pytest.mark.parametrize("start", [-300.0, -41.0, 0.0, 13.0, 300.0])
def test_climbs_from_both_sides(start):
    hill = climb(lambda z: 1 / (1 + ((z - 20) / 44) ** 2), start)
    assert hill.best_steps == pytest.approx(20, abs=5)


def test_finds_the_best_of_discrete_planes():
    heights = [3, 5, 9, 10, 8, 7, 4, 2]
    hill = climb(lambda z: heights[int(np.clip(round(z / 50), 0, 7))], 0.0, limits=(0.0, 350.0))
    assert round(hill.best_steps / 50) == 3


def test_stays_within_the_limits():
    visited = []

    def rising(z):
        visited.append(z)
        return z

    hill = climb(rising, 900.0)
    assert hill.best_steps == 1000
    assert max(visited) == 1000


def test_recheck_follows_a_hill_that_moves():
    hill = climb(lambda z: 1 / (1 + (z / 44) ** 2), 0.0)
    for _ in range(4):
        hill.recheck()
        while not hill.record(1 / (1 + ((hill.target_steps - 60) / 44) ** 2)):
            pass
    assert hill.best_steps == pytest.approx(60, abs=14)


def test_recheck_of_a_hill_that_stands_comes_back():
    hill = climb(lambda z: 1 / (1 + (z / 44) ** 2), 100.0)
    best = hill.best_steps
    hill.recheck()
    while not hill.record(1 / (1 + (hill.target_steps / 44) ** 2)):
        pass
    assert hill.best_steps == best
    assert hill.target_steps == best


def test_scan_positions_include_both_ends_and_respect_limits():
    assert scan_positions(0, 100, 50, (-1000, 1000)) == [-50, 0, 50]
    assert scan_positions(90, 100, 30, (-1000, 100))[-1] == 100
    assert scan_positions(5, 100, 30, (5, 5)) == [5, 5]


def test_scan_knows_a_peak_from_noise():
    peak, flat = Scan([0, 1, 2, 3]), Scan([0, 1, 2, 3])
    for high, low in zip((1.0, 1.1, 3.0, 1.0), (1.0, 1.1, 1.05, 1.0), strict=True):
        peak.record(high)
        flat.record(low)
    assert peak.target_steps is None
    assert peak.sharpest_steps == 2
    assert peak.has_peak()
    assert not flat.has_peak()


def test_sharpness_falls_with_contrast():
    rng = np.random.default_rng(0)
    rough = rng.normal(0, 20, (41, 40))
    smooth = rough[1:] + rough[:-1]
    strong = np.clip(128 + smooth, 60, 255).astype(np.uint8)
    weak = np.clip(128 + smooth / 3, 0, 255).astype(np.uint8)
    assert sharpness(strong) > 5 * sharpness(weak) > 0
    assert sharpness(strong - 40) == pytest.approx(sharpness(strong), rel=0.05)


@pytest.mark.parametrize("start", [-200, 200])
def test_the_method_locks_on_the_peak(make_scene, start):
    scene = make_scene(start)
    figures = run_autofocus(scene.rig, scene.contrast(), seconds=10, truth=scene.truth)
    assert 1 < figures.time_to_lock_s < 8
    assert figures.final_steps == pytest.approx(0, abs=10)
    assert figures.in_focus_fraction > 0.95


def test_the_method_measures_only_frames_exposed_at_rest(make_scene):
    scene = make_scene(100)
    moves = []

    def watch(step):
        if step.look.decision.action == "move":
            assert not step.frame.lens_moving
            assert not moves or step.frame.exposure_start_s >= moves[-1]
            moves.append(step.now_s)

    run_autofocus(scene.rig, scene.contrast(), seconds=5, progress=watch)
    assert len(moves) > 5


def test_the_method_follows_drift(make_scene):
    scene = make_scene(100, lambda t: 4.0 * t)
    figures = run_autofocus(scene.rig, scene.contrast(), seconds=20, truth=scene.truth)
    assert figures.in_focus_fraction > 0.6
    assert scene.worst_um(after_s=19) < 220


def test_full_focus_scans_the_span(make_scene):
    scene = make_scene(-250)
    result = focus_once(scene.rig, scene.contrast(full_scan=True), timeout_s=30)
    assert result.focused
    assert result.lens_steps == pytest.approx(0, abs=10)
    targets = [target for _, target in scene.axis.commands]
    assert min(targets) == pytest.approx(-550)


def test_the_method_needs_no_worm(make_scene, make_config):
    scene = make_scene(150, config=make_config(tracking={"follow": True}))
    figures = run_autofocus(scene.rig, scene.contrast(), seconds=10)
    assert figures.time_to_lock_s is not None
    assert figures.final_steps == pytest.approx(0, abs=10)

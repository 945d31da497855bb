import numpy as np
import pytest

from calibration.measure import luminance, vollath_f5
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


@pytest.mark.parametrize("scanned", [False, True])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_climb_tells_a_hill_from_noise(scanned, level):
    def found(height, seed):
        rng = np.random.default_rng(seed)
        start = rng.uniform(-100, 100)

        def measure(z):
            return level + height / (1 + (z / 44) ** 2) + 0.03 * rng.normal()

        scan = [(z, measure(z)) for z in scan_positions(start, 600, 44, (-1000, 1000))] if scanned else []
        start = max(scan, key=lambda m: m[1])[0] if scanned else start
        hill = HillClimb(start, 44, 4.4, (-1000, 1000), scanned=scan)
        while not hill.record(measure(hill.target_steps)):
            pass
        return hill.on_hill

    assert sum(found(1.0, seed) for seed in range(100)) >= 98
    assert sum(found(0.0, seed) for seed in range(100)) <= 5


def test_one_plane_seen_often_is_no_hill():
    assert not climb(lambda z: 5.0, 0.0).on_hill


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


def noisy(scene):
    """Leave nothing in the frames but noise, new in each."""
    rng = np.random.default_rng(11)
    expose = scene.camera._expose

    def expose_noise(index, start):
        frame = expose(index, start)
        frame.pixels[:] = np.clip(128 + 20 * rng.standard_normal(frame.pixels.shape), 0, 255)
        return frame

    scene.camera._expose = expose_noise
    return scene


def test_full_focus_of_noise_fails_and_puts_the_lens_back(make_scene):
    scene = noisy(make_scene(-120))
    result = focus_once(scene.rig, scene.contrast(full_scan=True), timeout_s=60)
    assert not result.focused
    assert "noise" in result.reason
    assert result.seconds < 30
    assert result.lens_steps == pytest.approx(-120)


def test_a_run_on_noise_is_lost_and_tries_again(make_scene):
    scene = noisy(make_scene(80))
    decisions = []
    figures = run_autofocus(
        scene.rig, scene.contrast(), seconds=20, progress=lambda s: decisions.append(s.look.decision)
    )
    assert figures.time_to_lock_s is None
    assert sum(d.state == "lost" and d.action == "move" for d in decisions) >= 2
    assert {d.target_steps for d in decisions if d.state == "lost" and d.action == "move"} == {80}


@pytest.mark.parametrize("full_scan", [False, True])
def test_a_worm_lost_on_the_way_ends_at_a_good_place(make_scene, full_scan):
    scene = make_scene(-150)
    focuser = scene.contrast(full_scan=full_scan)
    subject, steps = focuser._subject, []

    def watch(step):
        steps.append(step)
        gone = 1.5 < step.elapsed_s < 6
        subject.seen, subject.note, subject._centre = not gone, "worm lost" if gone else "", (32.0, 32.0)

    run_autofocus(scene.rig, focuser, seconds=25, progress=watch)
    lost = [s for s in steps if s.look.decision.state == "lost"]
    best = max((s for s in steps if s.look.sharpness and s.elapsed_s < 6), key=lambda s: s.look.sharpness)
    place = -150 if full_scan else best.axis.position_steps
    assert lost[-1].axis.position_steps == pytest.approx(place)
    assert not lost[-1].axis.moving
    assert steps[-1].look.decision.state == "locked"
    assert scene.axis.position_steps == pytest.approx(0, abs=10)


@pytest.mark.parametrize("shape", [(384, 384, 3), (61, 97, 3), (50, 40)])
def test_sharpness_is_vollath_f5_without_the_mean(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(5)
    coarse = random.normal(140, 30, (shape[0] // 4 + 1, shape[1] // 4 + 1, *shape[2:]))
    window = np.clip(
        np.kron(coarse, np.ones((4, 4) + (1,) * (len(shape) - 2)))[: shape[0], : shape[1]], 0, 255
    )
    window = window.astype(np.uint8)
    grey = luminance(window)
    assert sharpness(window) == pytest.approx(vollath_f5(grey - grey.mean()), rel=1e-5)

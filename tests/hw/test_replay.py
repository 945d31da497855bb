import math

import numpy as np
import pytest

from hw.clock import VirtualClock
from hw.config import ReplayConfig, load_rig
from hw.errors import AxisFault, ConfigError
from hw.replay import ReplayedAxis, display_planes, open_replayed_rig
from hw.rig import open_rig
from hw.zstack import ZStack, write_stack

POSITIONS_UM = np.array([-40.0, -20.0, -10.0, 0.0, 10.0, 30.0])


@pytest.fixture
def recording(tmp_path):
    """Six grey planes, each of one level that tells which it is."""
    images = np.repeat(np.arange(0, 60, 10, dtype=np.uint8), 12).reshape(6, 3, 4)
    path = tmp_path / "a.ome.tif"
    write_stack(path, ZStack(images, POSITIONS_UM, 0.5))
    return path


@pytest.fixture
def rig(recording):
    with open_rig(load_rig("replay"), stack=recording) as opened:
        opened.axis.home()
        yield opened


def plane_of(frame):
    return int(frame.pixels[0, 0, 0]) // 10


def test_rig_takes_its_scale_from_the_stack(rig):
    config = rig.config
    assert rig.notice == "REPLAYED"
    assert (config.camera.width_px, config.camera.height_px) == (4, 3)
    assert config.optics.um_per_px == 0.5
    assert config.axis.um_per_step == pytest.approx(1.0)
    assert rig.axis.limits_steps == pytest.approx((-40, 30))
    assert config.optics.dof_um == pytest.approx(20.0), "twice the median distance between planes"
    assert config.control.search_span_um == pytest.approx(70.0)
    assert rig.axis.position_steps == pytest.approx(-40), "starts at the first plane"


def test_stack_that_knows_its_depth_of_field(tmp_path):
    path = tmp_path / "a.ome.tif"
    write_stack(path, ZStack(np.zeros((3, 4, 4), np.uint8), np.arange(3.0), notes={"dof_um": "7.5"}))
    assert open_rig(load_rig("replay"), stack=path).config.optics.dof_um == 7.5


def test_rig_that_keeps_its_own_scale(recording):
    section = ReplayConfig(stack=recording, scale_from_stack=False, start_um=10.0)
    shipped = load_rig("replay")
    rig = open_replayed_rig(shipped, section)
    assert rig.axis.um_per_step == shipped.axis.um_per_step == 5
    assert rig.axis.limits_steps == pytest.approx((-8, 6))
    assert rig.config.optics.dof_um == shipped.optics.dof_um
    assert rig.axis.position_steps == 2


@pytest.mark.parametrize(
    ("target", "plane"),
    [(-40, 0), (-30.5, 0), (-29.5, 1), (-5.5, 2), (-4.5, 3), (4, 3), (6, 4), (19, 4), (21, 5), (30, 5)],
)
def test_nearest_plane_and_no_other(rig, target, plane):
    frames = rig.camera.frames()
    rig.axis.move_to(target)
    rig.clock.sleep(5.0)
    next(frames)
    frame = next(frames)
    assert plane_of(frame) == plane
    assert frame.lens_steps == pytest.approx(target)
    assert (frame.pixels == plane * 10).all()
    assert frame.pixels.shape == (3, 4, 3)


def test_frame_shows_where_the_lens_was_at_mid_exposure(rig):
    rig.axis.move_to(30)
    seen = []
    for frame in rig.camera.frames():
        assert frame.lens_steps == pytest.approx(rig.axis.position_at(frame.mid_exposure_s))
        assert plane_of(frame) == np.abs(POSITIONS_UM - frame.lens_steps).argmin()
        seen.append(frame)
        if not rig.axis.moving and not frame.lens_moving:
            break
    assert {plane_of(f) for f in seen} == set(range(6)), "the sweep passes every plane"
    assert seen[5].lens_moving
    assert seen[-1].exposure_start_s >= seen[-2].exposure_start_s


def test_frames_come_at_the_camera_rate_after_its_latency(rig):
    camera = rig.config.camera
    frames = rig.camera.frames()
    for k in range(4):
        frame = next(frames)
        assert frame.index == k
        assert frame.exposure_start_s == pytest.approx(k / camera.fps)
        delivered = frame.exposure_start_s + camera.exposure_s + camera.latency_frames / camera.fps
        assert rig.clock.now() == pytest.approx(delivered)


def test_frames_slept_through_are_dropped(rig):
    frames = rig.camera.frames()
    first = next(frames)
    rig.clock.sleep(10.5 / rig.config.camera.fps)
    before = rig.clock.now()
    newest = next(frames)
    assert newest.index == first.index + 10
    assert rig.clock.now() == before, "it was delivered already"
    assert next(frames).index == newest.index + 1
    assert rig.clock.now() > before


def test_recording_cannot_be_written_to(rig):
    frame = next(rig.camera.frames())
    with pytest.raises(ValueError, match="read-only"):
        frame.pixels[0, 0] = 0


def test_unhomed_closed_and_past_the_limits(recording):
    rig = open_rig(load_rig("replay"), stack=recording)
    with pytest.raises(AxisFault, match="home"):
        rig.axis.move_to(0)
    rig.axis.home()
    for beyond in (-41, 31, math.nan):
        with pytest.raises(AxisFault, match="limits"):
            rig.axis.move_to(beyond)
    rig.close()
    rig.close()
    with pytest.raises(AxisFault, match="closed"):
        rig.axis.move_to(0)
    assert list(rig.camera.frames()) == []


def axis_at(start):
    config = load_rig("worm_tracker").axis
    clock = VirtualClock()
    axis = ReplayedAxis(config, clock, start)
    axis.home()
    return axis, clock, config


def test_axis_moves_as_planned_and_remembers_it():
    axis, clock, config = axis_at(0.0)
    clock.advance_to(1.0)
    axis.move_to(400)
    assert axis.moving
    assert axis.target_steps == 400
    end_s = 1.0 + 400 / config.max_speed_steps_s + config.max_speed_steps_s / config.acceleration_steps_s2
    clock.advance_to(end_s + config.settle_s / 2)
    assert axis.position_steps == 400
    assert axis.moving, "still settling"
    clock.advance_to(end_s + config.settle_s + 1e-6)
    assert not axis.moving
    assert axis.position_at(0.5) == 0
    assert axis.position_at((1.0 + end_s) / 2) == pytest.approx(200)
    assert not axis.moving_during(0.0, 1.0)
    assert axis.moving_during(0.9, 1.1)
    assert axis.moving_during(end_s + config.settle_s / 2, end_s + 5)
    assert not axis.moving_during(end_s + config.settle_s, end_s + 5)


def test_new_target_in_mid_move_and_stop():
    axis, clock, config = axis_at(0.0)
    axis.move_to(500)
    clock.sleep(0.5)
    turned_at = axis.position_steps
    axis.move_to(-100)
    assert axis.position_steps == pytest.approx(turned_at), "no jump"
    clock.sleep(0.3)
    assert axis.position_at(0.25) == pytest.approx(axis_at_time(0.25, config)), "the past does not change"
    before = axis.position_steps
    axis.stop()
    clock.sleep(1.0)
    assert not axis.moving
    braking = config.max_speed_steps_s**2 / (2 * config.acceleration_steps_s2)
    assert 0 < before - axis.position_steps <= braking + 1e-9


def axis_at_time(t, config):
    ramp_s = config.max_speed_steps_s / config.acceleration_steps_s2
    return config.max_speed_steps_s * (t - ramp_s / 2)


def test_no_move_is_no_motion():
    axis, _, _ = axis_at(3.0)
    axis.move_to(3.0)
    axis.stop()
    assert not axis.moving


def test_sixteen_bits_by_one_window():
    ramp = np.linspace(1000, 5000, 10_000).astype(np.uint16).reshape(1, 100, 100)
    images = np.concatenate([ramp, (ramp - 3000.0).clip(0) / 4 + 2800]).astype(np.uint16)
    planes = display_planes(images)
    assert planes.dtype == np.uint8
    assert planes.shape == (2, 100, 100, 3)
    levels = {int(v): set() for v in np.unique(images)}
    for source, shown in zip(images.ravel(), planes[..., 0].ravel(), strict=True):
        levels[int(source)].add(int(shown))
    assert all(len(shown) == 1 for shown in levels.values()), "one level, one grey, whatever the plane"
    assert np.ptp(planes[0]) == 255
    assert 20 < np.ptp(planes[1]) < 80, "a plane of low contrast stays so"
    assert display_planes(np.full((2, 3, 3), 7, np.uint16)).shape == (2, 3, 3, 3)


@pytest.mark.parametrize("start_um", [-41.0, 31.0])
def test_start_outside_the_recording(recording, start_um):
    with pytest.raises(ConfigError, match="outside the stack"):
        open_replayed_rig(load_rig("replay"), ReplayConfig(stack=recording, start_um=start_um))


def test_nothing_to_replay(tmp_path):
    with pytest.raises(ConfigError, match="--stack"):
        open_rig(load_rig("replay"))
    path = tmp_path / "a.ome.tif"
    write_stack(path, ZStack(np.zeros((1, 3, 3), np.uint8), np.zeros(1)))
    with pytest.raises(ConfigError, match="one plane"):
        open_rig(load_rig("replay"), stack=path)


@pytest.mark.parametrize(
    ("name", "spacing_um", "planes", "span_um"),
    [("dfnn_mitochondria_fluor", None, 18, 1.6), ("dhm_cheekcell_laser", None, 43, 1000.0)],
)
def test_one_shipped_rig_replays_recordings_of_any_scale(shared_data, name, spacing_um, planes, span_um):
    section = ReplayConfig(stack=shared_data / "stacks" / name, spacing_um=spacing_um)
    rig = open_replayed_rig(load_rig("replay"), section)
    rig.axis.home()
    low, high = rig.axis.limits_steps
    assert (high - low) * rig.axis.um_per_step == pytest.approx(span_um, rel=1e-3)
    rig.axis.move_to(high)
    seen = set()
    for frame in rig.camera.frames():
        seen.add(frame.pixels.ctypes.data)
        if not rig.axis.moving:
            break
    assert rig.clock.now() < 3.0
    assert planes / 3 < len(seen) <= planes

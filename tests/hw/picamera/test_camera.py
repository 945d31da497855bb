"""The camera of a real rig over a picamera2 without a camera: pictures, times, buffers and faults."""

import gc
import itertools
import threading
import time
from typing import Any

import numpy as np
import pytest

from hw.errors import CameraStalled, CameraUnavailable
from hw.picamera import device
from hw.picamera.device import load_picamera2


def take(camera: Any, count: int) -> list[Any]:
    return list(itertools.islice(camera.frames(), count))


# --- pictures ------------------------------------------------------------------------------------------


def test_the_picture_is_rgb_without_the_padding_of_its_rows(open_camera, scene):
    (frame,) = take(open_camera(), 1)
    assert frame.pixels.shape == scene.picture.shape
    assert np.array_equal(frame.pixels, scene.picture)


def test_the_preview_is_the_brightness_of_the_whole_field(open_camera, scene):
    (frame,) = take(open_camera(), 1)
    expected = scene.picture[::2, ::2] @ [0.299, 0.587, 0.114]
    assert frame.preview.shape == (26, 34)
    assert np.abs(frame.preview - expected).max() <= 0.5


def test_a_camera_without_a_second_stream_has_no_preview(open_camera):
    (frame,) = take(open_camera(preview_reduction=0), 1)
    assert frame.preview is None


def test_nv12_becomes_rgb_within_the_error_of_its_colours(open_camera, scene):
    (frame,) = take(open_camera(main_format="NV12"), 1)
    off = np.abs(frame.pixels.astype(int) - scene.picture)
    assert off.mean() < 1.5
    assert off.max() <= 8


def test_a_frame_shows_the_cameras_own_memory_and_cannot_be_written(open_camera):
    camera = open_camera()
    (frame,) = take(camera, 1)
    buffers = camera._device.handle.buffers
    assert any(np.shares_memory(frame.pixels, b) for b in buffers["main"])
    assert any(np.shares_memory(frame.preview, b) for b in buffers["lores"])
    with pytest.raises(ValueError, match="read-only"):
        frame.pixels[0, 0] = 0


@pytest.mark.parametrize("main_format", ["BGR888", "NV12"])
def test_kept_frames_stay_what_they_were_and_never_starve_the_camera(open_camera, scene, main_format):
    # Of an NV12 picture only the preview is on loan.
    camera = open_camera(buffers=6, main_format=main_format)
    source, kept, shown = camera.frames(), [], []
    for number in range(12):
        scene.picture = np.full_like(scene.picture, 10 + number)
        # Two more may have been under way with the picture before.
        for _ in range(3):
            frame = next(source)
        kept.append(frame)
        shown.append(int(frame.pixels[0, 0, 0]))
    assert [int(f.pixels[-1, -1, 2]) for f in kept] == shown == list(range(10, 22))
    assert [int(f.preview[-1, -1]) for f in kept] == shown
    assert camera.stalls == 0


def test_buffers_go_back_when_the_last_view_of_a_frame_is_gone(open_camera):
    camera = open_camera()
    handle = camera._device.handle
    source = camera.frames()
    corner = next(source).pixels[:4, :4]
    before = corner.copy()
    for _ in range(20):
        next(source)
    # The corner alone holds its buffer.
    assert np.array_equal(corner, before)
    camera.close()
    del corner
    source.close()
    gc.collect()
    camera._loans.settle()
    assert sorted(handle.free) == list(range(6))


# --- times and lens ------------------------------------------------------------------------------------


def test_exposure_ends_at_the_sensors_time_stamp_and_the_lens_is_asked_at_its_middle(open_camera, axis):
    camera = open_camera()
    before_s = time.monotonic()
    for frame in take(camera, 3):
        assert frame.exposure_s == pytest.approx(0.00399)
        # The stamp is 5 ms before the frame's delivery.
        assert before_s - 0.03 < frame.exposure_start_s + frame.exposure_s + 0.005 < time.monotonic()
        assert frame.lens_steps == 100 * frame.mid_exposure_s
    (start_s, end_s), frame = axis.intervals_s[-1], frame
    assert start_s == pytest.approx(frame.exposure_start_s)
    assert end_s == pytest.approx(frame.exposure_start_s + frame.exposure_s)


def test_a_rolling_shutter_puts_the_exposure_in_the_middle_row_and_motion_in_all_rows(open_camera, axis):
    axis.moving = True
    (frame,) = take(open_camera(readout_s=0.02), 1)
    ((start_s, end_s),) = axis.intervals_s
    assert frame.exposure_start_s == pytest.approx(start_s + 0.01)
    assert end_s == pytest.approx(start_s + frame.exposure_s + 0.02)
    assert frame.lens_moving


def test_a_slow_caller_gets_the_newest_frame_and_sees_the_gap(open_camera):
    source = open_camera().frames()
    first = next(source)
    time.sleep(0.5)
    asked_s = time.monotonic()
    second = next(source)
    assert asked_s - second.exposure_start_s < 0.2
    # 20 frame periods of 25 ms; a busy machine may add to them.
    passed = (second.exposure_start_s - first.exposure_start_s) * 40
    assert second.index - first.index == pytest.approx(passed, abs=1)
    assert passed > 10


# --- exposure and colours ------------------------------------------------------------------------------


def settings(camera: Any) -> dict[str, Any]:
    # A control reaches the picture some frames after it was set.
    take(camera, 8)
    return camera._device.handle._active


def test_a_fixed_exposure_is_set_from_the_start_and_white_balance_is_locked(open_camera, scene):
    camera = open_camera(analogue_gain=2.0)
    first = camera._device.handle.set[0]
    assert first["ExposureTime"] == 4000
    assert first["AnalogueGain"] == 2.0
    assert first["FrameDurationLimits"] == (25000, 25000)
    assert first["Sharpness"] == 0.0
    now = settings(camera)
    assert now["AeEnable"] is False
    assert now["AwbEnable"] is False
    assert now["ColourGains"] == pytest.approx(scene.white, rel=0.04)


def test_given_colour_gains_are_used(open_camera):
    assert settings(open_camera(colour_gains=(1.5, 1.6)))["ColourGains"] == (1.5, 1.6)


def test_auto_then_lock_keeps_the_exposure_and_finds_the_gain(open_camera):
    # The automatic exposure wants 8000 us at gain 1.
    now = settings(open_camera(exposure="auto_then_lock"))
    assert now["AeEnable"] is False
    assert now["ExposureTime"] == 4000
    assert now["AnalogueGain"] == pytest.approx(2.0, rel=0.04)


def test_auto_then_lock_shortens_the_exposure_where_the_lowest_gain_is_too_much(open_camera, scene):
    scene.brightness = 1000.0
    now = settings(open_camera(exposure="auto_then_lock"))
    assert now["AnalogueGain"] == 1.0
    assert now["ExposureTime"] == pytest.approx(1000, rel=0.04)


def test_auto_then_lock_says_when_light_is_missing(open_camera, scene, caplog):
    scene.brightness = 4000.0 * 16 * 3
    now = settings(open_camera(exposure="auto_then_lock"))
    assert now["AnalogueGain"] == 16.0
    assert "times too dark" in caplog.text


# --- what the rig file asks for, and the camera has not ------------------------------------------------


def test_a_picture_smaller_than_the_mode_is_cut_out_of_its_middle(open_camera, scene):
    scene.native = (8, 4, 4056, 3040)
    camera = open_camera(
        sensor_width_px=2 * scene.picture.shape[1], sensor_height_px=2 * scene.picture.shape[0]
    )
    assert camera._device.handle.set[0]["ScalerCrop"] == (8 + 1014, 4 + 760, 2028, 1520)


def test_both_streams_are_cropped_where_each_has_a_crop_of_its_own(open_camera, scene):
    scene.has_crops = True
    asked = open_camera()._device.handle.set[0]
    assert asked["ScalerCrops"] == [scene.native, scene.native]
    assert "ScalerCrop" not in asked


def test_a_camera_that_crops_otherwise_is_refused(open_camera, scene):
    scene.crop_error_px = 20
    with pytest.raises(CameraUnavailable, match=r"crops to .* another scale"):
        open_camera()


def test_a_mode_that_the_sensor_has_not_is_refused_with_the_nearest(open_camera, scene):
    scene.modes = [(2028, 1520)]
    with pytest.raises(CameraUnavailable, match="the nearest is 2028x1520"):
        open_camera()


def test_a_frame_rate_out_of_reach_is_refused(open_camera):
    with pytest.raises(CameraUnavailable, match=r"at most 41\.7 frames/s"):
        open_camera(fps=60)


def test_a_camera_that_cannot_be_locked_is_refused_unless_the_rig_file_says_so(open_camera, scene):
    scene.has_controls = False
    with pytest.raises(CameraUnavailable, match="nothing can be locked"):
        open_camera()
    (frame,) = take(open_camera(exposure="camera"), 1)
    assert frame.exposure_s == 0.004


def test_no_camera_and_a_camera_in_use_are_said(open_camera):
    with pytest.raises(CameraUnavailable, match="No camera number 3"):
        open_camera(number=3)
    open_camera()
    with pytest.raises(CameraUnavailable, match="Device busy"):
        open_camera()


def test_a_camera_that_sends_nothing_from_the_start_is_refused_and_released(open_camera, scene):
    scene.stalled.set()
    with pytest.raises(CameraUnavailable, match="sends no frame in 1 s"):
        open_camera()
    assert scene.open_now == 0


def test_a_missing_picamera2_names_its_package(monkeypatch):
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(device, "import_module", absent)
    with pytest.raises(CameraUnavailable, match="apt install python3-picamera2"):
        load_picamera2()


# --- stalls --------------------------------------------------------------------------------------------


def test_a_stalled_camera_is_restarted_with_the_same_exposure_and_colours(open_camera, scene, caplog):
    camera = open_camera(exposure="auto_then_lock")
    locked = camera._device.locked
    source = camera.frames()
    before = next(source)
    scene.white, scene.brightness = (3.0, 3.0), 20_000.0
    scene.stalled.set()
    repair = threading.Timer(0.4, scene.stalled.clear)
    repair.start()
    start_s = time.monotonic()
    while not camera.stalls:
        frame = next(source)
    took_s = time.monotonic() - start_s
    assert 0.3 < took_s < 2.5
    assert scene.opened == 2
    assert camera._device.locked == locked
    assert settings(camera)["ColourGains"] == locked.colour_gains
    assert settings(camera)["AeEnable"] is False
    assert frame.index - before.index == pytest.approx(took_s * 40, abs=8)
    assert "no frame for 0.3 s; restart 1" in caplog.text


def test_frames_held_over_a_restart_stay_what_they_were(open_camera, scene):
    camera = open_camera()
    source = camera.frames()
    held = next(source)
    copy = held.pixels.copy()
    scene.stalled.set()
    threading.Timer(0.4, scene.stalled.clear).start()
    while not camera.stalls:
        next(source)
    scene.picture = np.zeros_like(scene.picture)
    for _ in range(12):
        next(source)
    assert np.array_equal(held.pixels, copy)


def test_a_camera_that_stays_stalled_is_given_up(open_camera, scene):
    camera = open_camera(restarts=1, start_timeout_s=0.2)
    source = camera.frames()
    next(source)
    scene.stalled.set()
    start_s = time.monotonic()
    with pytest.raises(CameraStalled, match="after 1 restarts; check its cable"):
        for _ in source:
            pass
    assert time.monotonic() - start_s < 2.5
    assert scene.open_now == 0


def test_a_frame_from_before_a_stall_is_not_passed_off_as_new(open_camera, scene):
    camera = open_camera()
    source = camera.frames()
    next(source)
    # One more frame comes and waits; then the camera stalls while nobody looks.
    time.sleep(0.1)
    scene.stalled.set()
    time.sleep(0.6)
    threading.Timer(0.1, scene.stalled.clear).start()
    asked_s = time.monotonic()
    frame = next(source)
    assert frame.exposure_start_s > asked_s
    assert camera.stalls == 1


def test_without_restarts_a_stall_is_an_error_within_the_timeout(open_camera, scene):
    source = open_camera(restarts=0).frames()
    next(source)
    scene.stalled.set()
    start_s = time.monotonic()
    # One frame may be waiting still.
    with pytest.raises(CameraStalled, match=r"no frame for 0\.3 s"):
        for _ in source:
            pass
    assert 0.25 < time.monotonic() - start_s < 1.0


def test_a_camera_that_takes_no_buffers_back_is_a_stalled_camera(open_camera, scene):
    camera = open_camera(restarts=0)
    source = camera.frames()
    kept = [next(source) for _ in range(2)]
    scene.stalled.set()
    scene.refuses_buffers = True
    kept.clear()
    with pytest.raises(CameraStalled, match="no frame for"):
        for _ in source:
            pass


def test_a_camera_that_does_not_open_again_at_once_is_tried_again(open_camera, scene):
    camera = open_camera(restarts=2)
    source = camera.frames()
    next(source)
    scene.refuses_to_open = 1
    scene.stalled.set()
    threading.Timer(0.4, scene.stalled.clear).start()
    while not camera.stalls:
        next(source)
    assert scene.opened == 2


def test_a_driver_that_hangs_is_given_up_and_does_not_hang_the_program(open_camera, scene):
    source = open_camera(start_timeout_s=0.5).frames()
    next(source)
    scene.stalled.set()
    scene.hangs_in_close.set()
    start_s = time.monotonic()
    with pytest.raises(CameraStalled, match="its restart hangs"):
        for _ in source:
            pass
    assert time.monotonic() - start_s < 3.0
    # What the hung driver opens when it wakes up, nobody uses: it is closed again.
    scene.stalled.clear()
    scene.hangs_in_close.clear()
    deadline_s = time.monotonic() + 5
    while scene.open_now and time.monotonic() < deadline_s:
        time.sleep(0.02)
    time.sleep(0.1)
    assert scene.open_now == 0


def test_a_camera_that_ran_well_for_long_has_all_its_restarts_again(open_camera, scene):
    camera = open_camera(restarts=1, stall_timeout_s=0.15)
    source = camera.frames()
    for stalls in (1, 2):
        scene.stalled.set()
        threading.Timer(0.25, scene.stalled.clear).start()
        while camera.stalls < stalls:
            next(source)
        calm_s = time.monotonic() + 2.0
        while time.monotonic() < calm_s:
            next(source)
    assert camera.stalls == 2


# --- release -------------------------------------------------------------------------------------------


def test_closing_ends_the_frames_and_frees_the_camera(open_camera, scene):
    camera = open_camera()
    source = camera.frames()
    next(source)
    camera.close()
    camera.close()
    assert scene.open_now == 0
    with pytest.raises(CameraStalled, match="closed"):
        next(source)
    take(open_camera(), 1)


def test_closing_from_another_thread_wakes_who_waits_for_a_frame(open_camera, scene):
    camera = open_camera(stall_timeout_s=30)
    source = camera.frames()
    next(source)
    scene.stalled.set()
    closing = threading.Timer(0.2, camera.close)
    closing.start()
    start_s = time.monotonic()
    with pytest.raises(CameraStalled, match="closed"):
        for _ in source:
            pass
    assert time.monotonic() - start_s < 5
    closing.join()

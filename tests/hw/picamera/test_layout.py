"""Streams, crop and time stamps of a real camera, on paper."""

import time

import pytest

from hw.clock import VirtualClock
from hw.config import load_rig
from hw.errors import CameraUnavailable, ConfigError
from hw.picamera.config import PicameraConfig
from hw.picamera.layout import lay_out
from hw.picamera.sensor_clock import SensorClock


def test_the_reference_rig_uses_its_whole_mode():
    rig = load_rig("worm_tracker")
    layout = lay_out(rig.camera.width_px, rig.camera.height_px, rig.picamera)
    assert layout.main == layout.sensor == (2028, 1520)
    assert layout.preview == (1014, 760)
    assert layout.scaler_crop((0, 0, 4056, 3040)) == (0, 0, 4056, 3040)


def test_a_crop_keeps_one_pixel_a_pixel_of_the_mode():
    section = PicameraConfig(sensor_width_px=2028, sensor_height_px=1520, crop_x_px=100, crop_y_px=60)
    layout = lay_out(1000, 800, section)
    # Two native pixels for each of the binned mode's, either way.
    assert layout.scaler_crop((0, 0, 4056, 3040)) == (200, 120, 2000, 1600)


@pytest.mark.parametrize(
    ("size", "keys", "said"),
    [
        ((1001, 800), {}, "even"),
        ((1000, 802), {}, "preview_reduction: 2 does not divide"),
        ((1000, 800), {"sensor_width_px": 900}, "sensor_width_px"),
        ((1000, 800), {"sensor_width_px": 1200, "crop_x_px": 201}, r"at most \(200, 0\)"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(size, keys, said):
    with pytest.raises(ConfigError, match=said):
        lay_out(*size, PicameraConfig(**keys))


@pytest.mark.parametrize("source", [time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME])
def test_time_stamps_of_either_clock_reach_the_rigs_clock(source):
    # The machine was suspended for an hour.
    kernel_ns = {time.CLOCK_MONOTONIC: 50_000_000_000, time.CLOCK_BOOTTIME: 3_650_000_000_000}
    clock = VirtualClock()
    clock.advance_to(7.0)
    sensor = SensorClock(clock, kernel_ns.__getitem__)
    stamp_ns = kernel_ns[source] - 30_000_000
    assert sensor.seconds(stamp_ns) == pytest.approx(6.97)
    assert sensor.seconds(stamp_ns + 50_000_000) == pytest.approx(7.02)


def test_a_time_stamp_of_no_known_clock_is_refused():
    clock = VirtualClock()
    sensor = SensorClock(clock, lambda clock_id: 1_000_000_000_000)
    with pytest.raises(CameraUnavailable, match="no known clock"):
        sensor.seconds(1_760_000_000_000_000_000)

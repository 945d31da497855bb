"""A real rig put together: what is missing is said, and what was opened is closed again."""

import pytest

from hw import pi
from hw.config import RigConfig, load_rig
from hw.errors import CameraUnavailable, ConfigError
from hw.rig import open_rig


class DriverStub:
    """Lines that are claimed and released."""

    closed = False
    end_stop = None

    def close(self) -> None:
        self.closed = True


def test_a_rig_without_wiring_is_refused():
    rig = load_rig("worm_tracker").model_copy(update={"gpio": None})
    with pytest.raises(ConfigError, match="has no gpio section"):
        open_rig(rig)


def test_the_motor_is_released_when_the_camera_does_not_open(monkeypatch):
    driver = DriverStub()
    monkeypatch.setattr(pi, "ApartDriver", lambda config, drive: driver)

    def no_camera(*_: object) -> None:
        raise CameraUnavailable("camera 0: does not open; check its cable")

    monkeypatch.setattr(pi, "PiCamera", no_camera)
    with pytest.raises(CameraUnavailable, match="check its cable"):
        open_rig(load_rig("worm_tracker"))
    assert driver.closed


def test_only_a_real_rig_has_a_picamera_section():
    rig = load_rig("worm_tracker_sim")
    real = load_rig("worm_tracker")
    with pytest.raises(ConfigError, match="picamera is the section of a real camera"):
        open_rig(rig.model_copy(update={"picamera": real.picamera}))


def test_a_section_that_does_not_fit_the_picture_is_refused_when_the_file_is_read():
    data = load_rig("worm_tracker").model_dump()
    data["picamera"]["preview_reduction"] = 3
    with pytest.raises(ValueError, match="3 does not divide 2028x1520"):
        RigConfig.model_validate(data)

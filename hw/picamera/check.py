"""Whether the camera's library is there, and which cameras it finds."""

from typing import Any

from hw.check import Check, Status
from hw.errors import CameraUnavailable
from hw.picamera.device import load_picamera2

__all__ = ["check_picamera2"]


def check_picamera2(number: int) -> list[Check]:
    """Import picamera2 and ask it for its cameras; none is opened.

    Parameters
    ----------
    number : of the camera that the rig file asks for, `picamera.number`
    """
    try:
        library: Any = load_picamera2()
    except CameraUnavailable as error:
        seen, _, step = str(error).rpartition("; ")
        return [Check("picamera2", Status.missing, seen, step)]
    cameras = library.Picamera2.global_camera_info()
    there = Check("picamera2", Status.ok, "can be imported")
    models = ", ".join(f"{camera.get('Num', at)}: {camera.get('Model')}" for at, camera in enumerate(cameras))
    if number < len(cameras):
        return [there, Check("camera found", Status.ok, models)]
    seen = f"no camera {number}; found: {models or 'none'}"
    step = "switch the Pi off, check the camera's cable, and see 'rpicam-hello --list-cameras'"
    return [there, Check("camera found", Status.missing, seen, step)]

"""A real rig on a Raspberry Pi, put together from its rig file."""

from hw.camera_check import StillLens
from hw.clock import Clock, SystemClock
from hw.config import RigConfig
from hw.errors import ConfigError
from hw.gpio.apart import ApartDriver
from hw.picamera.camera import PiCamera
from hw.picamera.config import PicameraConfig
from hw.pump import ThreadPump
from hw.rig import AxisAlone, CameraAlone, Rig
from hw.stepper import StepperAxis

__all__ = ["open_pi_axis", "open_pi_camera", "open_pi_rig"]


def open_pi_rig(config: RigConfig) -> Rig:
    """Open the axis and the camera of a real rig, on the system's monotonic clock.

    The axis comes first: a camera needs its history, and a motor that does not answer is known sooner.

    Raises
    ------
    ConfigError
        The rig is not a real one, or its file lacks the wiring.
    GpioUnavailable, CameraUnavailable
        A library or a part of the rig is missing, or cannot do what the rig file asks.
    """
    if config.kind != "pi":
        raise ConfigError(f"rig '{config.name}' is {config.kind}: it has no camera and no motor to open")
    clock = SystemClock()
    axis = _stepper(config, clock)
    try:
        camera = PiCamera(config.camera, config.picamera or PicameraConfig(), clock, axis)
    except BaseException:
        axis.close()
        raise
    return Rig(config, clock, camera, axis)


def open_pi_axis(config: RigConfig) -> AxisAlone:
    """Open the axis of a real rig alone.

    Raises
    ------
    ConfigError, GpioUnavailable, AxisFault
        As `open_pi_rig`.
    """
    clock = SystemClock()
    return AxisAlone(clock, _stepper(config, clock))


def open_pi_camera(config: RigConfig) -> CameraAlone:
    """Open the camera of a real rig alone, as if its lens stood still.

    Raises
    ------
    CameraUnavailable
        As `open_pi_rig`.
    """
    clock = SystemClock()
    camera = PiCamera(config.camera, config.picamera or PicameraConfig(), clock, StillLens())
    return CameraAlone(config.camera, clock, camera)


def _stepper(config: RigConfig, clock: Clock) -> StepperAxis:
    """Open the motor driver, whose steps no work on a picture may hold up, and the axis on it."""
    if config.gpio is None:
        raise ConfigError(
            f"rig '{config.name}' has no gpio section, so nobody knows where its motor is wired; add one"
        )
    driver = ApartDriver(config.gpio, config.axis.drive)
    try:
        return StepperAxis(config.axis, driver, clock, ThreadPump(clock))
    except BaseException:
        driver.close()
        raise

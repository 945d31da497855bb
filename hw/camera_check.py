"""Whether a camera delivers what the rig file says: size, rate, time stamps, exposure."""

from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from hw.camera import Camera
from hw.check import Check, Status
from hw.clock import Clock
from hw.config import CameraConfig

__all__ = ["StillLens", "check_frames"]

# The rate and the exposure may be so far from the rig file's: sensors count rows.
RATE_SHARE = 0.05
EXPOSURE_SHARE = 0.1
LOST_SHARE = 0.05


class StillLens:
    """The lens of a rig whose axis is not looked at: it stands still."""

    def position_at(self, t: float) -> float:
        """Lens position in steps."""
        return 0.0

    def moving_during(self, start_s: float, end_s: float) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True, slots=True)
class Look:
    """What is remembered of a frame: sizes in px, times in s; `preview` is the size of its second picture."""

    shape: tuple[int, ...]
    preview: tuple[int, ...] | None
    index: int
    start_s: float
    exposure_s: float
    age_s: float


def check_frames(config: CameraConfig, camera: Camera, clock: Clock, seconds: float) -> list[Check]:
    """Watch a running camera for a while.

    Parameters
    ----------
    config : the rig file's `camera`
    camera, clock : of the rig
    seconds : for how long, by the rig's frame rate

    Raises
    ------
    CameraStalled
        No frame came.
    """
    count = max(5, round(seconds * config.fps))
    looks: list[Look] = []
    for frame in camera.frames():
        preview = None if frame.preview is None else frame.preview.shape
        age_s = clock.now() - frame.exposure_start_s
        looks.append(
            Look(frame.pixels.shape, preview, frame.index, frame.exposure_start_s, frame.exposure_s, age_s)
        )
        if len(looks) == count:
            break
    if len(looks) < 2:
        return [Check("frames", Status.failed, f"{len(looks)} frames came", "check the camera")]
    return [_check_picture(config, looks), _check_times(config, looks), _check_exposure(config, looks)]


def _check_picture(config: CameraConfig, looks: list[Look]) -> Check:
    name = "frames"
    passed = looks[-1].index - looks[0].index
    # By the middle of all intervals: one that is late changes nothing.
    rate = 1 / max(
        median((b.start_s - a.start_s) / max(1, b.index - a.index) for a, b in pairwise(looks)), 1e-9
    )
    lost = 1 - (len(looks) - 1) / max(passed, 1)
    shapes = {look.shape for look in looks}
    height, width = looks[0].shape[:2]
    preview = looks[0].preview
    second = "no second picture" if preview is None else f"second picture {preview[1]}x{preview[0]}"
    seen = f"{len(looks)} of {width}x{height} px, {second}, {rate:.2f} a second, {lost:.0%} lost"
    if shapes != {(config.height_px, config.width_px, 3)}:
        asked = f"{config.width_px}x{config.height_px}"
        return Check(name, Status.failed, f"{seen}; asked for {asked}", "mend camera.width_px and height_px")
    if abs(rate / config.fps - 1) > RATE_SHARE:
        return Check(name, Status.failed, f"{seen}; asked for {config.fps:g}", "lower camera.fps")
    if lost > LOST_SHARE:
        return Check(name, Status.warning, seen, "stop other programs, or lower camera.fps")
    return Check(name, Status.ok, seen)


def _check_times(config: CameraConfig, looks: list[Look]) -> Check:
    name = "time stamps"
    youngest, oldest = min(look.age_s for look in looks), max(look.age_s for look in looks)
    seen = f"frames arrive {median(look.age_s for look in looks) * 1e3:.0f} ms after their exposure began"
    seen += f" ({youngest * 1e3:.0f} to {oldest * 1e3:.0f} ms)"
    report = "update libcamera and picamera2"
    if any(b.start_s <= a.start_s or b.index <= a.index for a, b in pairwise(looks)):
        return Check(name, Status.failed, f"{seen}; they do not ascend", report)
    if youngest < 0:
        return Check(name, Status.failed, f"{seen}; some come from the future", report)
    # Exposure, the periods of latency, and one for being looked at.
    expected_s = config.exposure_s + (config.latency_frames + 2) / config.fps
    if median(look.age_s for look in looks) > expected_s:
        step = "raise camera.latency_frames to what was seen, or stop other programs"
        return Check(name, Status.warning, f"{seen}; camera.latency_frames says less", step)
    return Check(name, Status.ok, seen)


def _check_exposure(config: CameraConfig, looks: list[Look]) -> Check:
    name = "exposure"
    shortest, longest = min(look.exposure_s for look in looks), max(look.exposure_s for look in looks)
    seen = f"{shortest * 1e3:.3g} to {longest * 1e3:.3g} ms, asked for {config.exposure_s * 1e3:.3g} ms"
    if longest - shortest > EXPOSURE_SHARE * longest:
        return Check(name, Status.failed, f"{seen}: not locked", "set picamera.exposure to fixed")
    if longest > config.exposure_s * (1 + EXPOSURE_SHARE):
        return Check(
            name, Status.failed, f"{seen}: longer", "check camera.exposure_s against the sensor's modes"
        )
    return Check(name, Status.ok, f"{seen}; the same in all frames")

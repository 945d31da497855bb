"""Exposure, gain and white balance: fixed, or measured by the camera once and then locked.

A picture that gets brighter or darker by itself, or whose colours wander, changes what a network or a focus
measure sees without any change of focus. So all three stand still while the camera runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hw.picamera.config import PicameraConfig

__all__ = ["Locked", "lock_from", "measured", "settled", "start_controls"]

# The camera's own search is over when its last so many frames agree to this share.
_SETTLED_FRAMES = 5
_SETTLED_SHARE = 0.02
# The camera rounds exposure to rows and gain to the sensor's steps.
_APPLIED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Locked:
    """What stands still.

    Attributes
    ----------
    exposure_us : exposure time, microseconds
    analogue_gain : of the sensor
    colour_gains : red and blue
    missing_light : how many times brighter the camera would have liked it; 1 for enough light
    """

    exposure_us: int
    analogue_gain: float
    colour_gains: tuple[float, float]
    missing_light: float = 1.0

    def controls(self) -> dict[str, Any]:
        """Return the libcamera controls that say so."""
        return {
            "AeEnable": False,
            "ExposureTime": self.exposure_us,
            "AnalogueGain": self.analogue_gain,
            "AwbEnable": False,
            "ColourGains": self.colour_gains,
        }

    def applied(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a frame was taken with these values."""
        pairs = (
            (metadata["ExposureTime"], self.exposure_us),
            (metadata["AnalogueGain"], self.analogue_gain),
            (metadata["ColourGains"][0], self.colour_gains[0]),
            (metadata["ColourGains"][1], self.colour_gains[1]),
        )
        return all(abs(is_ - asked) <= _APPLIED_SHARE * asked for is_, asked in pairs)


def start_controls(exposure_s: float, section: PicameraConfig) -> dict[str, Any]:
    """Return the controls that a camera starts with, before anything is locked."""
    controls: dict[str, Any] = {"AeEnable": True}
    if section.exposure == "fixed":
        controls = {
            "AeEnable": False,
            "ExposureTime": round(exposure_s * 1e6),
            "AnalogueGain": section.analogue_gain,
        }
    if section.colour_gains is None:
        return controls | {"AwbEnable": True}
    return controls | {"AwbEnable": False, "ColourGains": section.colour_gains}


def measured(metadata: Mapping[str, Any]) -> bool:
    """Whether a frame's metadata say how it was exposed and how its colours were made."""
    return {"ExposureTime", "AnalogueGain", "ColourGains"} <= metadata.keys()


def settled(frames: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the camera has stopped changing brightness and colours, from the metadata of its frames."""
    last = frames[-_SETTLED_FRAMES:]
    if len(last) < _SETTLED_FRAMES:
        return False
    series = [[_brightness(m) for m in last], *([m["ColourGains"][k] for m in last] for k in (0, 1))]
    return all(max(values) - min(values) <= _SETTLED_SHARE * max(values) for values in series)


def lock_from(
    metadata: Mapping[str, Any], exposure_s: float, section: PicameraConfig, gains: tuple[float, float]
) -> Locked:
    """Choose what to lock.

    Parameters
    ----------
    metadata : of a frame with everything settled
    exposure_s : longest exposure that the rig allows, s
    section : the rig file's
    gains : lowest and highest analogue gain of the sensor

    Returns
    -------
    Locked
        With `auto_then_lock` as bright as the frame: at the rig's exposure with more or less gain, shorter
        where even the lowest gain is too much.
    """
    exposure_us, gain, missing = round(exposure_s * 1e6), section.analogue_gain, 1.0
    if section.exposure == "auto_then_lock":
        brightness = _brightness(metadata)
        gain = min(max(brightness / exposure_us, gains[0]), gains[1])
        exposure_us = min(exposure_us, round(brightness / gain))
        missing = max(1.0, brightness / (exposure_us * gain))
    red, blue = section.colour_gains or metadata["ColourGains"]
    return Locked(exposure_us, gain, (float(red), float(blue)), missing)


def _brightness(metadata: Mapping[str, Any]) -> float:
    """Exposure in microseconds times all gains."""
    digital = metadata.get("DigitalGain", 1.0)
    return float(metadata["ExposureTime"] * metadata["AnalogueGain"] * digital)

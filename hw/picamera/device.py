"""One opened picamera2 camera: configured as the rig file says, running, its exposure locked."""

import logging
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from hw.config import CameraConfig
from hw.errors import CameraUnavailable
from hw.picamera.config import PicameraConfig
from hw.picamera.exposure import Locked, lock_from, measured, settled, start_controls
from hw.picamera.layout import Layout, Rectangle
from hw.picamera.newest import NewestRequest, give_back

__all__ = ["Device", "load_picamera2"]

_log = logging.getLogger(__name__)

# The ISP moves the edges of a crop by a pixel or two of the sensor.
_CROP_TOLERANCE_PX = 4
# How far the camera's frame period may be from the rig file's.
_PERIOD_TOLERANCE = 0.02


def load_picamera2() -> Any:
    """Import picamera2.

    Raises
    ------
    CameraUnavailable
        It is not installed, or libcamera's bindings that it needs are not.
    """
    try:
        return import_module("picamera2")
    except ImportError as error:
        raise CameraUnavailable(
            f"camera: picamera2 cannot be imported ({error}); install it with 'sudo apt install "
            "python3-picamera2' on Raspberry Pi OS, and make the environment with --system-site-packages"
        ) from error


class Device:
    """A running camera whose newest frame waits in `newest`.

    Parameters
    ----------
    library : picamera2, or what stands in for it
    camera, section : the rig file's `camera` and `picamera`
    layout : streams and crop
    locked : exposure and colours of an earlier run, to go on with; None to find them

    Raises
    ------
    CameraUnavailable
        No such camera, or it cannot do what the rig file asks.
    """

    def __init__(
        self,
        library: Any,
        camera: CameraConfig,
        section: PicameraConfig,
        layout: Layout,
        locked: Locked | None = None,
    ) -> None:
        self._camera, self._section, self._layout = camera, section, layout
        self.locked = locked
        try:
            self.handle = library.Picamera2(section.number)
        # picamera2 raises IndexError, RuntimeError and libcamera's own errors for a camera that is not there,
        # is in use, or does not start.
        except Exception as error:
            raise CameraUnavailable(
                f"camera {section.number}: does not open ({_first_cause(error)}); check its cable, and that "
                "no other program uses it"
            ) from error
        self.newest = NewestRequest()
        try:
            self._configure()
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def streams(self) -> dict[str, Any]:
        """Configuration of the streams as the camera runs them: format, size and stride of each."""
        return dict(self.handle.camera_configuration())

    @property
    def _preview_format(self) -> str:
        """Brightness apart from colours; what scales pictures in a Pi 4 or older gives nothing else."""
        return "YUV420" if self._section.main_format == "BGR888" else self._section.main_format

    def close(self) -> None:
        """Stop and release the camera."""
        self.newest.close()
        self.handle.pre_callback = None
        self.handle.close()

    def _configure(self) -> None:
        section, layout = self._section, self._layout
        preview = layout.preview
        try:
            configuration = self.handle.create_preview_configuration(
                main={"size": layout.main, "format": section.main_format},
                lores=None if preview is None else {"size": preview, "format": self._preview_format},
                raw=None,
                sensor={"output_size": layout.sensor},
                buffer_count=section.buffers,
                # The newest frame waits here; a second one waiting in picamera2 is a buffer less.
                queue=False,
                display=None,
                encode=None,
            )
            self.handle.configure(configuration)
        except RuntimeError as error:
            raise CameraUnavailable(
                f"camera {section.number}: refuses pictures of {layout.main[0]}x{layout.main[1]} px "
                f"({error}); see 'rpicam-hello --list-cameras' for its modes"
            ) from error
        self._check_streams()
        self.handle.set_controls(self._controls())

    def _check_streams(self) -> None:
        """Refuse what the camera changed: libcamera adjusts what it cannot do, and says so to nobody."""
        streams = self.streams
        asked: dict[str, tuple[tuple[int, int], str]] = {
            "main": (self._layout.main, self._section.main_format)
        }
        if self._layout.preview is not None:
            asked["lores"] = (self._layout.preview, self._preview_format)
        for name, (size, format_) in asked.items():
            given = streams[name]
            if tuple(given["size"]) != size or given["format"] != format_:
                raise CameraUnavailable(
                    f"camera {self._section.number}: gives {_named(given['size'], given['format'])} "
                    f"for the {name} stream instead of {_named(size, format_)}; change camera.width_px and "
                    "height_px, or picamera.main_format and preview_reduction"
                )
        mode = (streams.get("sensor") or {}).get("output_size")
        if mode is not None and tuple(mode) != self._layout.sensor:
            raise CameraUnavailable(
                f"camera {self._section.number}: has no mode of {self._layout.sensor[0]}x"
                f"{self._layout.sensor[1]} px, the nearest is {mode[0]}x{mode[1]}; set "
                "picamera.sensor_width_px and sensor_height_px to one of its own"
            )

    def _controls(self) -> dict[str, Any]:
        """Return the controls to start with, of those that the camera has."""
        known = self.handle.camera_controls
        period_us = round(1e6 / self._camera.fps)
        controls: dict[str, Any] = {}
        if "FrameDurationLimits" in known:
            shortest = known["FrameDurationLimits"][0]
            if shortest > period_us * (1 + _PERIOD_TOLERANCE):
                raise CameraUnavailable(
                    f"camera {self._section.number}: at most {1e6 / shortest:.3g} frames/s in this mode; "
                    f"lower camera.fps ({self._camera.fps:g})"
                )
            controls["FrameDurationLimits"] = (period_us, period_us)
        # What the camera sharpens or smooths is no measure of focus any more.
        controls |= {k: v for k, v in (("Sharpness", 0.0), ("NoiseReductionMode", 0)) if k in known}
        if (crop := self._crop()) is not None:
            # Where each output has a crop of its own, that one wins.
            both = [crop] * (1 if self._layout.preview is None else 2)
            controls |= {"ScalerCrops": both} if "ScalerCrops" in known else {"ScalerCrop": crop}
        if self._section.exposure == "camera":
            return controls
        missing = {"AeEnable", "ExposureTime", "AnalogueGain", "AwbEnable", "ColourGains"} - set(known)
        if missing:
            raise CameraUnavailable(
                f"camera {self._section.number}: has no control {', '.join(sorted(missing))}, so nothing can "
                "be locked; only 'picamera.exposure: camera' is possible with it"
            )
        if self.locked is not None:
            return controls | self.locked.controls()
        return controls | start_controls(self._camera.exposure_s, self._section)

    def _crop(self) -> Rectangle | None:
        """Crop in native pixels; None for a camera that cannot crop and need not."""
        limits = self.handle.camera_controls.get("ScalerCrop")
        if limits is not None:
            return self._layout.scaler_crop(limits[1])
        if self._layout.sensor != self._layout.main:
            raise CameraUnavailable(
                f"camera {self._section.number}: cannot crop; leave out picamera.sensor_width_px"
            )
        return None

    def _start(self) -> None:
        self.handle.pre_callback = self.newest.put
        self.handle.start(show_preview=False)
        metadata = next(iter(self._metadata(self._section.start_timeout_s)))
        if self._section.exposure != "camera" and self.locked is None:
            metadata = self._lock()
        self._check_running(metadata)

    def _lock(self) -> Mapping[str, Any]:
        """Let the camera settle, lock what it found, and return the first frame taken that way."""
        section, history = self._section, list[Mapping[str, Any]]()
        fixed = section.exposure == "fixed" and section.colour_gains is not None
        for metadata in self._metadata(section.auto_timeout_s):
            # The first frames after a start may say nothing of it yet.
            if not measured(metadata):
                continue
            history.append(metadata)
            if fixed or settled(history):
                break
        else:
            if not history:
                raise CameraUnavailable(
                    f"camera {section.number}: does not say how it exposed; update libcamera, or set "
                    "picamera.exposure to camera"
                )
            _log.warning(
                "camera: exposure and white balance have not settled in %g s; locked as they are",
                section.auto_timeout_s,
            )
        low, high, *_ = self.handle.camera_controls["AnalogueGain"]
        self.locked = lock_from(history[-1], self._camera.exposure_s, section, (low, high))
        if self.locked.missing_light > 1.1:
            _log.warning(
                "camera: %.1f times too dark at %g s and the highest gain; more light, or a longer exposure",
                self.locked.missing_light,
                self._camera.exposure_s,
            )
        self.handle.set_controls(self.locked.controls())
        for metadata in self._metadata(section.start_timeout_s):
            if measured(metadata) and self.locked.applied(metadata):
                return metadata
        raise CameraUnavailable(
            f"camera {section.number}: does not keep to {self.locked.exposure_us} us at gain "
            f"{self.locked.analogue_gain:.2f}; see the limits in 'wormfocus doctor'"
        )

    def _check_running(self, metadata: Mapping[str, Any]) -> None:
        """Refuse a camera that runs otherwise than asked, as one frame's metadata shows."""
        crop, asked = metadata.get("ScalerCrop"), self._crop()
        if (
            crop is not None
            and asked is not None
            and any(abs(a - b) > _CROP_TOLERANCE_PX for a, b in zip(crop, asked, strict=True))
        ):
            raise CameraUnavailable(
                f"camera {self._section.number}: crops to {tuple(crop)} instead of {asked}, which is another "
                "scale than optics.um_per_px; choose another picamera.sensor_width_px"
            )

    def _metadata(self, seconds: float) -> Iterator[Mapping[str, Any]]:
        """Yield the metadata of frames as they come, for so long; at least one, or an error."""
        end = time.monotonic() + seconds
        count = 0
        while count == 0 or time.monotonic() < end:
            request = self.newest.take(seconds)
            if request is None:
                if count == 0:
                    raise self._mute(seconds)
                return
            try:
                metadata = request.get_metadata()
            finally:
                give_back(request)
            count += 1
            yield metadata

    def _mute(self, seconds: float) -> CameraUnavailable:
        return CameraUnavailable(
            f"camera {self._section.number}: starts, but sends no frame in {seconds:g} s; check its cable"
        )


def _named(size: tuple[int, int], format_: str) -> str:
    return f"{size[0]}x{size[1]} px {format_}"


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__

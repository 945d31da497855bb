"""A picamera2 without a camera: its threads, requests, padded buffers and metadata, and its faults.

Only what the real one (0.3.38) does is here: a request goes back to the camera when its last user has
released it, a camera without free buffers sends nothing, controls reach the picture some frames after they
were set, what the camera cannot do is adjusted without a word, and a stall is silent.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from hw.clock import SystemClock
from hw.config import CameraConfig
from hw.picamera.camera import PiCamera
from hw.picamera.config import PicameraConfig

# Rows of neither stream end on a multiple of the buffers' alignment.
WIDTH, HEIGHT = 68, 52

# Frames between setting a control and the first picture taken with it.
CONTROL_DELAY_FRAMES = 3
ALIGNMENT = 64


class Scene:
    """What stands before the camera, and what is wrong with the camera; shared by all that open it.

    Attributes
    ----------
    picture : (H, W, 3) uint8, RGB, as large as the main stream
    stalled : no frames come although the camera runs
    hangs_in_close : closing does not return while set
    refuses_to_open : opening fails this many times
    refuses_buffers : libcamera has stopped behind picamera2's back, and takes no buffer back
    brightness : exposure in microseconds times gain that the automatic exposure aims at
    """

    def __init__(self, picture: np.ndarray) -> None:
        self.picture = picture
        self.stalled = threading.Event()
        self.hangs_in_close = threading.Event()
        self.refuses_to_open = 0
        self.refuses_buffers = False
        self.brightness = 8000.0
        self.white = (1.8, 2.2)
        self.gains = (1.0, 16.0)
        self.shortest_frame_us = 24_000
        self.has_controls = True
        self.has_crops = False
        self.crop_error_px = 0
        self.modes = [(4056, 3040), (2028, 1520), (WIDTH, HEIGHT), (2 * WIDTH, 2 * HEIGHT)]
        self.native = (0, 0, 4056, 3040)
        self.clock = time.CLOCK_MONOTONIC
        self.opened = 0
        self.open_now = 0
        self.closed_cameras: list[Picamera2] = []
        self.lock = threading.Lock()


class CompletedRequest:
    def __init__(self, camera: "Picamera2", slot: int, metadata: dict[str, Any]) -> None:
        self._camera, self.slot, self._metadata = camera, slot, metadata
        self._lock = threading.Lock()
        self._uses = 1

    def acquire(self) -> None:
        with self._lock:
            if self._uses == 0:
                raise RuntimeError("CompletedRequest: acquiring lock with ref_count 0")
            self._uses += 1

    def release(self) -> None:
        with self._lock:
            self._uses -= 1
            if self._uses < 0:
                raise RuntimeError("CompletedRequest: lock now has negative ref_count")
            if self._uses == 0:
                if self._camera.scene.refuses_buffers:
                    raise RuntimeError("Failed to queue request: Permission denied")
                self._camera.free.append(self.slot)

    def get_metadata(self) -> dict[str, Any]:
        return dict(self._metadata)

    def buffer(self, stream: str) -> np.ndarray:
        return self._camera.buffers[stream][self.slot]


class MappedArray:
    def __init__(
        self, request: CompletedRequest, stream: str, reshape: bool = True, write: bool = True
    ) -> None:
        assert not reshape, "not needed here"
        self._buffer = request.buffer(stream)

    def __enter__(self) -> "MappedArray":
        self.array = np.frombuffer(memoryview(self._buffer), np.uint8)
        return self

    def __exit__(self, *_: object) -> None:
        del self.array


class Picamera2:
    """One opened camera; `scene` is set by `library`."""

    scene: Scene

    def __init__(self, number: int = 0) -> None:
        with self.scene.lock:
            if number > 0:
                raise RuntimeError(f"No camera number {number} found")
            if self.scene.refuses_to_open > 0:
                self.scene.refuses_to_open -= 1
                raise RuntimeError("Camera __init__ sequence did not complete.")
            if self.scene.open_now:
                raise RuntimeError("Camera __init__ sequence did not complete.") from RuntimeError(
                    "Device busy"
                )
            self.scene.open_now += 1
            self.scene.opened += 1
        self.pre_callback = None
        self.free: list[int] = []
        self.buffers: dict[str, list[np.ndarray]] = {}
        self.set: list[dict[str, Any]] = []
        self._running = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self._active: dict[str, Any] = {
            "AeEnable": True,
            "AwbEnable": True,
            "FrameDurationLimits": (33333, 33333),
        }
        self._coming: list[tuple[int, dict[str, Any]]] = []
        self._frame = 0

    @property
    def camera_controls(self) -> dict[str, tuple[Any, Any, Any]]:
        scene = self.scene
        if not scene.has_controls:
            return {"FrameDurationLimits": (scene.shortest_frame_us, 1_000_000, None)}
        controls = {
            "FrameDurationLimits": (scene.shortest_frame_us, 1_000_000, None),
            "ExposureTime": (60, 600_000, 20_000),
            "AnalogueGain": (*scene.gains, 1.0),
            "ColourGains": (0.0, 32.0, None),
            "AeEnable": (False, True, None),
            "AwbEnable": (False, True, None),
            "Sharpness": (0.0, 16.0, 1.0),
            "NoiseReductionMode": (0, 4, 0),
            "ScalerCrop": ((0, 0, 64, 64), scene.native, scene.native),
        }
        return controls | ({"ScalerCrops": controls["ScalerCrop"]} if scene.has_crops else {})

    def create_preview_configuration(self, main, lores, raw, sensor, buffer_count, queue, display, encode):
        assert raw is None
        return {"main": main, "lores": lores, "sensor": sensor, "buffer_count": buffer_count}

    def configure(self, configuration: dict[str, Any]) -> None:
        count = configuration["buffer_count"]
        final: dict[str, Any] = {}
        for name in ("main", "lores"):
            stream = configuration[name]
            if stream is None:
                continue
            (width, height), format_ = stream["size"], stream["format"]
            row = width * 3 if format_ == "BGR888" else width
            stride = -(-row // ALIGNMENT) * ALIGNMENT
            rows = height if format_ == "BGR888" else height * 3 // 2
            # What lies in the padding is whatever was there before.
            self.buffers[name] = [np.full(rows * stride, 199, np.uint8) for _ in range(count)]
            final[name] = {
                "format": format_,
                "size": (width, height),
                "stride": stride,
                "framesize": rows * stride,
            }
        wanted = configuration["sensor"]["output_size"]
        mode = min(self.scene.modes, key=lambda m: abs(m[0] - wanted[0]) + abs(m[1] - wanted[1]))
        final["sensor"] = {"output_size": mode, "bit_depth": 12}
        self._configuration = final
        self.free = list(range(count))

    def camera_configuration(self) -> dict[str, Any]:
        return self._configuration

    def set_controls(self, controls: dict[str, Any]) -> None:
        for name in controls:
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        self.set.append(dict(controls))
        if self._running:
            self._coming.append((self._frame + CONTROL_DELAY_FRAMES, dict(controls)))
        else:
            self._active |= controls

    def start(self, show_preview: bool) -> None:
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        while self.scene.hangs_in_close.is_set():
            time.sleep(0.01)
        if self._closed:
            return
        self._closed, self._running = True, False
        if self._thread is not None:
            self._thread.join()
        with self.scene.lock:
            self.scene.open_now -= 1
            self.scene.closed_cameras.append(self)

    def _run(self) -> None:
        while self._running:
            time.sleep(self._active["FrameDurationLimits"][0] * 1e-6)
            if self.scene.stalled.is_set() or not self.free:
                continue
            self._frame += 1
            while self._coming and self._coming[0][0] <= self._frame:
                self._active |= self._coming.pop(0)[1]
            slot = self.free.pop(0)
            request = CompletedRequest(self, slot, self._metadata())
            self._expose(slot)
            if (callback := self.pre_callback) is not None:
                callback(request)
            request.release()

    def _metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "SensorTimestamp": time.clock_gettime_ns(self.scene.clock) - 5_000_000,
            "FrameDuration": self._active["FrameDurationLimits"][0],
        }
        if not self.scene.has_controls:
            return metadata
        # The automatic exposure closes in on its aim from frame to frame.
        share = 1.0 if not self._active["AeEnable"] else 1 + 0.5**self._frame
        exposure, gain = self._active.get("ExposureTime", 20_000), self._active.get("AnalogueGain", 1.0)
        if self._active["AeEnable"]:
            exposure, gain = 16_000, self.scene.brightness * share / 16_000
        colours = self._active.get("ColourGains", (1.0, 1.0))
        if self._active["AwbEnable"]:
            colours = tuple(g * (1 + 0.5**self._frame) for g in self.scene.white)
        crop = self._active.get("ScalerCrop", self.scene.native)
        crop = (crop[0] + self.scene.crop_error_px, *crop[1:])
        if self._frame == 1:
            # The first frame is out before anything was measured.
            return metadata
        return metadata | {
            "ExposureTime": int(exposure) - int(exposure) % 19,
            "AnalogueGain": gain,
            "DigitalGain": 1.0,
            "ColourGains": colours,
            "ScalerCrop": self._active["ScalerCrops"][0] if "ScalerCrops" in self._active else crop,
        }

    def _expose(self, slot: int) -> None:
        """Write the picture into the buffers, row by row with the padding left alone."""
        for name, stream in self._configuration.items():
            if name not in self.buffers:
                continue
            (width, height), stride = stream["size"], stream["stride"]
            step = self.scene.picture.shape[0] // height
            picture = self.scene.picture[::step, ::step].astype(np.float64)
            rows = self.buffers[name][slot].reshape(-1, stride)
            if stream["format"] == "BGR888":
                # DRM counts from the highest byte of a little-endian word: in memory, red comes first.
                rows[:, : width * 3] = picture.astype(np.uint8).reshape(height, -1)
                continue
            # JPEG's full-range BT.601 (ITU-T T.871).
            red, green, blue = np.moveaxis(picture, 2, 0)
            luma = 0.299 * red + 0.587 * green + 0.114 * blue
            rows[:height, :width] = np.rint(luma)
            if stream["format"] == "NV12":
                colours = np.stack([128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402], axis=2)
                quarter = colours.reshape(height // 2, 2, width // 2, 2, 2).mean(axis=(1, 3))
                rows[height:, :width] = np.rint(quarter).reshape(height // 2, width)


class Library:
    """Stands in for the module."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.Picamera2 = type("Picamera2", (Picamera2,), {"scene": scene})
        self.MappedArray = MappedArray


class RecordingAxis:
    """A lens at 100 steps per second, which calls itself moving in the intervals given."""

    def __init__(self) -> None:
        self.asked_s: list[float] = []
        self.intervals_s: list[tuple[float, float]] = []
        self.moving = False

    def position_at(self, t: float) -> float:
        self.asked_s.append(t)
        return 100 * t

    def moving_during(self, start_s: float, end_s: float) -> bool:
        self.intervals_s.append((start_s, end_s))
        return self.moving


@pytest.fixture
def scene() -> Scene:
    rng = np.random.default_rng(5)
    # Smooth, so that half the resolution of colours in NV12 loses little.
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    channels = [128 + 80 * np.sin(x / 20 + k) * np.cos(y / 15 - k) for k in range(3)]
    picture = np.stack(channels, axis=2) + rng.uniform(-0.4, 0.4, (HEIGHT, WIDTH, 3))
    return Scene(np.rint(picture).astype(np.uint8))


@pytest.fixture
def axis() -> RecordingAxis:
    return RecordingAxis()


@pytest.fixture
def open_camera(scene: Scene, axis: RecordingAxis) -> Iterator[Callable[..., PiCamera]]:
    """Open a camera on the scene; keyword arguments are keys of `camera` and of `picamera`."""
    opened: list[PiCamera] = []

    def open_(**keys: Any) -> PiCamera:
        camera = {"width_px": WIDTH, "height_px": HEIGHT, "fps": 40, "exposure_s": 0.004, "latency_frames": 2}
        camera["stall_timeout_s"] = 0.3
        section = {"start_timeout_s": 1.0, "auto_timeout_s": 2.0, "restart_timeout_s": 0.5}
        for key, value in keys.items():
            (camera if key in CameraConfig.model_fields else section)[key] = value
        made = PiCamera(
            CameraConfig.model_validate(camera),
            PicameraConfig.model_validate(section),
            SystemClock(),
            axis,
            library=Library(scene),
        )
        opened.append(made)
        return made

    yield open_
    scene.hangs_in_close.clear()
    for camera in opened:
        camera.close()
    assert scene.open_now == 0

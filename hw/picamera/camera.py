"""The camera of a rig on a Raspberry Pi."""

import atexit
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from hw.axis import LensHistory
from hw.clock import Clock
from hw.config import CameraConfig
from hw.errors import CameraStalled, CameraUnavailable
from hw.frame import Frame
from hw.picamera.buffers import BufferLoans, luma_of, rgb_of
from hw.picamera.config import PicameraConfig
from hw.picamera.device import Device, load_picamera2
from hw.picamera.layout import lay_out
from hw.picamera.newest import give_back
from hw.picamera.sensor_clock import SensorClock

__all__ = ["PiCamera"]

_log = logging.getLogger(__name__)

# The camera needs this many buffers to itself, and one waits to be looked at.
_CAMERA_BUFFERS = 4
# Restarts are forgotten when the camera has run for this many stall timeouts since.
_FORGIVEN_AFTER = 10


class PiCamera:
    """Frames of a camera driven by picamera2, stamped with the lens position at mid-exposure.

    Opening starts the camera and locks exposure and colours. A camera that stops sending frames is restarted
    with the same exposure and colours, a bounded number of times.

    Parameters
    ----------
    camera, section : the rig file's `camera` and `picamera`
    clock : the rig's
    axis : knows where the lens was
    library : picamera2; imported when None

    Raises
    ------
    CameraUnavailable
        No library, no camera, or one that cannot do what the rig file asks.
    """

    def __init__(
        self,
        camera: CameraConfig,
        section: PicameraConfig,
        clock: Clock,
        axis: LensHistory,
        library: Any = None,
    ) -> None:
        self._camera, self._section = camera, section
        self._layout = lay_out(camera.width_px, camera.height_px, section)
        self._axis = axis
        self._library = load_picamera2() if library is None else library
        self._sensor_clock = SensorClock(clock)
        self._stamp_ns: int | None = None
        self._index = -1
        self._restarts = 0
        self._restarted_s = -math.inf
        self.stalls = 0
        self._device: Device | None = None
        self._use(Device(self._library, camera, section, self._layout))

    def frames(self) -> Iterator[Frame]:
        """Yield frames, the newest each time.

        A frame's pixels are the camera's own memory where that can be, and read-only. Its index counts frame
        periods, so that lost frames and restarts show as a gap.

        Raises
        ------
        CameraStalled
            When no frame arrives within the rig file's `camera.stall_timeout_s` in spite of
            `picamera.restarts` restarts, or the camera is closed.
        """
        while (device := self._device) is not None:
            self._loans.settle()
            request = device.newest.take(self._camera.stall_timeout_s)
            if request is None:
                # Closed from another thread, or stalled.
                if self._device is not None:
                    self._recover(device)
                continue
            if time.monotonic() - self._restarted_s > _FORGIVEN_AFTER * self._camera.stall_timeout_s:
                self._restarts = 0
            try:
                frame = self._frame(request)
            finally:
                give_back(request)
            yield frame
            # Nothing here may keep the buffers of a frame that the caller has let go.
            del frame
        raise CameraStalled("camera: closed; open the rig again")

    def close(self) -> None:
        """Stop and release the camera; closing twice is fine."""
        device, self._device = self._device, None
        if device is not None and not _finishes(device.close, self._section.restart_timeout_s):
            self._abandon(device)
            _log.error(
                "camera: does not close within %g s; it stays taken until this program ends",
                self._section.restart_timeout_s,
            )

    def _use(self, device: Device) -> None:
        self._device = device
        self._streams = device.streams
        limit = self._section.buffers - _CAMERA_BUFFERS
        self._loans = BufferLoans(self._library.MappedArray, limit)

    def _frame(self, request: Any) -> Frame:
        metadata = request.get_metadata()
        stamp_ns = int(metadata["SensorTimestamp"])
        exposure_s = metadata.get("ExposureTime", self._camera.exposure_s * 1e6) * 1e-6
        # The stamp is of the first row's readout, which ends its exposure; the others follow one by one.
        first_row_s = self._sensor_clock.seconds(stamp_ns) - exposure_s
        readout_s = self._section.readout_s
        start_s = first_row_s + readout_s / 2
        names = ["main"] if self._layout.preview is None else ["main", "lores"]
        picture, *second = self._loans.borrow(request, names)
        preview = luma_of(second[0], self._streams["lores"]) if second else None
        return Frame(
            rgb_of(picture, self._streams["main"]),
            self._next_index(stamp_ns),
            start_s,
            exposure_s,
            self._axis.position_at(start_s + exposure_s / 2),
            self._axis.moving_during(first_row_s, first_row_s + exposure_s + readout_s),
            preview,
        )

    def _next_index(self, stamp_ns: int) -> int:
        passed = 1
        if self._stamp_ns is not None:
            passed = max(1, round((stamp_ns - self._stamp_ns) * 1e-9 * self._camera.fps))
        self._stamp_ns = stamp_ns
        self._index += passed
        return self._index

    def _recover(self, old: Device) -> None:
        """Restart a stalled camera, or give it up."""
        self.stalls += 1
        timeout_s = self._camera.stall_timeout_s
        if self._restarts >= self._section.restarts:
            self.close()
            raise CameraStalled(
                f"camera: no frame for {timeout_s:g} s, after {self._restarts} restarts; check its cable and "
                "power, and start again"
            )
        self._restarts += 1
        self._restarted_s = time.monotonic()
        _log.warning("camera: no frame for %g s; restart %d", timeout_s, self._restarts)
        renewed: list[Device] = []
        failed: list[CameraUnavailable] = []
        given_up = threading.Event()

        def restart() -> None:
            old.close()
            try:
                device = Device(self._library, self._camera, self._section, self._layout, old.locked)
            except CameraUnavailable as error:
                failed.append(error)
                return
            renewed.append(device)
            if given_up.is_set():
                device.close()

        limit_s = self._section.restart_timeout_s + self._section.start_timeout_s
        if not _finishes(restart, limit_s):
            given_up.set()
            self._device = None
            self._abandon(old)
            raise CameraStalled(
                f"camera: no frame for {timeout_s:g} s, and its restart hangs since {limit_s:g} s; end the "
                "program, and switch the Pi off and on if that does not help"
            )
        if failed:
            _log.warning("%s", failed[0])
            # The closed camera has no frames: the next stall comes at once, and is the next try.
            return
        self._use(renewed[0])
        _log.warning("camera: runs again after %.1f s", time.monotonic() - self._restarted_s)

    @staticmethod
    def _abandon(device: Device) -> None:
        """Keep a camera that hangs from hanging the program's end as well."""
        atexit.unregister(device.handle.close)


def _finishes(work: Callable[[], None], limit_s: float) -> bool:
    """Do work that may hang in a driver, in a thread of its own; its error is raised here.

    Returns
    -------
    bool
        False when it has not ended by the limit.
    """
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="camera-driver", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        return False
    if errors:
        raise errors[0]
    return True

"""Checks of `hw.picamera` on the real picamera2 and libcamera; run in the machine by camera.sh.

Prints one line a check, with its figures, and ends with status 1 at the first that fails.
"""

import gc
import itertools
import logging
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import picture

PICTURE = picture.write("/run/pictures")

# libcamera reads the pictures when it is first asked for its cameras.
import picamera2  # noqa: E402
from virtual_camera import FPS, HEAP, LIBRARY  # noqa: E402

from edge.focusers import ContrastFocuser  # noqa: E402
from edge.loop import loop_steps  # noqa: E402
from edge.track import WormTracker  # noqa: E402
from hw.clock import SystemClock  # noqa: E402
from hw.config import load_rig  # noqa: E402
from hw.errors import CameraStalled, CameraUnavailable  # noqa: E402
from hw.picamera.camera import PiCamera  # noqa: E402
from hw.pump import ThreadPump  # noqa: E402
from hw.rig import Rig  # noqa: E402
from hw.simulation.config import SimulatedAxisConfig  # noqa: E402
from hw.simulation.driver import SimulatedStepDriver  # noqa: E402
from hw.stepper import StepperAxis  # noqa: E402

RIG = load_rig(Path(__file__).with_name("rig.yaml"))
CLOCK = SystemClock()
DRIVER = SimulatedAxisConfig(
    start_offset_steps=0, backlash_steps=0, safe_speed_steps_s=5000, missed_share=0.5, shake_um=0
)


class Records(logging.Handler):
    """What the camera says, with the time of it."""

    def __init__(self):
        super().__init__()
        self.said = []

    def emit(self, record):
        self.said.append((time.monotonic(), record.getMessage()))
        print("   log:", record.getMessage())


RECORDS = Records()
logging.getLogger("hw").addHandler(RECORDS)


def new_axis():
    axis = StepperAxis(
        RIG.axis,
        SimulatedStepDriver(RIG.axis.drive, DRIVER, CLOCK, np.random.default_rng(0)),
        CLOCK,
        ThreadPump(CLOCK),
    )
    axis.confirm_position(0)
    return axis


def new_camera(axis, **changes):
    section = RIG.picamera.model_copy(update=changes)
    return PiCamera(RIG.camera, section, CLOCK, axis, library=LIBRARY)


def check_colours(frame):
    assert frame.pixels.shape == (RIG.camera.height_px, RIG.camera.width_px, 3), frame.pixels.shape
    assert frame.pixels.dtype == np.uint8
    width, height = picture.FIELD
    worst = 0.0
    for number in range(len(picture.COLOURS)):
        # Away from the edges, over which JPEG and the halved resolution of colours run.
        inner = np.s_[8 : height - 8, number * width + 8 : (number + 1) * width - 8]
        seen, shown = (image[inner].reshape(-1, 3).mean(0) for image in (frame.pixels, PICTURE))
        worst = max(worst, float(np.abs(seen - shown).max()))
    whole = float(np.abs(frame.pixels.astype(int) - PICTURE).mean())
    assert worst < 2.0, f"a field's colour is off by {worst:.2f} levels"
    assert whole < 2.0, f"the picture is off by {whole:.2f} levels on the average"
    return f"{frame.pixels.shape}, fields within {worst:.2f} levels, {whole:.2f} on the average"


def check_preview(frame):
    width, height = RIG.camera.width_px // 2, RIG.camera.height_px // 2
    assert frame.preview is not None
    assert frame.preview.shape == (height, width), frame.preview.shape
    grey = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    off = float(np.abs(frame.preview.astype(int) - small).mean())
    assert off < 2.0, f"the preview is off by {off:.2f} levels"
    return f"{frame.preview.shape}, {off:.2f} levels off on the average"


def check_times(frames, taken_s):
    stamps = [f.exposure_start_s for f in frames]
    assert all(b > a for a, b in itertools.pairwise(stamps)), stamps
    assert all(b.index > a.index for a, b in itertools.pairwise(frames))
    ages = [taken - (f.exposure_start_s + f.exposure_s) for f, taken in zip(frames, taken_s, strict=True)]
    # Three frame periods: one in the camera, one waiting for picamera2's thread, one waiting for us.
    assert all(0 <= age < 3 / FPS + 0.5 for age in ages), ages
    return f"{len(frames)} frames, {min(ages) * 1e3:.0f} to {max(ages) * 1e3:.0f} ms old when taken"


def check_lens(frames, axis):
    for frame in frames:
        assert frame.lens_steps == axis.position_at(frame.mid_exposure_s)
    moving = sum(f.lens_moving for f in frames)
    positions = [f.lens_steps for f in frames]
    assert moving > 0, "no frame was taken while the lens moved"
    assert min(positions) < 40 < max(positions), positions
    return (
        f"{moving} of {len(frames)} frames while the lens moved, {min(positions):.0f} to {max(positions):.0f}"
    )


def check_tracker(frame):
    tracker = WormTracker(RIG.tracking, RIG.optics.um_per_px, 1 / RIG.camera.fps)
    seen = tracker.track(frame.preview, scale=frame.pixels.shape[1] / frame.preview.shape[1])
    assert seen.state == "tracked", seen
    off = float(np.hypot(*np.subtract(seen.centre_px, picture.WORM_CENTRE)))
    assert off < 10, f"the worm is {off:.1f} px from where it was drawn"
    return f"worm found {off:.1f} px from where it was drawn, score {seen.score:.2f}"


def check_loop(rig):
    steps = list(itertools.islice(loop_steps(rig, ContrastFocuser(rig.config)), 5))
    boxes = [step.look.box for step in steps if step.look.box is not None]
    assert boxes, "the loop looked at nothing"
    x, y = boxes[-1].centre
    assert abs(x - picture.WORM_CENTRE[0]) < 40, boxes[-1]
    assert abs(y - picture.WORM_CENTRE[1]) < 40, boxes[-1]
    return f"5 turns of the loop, window around the worm: {tuple(boxes[-1])}"


def starve(camera):
    """Keep every buffer that the camera fills: no more frames come, and nobody says anything."""
    stolen, put = [], camera._device.handle.pre_callback

    def steal(request):
        request.acquire()
        stolen.append(request)
        put(request)

    camera._device.handle.pre_callback = steal
    return stolen


def break_down(camera):
    """Stop libcamera behind picamera2's back, whose thread ends with an error."""
    camera._device.handle.camera.stop()


def check_stall(camera, stall):
    frames = camera.frames()
    before_stalls = camera.stalls
    before = next(frames)
    copy = before.pixels.copy()
    RECORDS.said.clear()
    held = stall(camera)
    # Frames that were complete by then may still come.
    last_s = time.monotonic()
    while True:
        frame = next(frames)
        if RECORDS.said:
            break
        last_s = time.monotonic()
    noticed_s, back_s = RECORDS.said[0][0] - last_s, time.monotonic() - last_s
    assert "no frame for" in RECORDS.said[0][1], RECORDS.said
    assert noticed_s < 2.0, f"noticed after {noticed_s:.2f} s"
    check_colours(frame)
    missed = frame.index - before.index
    assert missed > RIG.camera.stall_timeout_s * FPS * 0.8, missed
    assert np.array_equal(before.pixels, copy), "a frame held over the restart has changed"
    for _ in range(5):
        check_colours(next(frames))
    assert camera.stalls == before_stalls + 1
    del held
    return (
        f"{stall.__name__}: noticed {noticed_s:.2f} s after the last frame, next frame {back_s:.2f} s after "
        f"it, index +{missed}"
    )


def check_giving_up(axis):
    camera = new_camera(axis, restarts=0)
    frames = camera.frames()
    next(frames)
    held = starve(camera)
    last_s, said = time.monotonic(), ""
    try:
        for _ in frames:
            last_s = time.monotonic()
    except CameraStalled as error:
        took_s, said = time.monotonic() - last_s, str(error)
    assert "check its cable" in said
    assert took_s < 2.0 + RIG.picamera.restart_timeout_s, took_s
    del held
    return f"CameraStalled {took_s:.2f} s after the last frame, the camera's release included"


def check_kept_frames(camera):
    """Far more frames are kept than the camera has buffers."""
    frames = camera.frames()
    kept = [next(frames) for _ in range(3 * RIG.picamera.buffers)]
    for frame in kept:
        check_colours(frame)
    shared = sum(np.may_share_memory(a.pixels, b.pixels) for a, b in itertools.combinations(kept, 2))
    assert shared == 0
    assert camera.stalls == 0
    return f"{len(kept)} frames kept with {RIG.picamera.buffers} buffers"


def check_busy(axis):
    try:
        new_camera(axis)
    except CameraUnavailable as error:
        return str(error)
    raise AssertionError("one camera was opened twice")


def check_release(axis):
    gc.collect()
    counts = []
    for _ in range(3):
        camera = new_camera(axis)
        next(camera.frames())
        camera.close()
        camera.close()
        gc.collect()
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[2] <= counts[1], f"open files after each: {counts}"
    return f"opened and closed three times, open files after each: {counts}"


def report(check, *arguments):
    start = time.monotonic()
    said = check(*arguments)
    print(
        f"ok {check.__name__.removeprefix('check_')}: {said}  [{time.monotonic() - start:.1f} s]", flush=True
    )


def main():
    print("cameras:", picamera2.Picamera2.global_camera_info())
    print("buffers:", "the kernel's DMA heap" if HEAP.exists() else "ordinary memory", flush=True)
    axis = new_axis()
    camera = new_camera(axis)
    source, frames, taken_s = camera.frames(), [], []
    axis.move_to(80)
    for _ in range(16):
        frames.append(next(source))
        taken_s.append(CLOCK.now())
    report(check_colours, frames[-1])
    report(check_preview, frames[-1])
    report(check_times, frames, taken_s)
    report(check_lens, frames, axis)
    report(check_tracker, frames[-1])
    frames.clear()
    report(check_kept_frames, camera)
    report(check_loop, Rig(RIG, CLOCK, camera, axis))
    report(check_stall, camera, starve)
    report(check_stall, camera, break_down)
    camera.close()
    report(check_giving_up, axis)
    report(check_release, axis)
    axis.close()
    print("all camera checks passed")


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        logging.exception("FAILED")
        sys.stdout.flush()
        os._exit(1)

"""How long an image takes to come to rest after a move of the lens, seen in the images themselves."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.acquire import end_of_move_s, frames_from, move_and_rest, run_up_steps
from calibration.dataset import SettleRecord
from calibration.measure import DEFAULT_MEASURE, MEASURES
from hw.config import RigConfig
from hw.errors import AxisFault, CameraStalled
from hw.frame import Frame
from hw.rig import Rig

__all__ = [
    "NotMeasurable",
    "Settle",
    "change_settles",
    "in_words",
    "measure_settle",
    "move_steps",
    "settle_record",
    "sharpest",
]

MOVES = 5
"""Moves that are watched; the camera's beat meets each of them in another phase."""

MOVE_DOF = 3.0
"""Length of such a move, DOF: far enough to be seen beside a crawling worm; no plane is approached faster."""

FRAMES = 32
"""Frames watched after a move; the second half of them says what no change looks like, so that settle times
up to the length of the first half are found."""

LEAST_WATCH_S = 1.0
"""They are watched for so long at least, s."""

STANDS_OUT = 2.5
"""A change stands out when it is so many times the largest of an image at rest."""

LEAST = 0.001
"""And by this share of the move, since few frames say little about their deviation."""

LIMIT = 0.95
"""Pixels that the move changed by more than this share of all count as those: they may be the subject's."""

LEVELS = 0.05
"""Variance of a picture's pixel that is never fallen below, squared grey levels."""

UNSEEN = 0.06
"""Where that is more than this share of the move, the move was not seen well enough."""

_UNSEEN = (
    "a move of the lens does not stand out from noise and from what comes after it; try where something is "
    "sharp and lies still"
)

LOOKS = 9
"""Planes of a stack that are looked at to find where the settle time can be measured."""

WIDTH_PX = 640
"""Images are compared at this width or somewhat more: less noise, and a stack of them is no load."""


class NotMeasurable(Exception):
    """The images do not say when the lens rests; the message says why."""


@dataclass(frozen=True)
class Settle:
    """A measured settle time.

    Attributes
    ----------
    settle_s : from the motor's last step to the first exposure that differs no more from the next than
        images at rest do, up to a frame too long: the second longest of the moves, since the longest may be
        the subject's doing
    moves : number of moves that it comes from, more than half of those made
    frame_s : time between two frames
    resolves_um : a lens that moves by this from one frame to the next would have been noticed, um
    """

    settle_s: float
    moves: int
    frame_s: float
    resolves_um: float


@dataclass(frozen=True, eq=False)
class _Look:
    """A frame, shrunk at once: a camera has only so many buffers to lend."""

    start_s: float
    picture: NDArray[np.float32]


def settle_record(rig: Rig, positions_steps: NDArray[np.float64]) -> SettleRecord:
    """Measure a rig's settle time where it is sharp, or say why the rig file's has to do.

    Parameters
    ----------
    rig : open and homed
    positions_steps : of the planes of a stack, among some of which the sharpest is looked for

    Raises
    ------
    AxisFault, CameraStalled
        As `acquire_stack`.
    """
    low, high = rig.axis.limits_steps
    low += run_up_steps(rig.config)
    far, fallback = move_steps(rig.config), rig.config.axis.settle_s
    if high - low < far:
        reason = "the axis's travel is too short for moves of three depths of field"
        return SettleRecord(settle_s=fallback, source="rig file", reason=reason)
    some = np.unique(np.linspace(0, len(positions_steps) - 1, LOOKS).round().astype(int))
    # Sharpness is flat at its peak: the moves begin there and lead down its side.
    start = min(max(sharpest(rig, positions_steps[some]), low), high - far)
    try:
        settle = measure_settle(rig, start)
    except NotMeasurable as error:
        return SettleRecord(settle_s=fallback, source="rig file", reason=str(error))
    return SettleRecord(
        settle_s=round(settle.settle_s, 4),
        source="measured",
        resolves_um=round(settle.resolves_um, 3),
        frame_s=round(settle.frame_s, 4),
        moves=settle.moves,
    )


def in_words(settle: SettleRecord) -> str:
    """Return a line that tells a person how long is waited, and why."""
    if settle.source == "measured":
        return (
            f"settle time measured on {settle.moves} moves: {settle.settle_s * 1000:.0f} ms (frames "
            f"{settle.frame_s or 0:g} s apart; {settle.resolves_um:g} um from one to the next would show)"
        )
    return f"settle time not measured, {settle.settle_s * 1000:.0f} ms by the rig file: {settle.reason}"


def measure_settle(rig: Rig, low_steps: float) -> Settle:
    """Move the lens up again and again, and see when the image comes to rest.

    The moves begin at `low_steps`, three DOF each, approached as the planes of a stack are. A subject that
    moves of itself is no hindrance as long as it moves all the time: what counts is the change other than
    that of the later frames.

    Parameters
    ----------
    rig : open and homed, the lens somewhere
    low_steps : where the moves begin; `move_steps` above it must lie within the limits, and the run-up below

    Returns
    -------
    Settle

    Raises
    ------
    NotMeasurable
        The image does not change with the lens, or never comes to rest.
    AxisFault, CameraStalled
        As `acquire_stack`.
    """
    high_steps = low_steps + move_steps(rig.config)
    run_up = run_up_steps(rig.config)
    frames = rig.camera.frames()
    frame_s = 1 / rig.config.camera.fps
    watch_s = max(LEAST_WATCH_S, FRAMES * frame_s)
    waits, shares, reasons = [], [], []
    for number in range(MOVES):
        if run_up > 0 or number:
            move_and_rest(rig, low_steps - run_up)
        move_and_rest(rig, low_steps)
        (start,) = frames_from(rig, frames, rig.clock.now())
        before = _small(start.pixels)
        rig.axis.move_to(high_steps)
        seen = _watch(rig, frames, watch_s)
        stop_s = end_of_move_s(rig.axis, seen[0].start_s, rig.clock.now())
        after = [look for look in seen if look.start_s >= stop_s]
        try:
            first, share = _judge(before, [look.picture for look in after])
        except NotMeasurable as error:
            reasons.append(str(error))
            continue
        waits.append(after[first].start_s - stop_s)
        shares.append(share)
    if len(waits) <= MOVES // 2:
        raise NotMeasurable(reasons[-1])
    length_um = move_steps(rig.config) * rig.axis.um_per_step
    return Settle(sorted(waits)[-2], len(waits), frame_s, float(np.median(shares)) * length_um)


def _judge(before: NDArray[np.float32], pictures: list[NDArray[np.float32]]) -> tuple[int, float]:
    """Return the first picture of a lens at rest, and the share of the move that would have been noticed."""
    # Along what the move changed, noise averages out over all pixels; those that change at other times too,
    # because the subject moves there, count for little.
    stack = np.stack(pictures)
    steps = np.diff(stack, axis=0)
    way = np.median(stack[len(stack) // 2 :], axis=0) - before
    most = np.quantile(np.abs(way), LIMIT)
    way = np.clip(way, -most, most) / (np.square(steps).mean(axis=0) + LEVELS)
    energy = float((way * np.clip(stack[-1] - before, -most, most)).sum())
    if energy <= 0:
        raise NotMeasurable(_UNSEEN)
    changes = np.tensordot(steps, way, axes=2).astype(np.float64) / energy
    first, threshold, floor = change_settles(changes)
    if threshold + abs(floor) > UNSEEN:
        raise NotMeasurable(_UNSEEN)
    # A shake to the side is no part of the way, but changes the image all the same.
    shakes = np.square(steps).mean(axis=(1, 2), dtype=np.float64)
    return max(first, change_settles(shakes, LEAST * float(shakes.max()))[0]), threshold


def move_steps(config: RigConfig) -> float:
    """Return the length of the moves that are watched, in steps."""
    return MOVE_DOF * config.optics.dof_um / config.axis.um_per_step


def sharpest(rig: Rig, positions_steps: NDArray[np.float64]) -> float:
    """Visit lens positions and return the one with the sharpest image, where moves show most.

    Raises
    ------
    AxisFault, CameraStalled
        As `acquire_stack`.
    """
    frames, measure = rig.camera.frames(), MEASURES[DEFAULT_MEASURE]
    scores = []
    for position in positions_steps:
        move_and_rest(rig, float(position))
        (frame,) = frames_from(rig, frames, rig.clock.now())
        scores.append(measure(frame.pixels))
    return float(positions_steps[int(np.argmax(scores))])


def change_settles(changes: NDArray[np.float64], least: float = LEAST) -> tuple[int, float, float]:
    """Find from where on a series of changes is like its second half.

    Parameters
    ----------
    changes : (N,) from each frame to the next
    least : what never stands out; by default for changes along the move, as a share of it

    Returns
    -------
    first : index from which on no change stands out
    threshold : by how much a change stands out
    floor : the usual change
    """
    late = changes[len(changes) // 2 :]
    floor = float(np.median(late))
    threshold = max(STANDS_OUT * float(np.abs(late - floor).max()), least)
    early = changes[: len(changes) // 2]
    standing = np.flatnonzero(np.abs(early - floor) > threshold)
    return (int(standing[-1]) + 1 if len(standing) else 0), threshold, floor


def _watch(rig: Rig, frames: Iterator[Frame], seconds: float) -> list[_Look]:
    """Return all frames from now until so long after the lens rests."""
    seen: list[_Look] = []
    # Ten times what the way takes at full speed, and ten seconds, are enough for any move.
    travel_s = abs(rig.axis.target_steps - rig.axis.position_steps) / rig.config.axis.max_speed_steps_s
    give_up_s = rig.clock.now() + seconds + 10 * (travel_s + 1)
    rests_s = None
    for frame in frames:
        if rig.axis.fault is not None:
            raise AxisFault(rig.axis.fault)
        seen.append(_Look(frame.exposure_start_s, _small(frame.pixels)))
        if rests_s is None and not rig.axis.moving:
            rests_s = rig.clock.now()
        if rests_s is not None and frame.exposure_start_s >= rests_s + seconds:
            return seen
        if rig.clock.now() > give_up_s:
            break
    raise CameraStalled(
        f"the camera did not see the lens at rest for {seconds:g} s in time; check it with 'wormfocus doctor'"
    )


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    factor = max(1, pixels.shape[1] // WIDTH_PX)
    size = (max(1, pixels.shape[1] // factor), max(1, pixels.shape[0] // factor))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)

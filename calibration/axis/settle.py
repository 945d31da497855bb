"""Settle time: how long after a move the image still shakes.

The camera's frames come on a beat of their own, tens of ms apart, and a lens settles within one of them. So
the same short move is made many times, each at another moment of the beat; every frame says whether the image
stood still at one time after a move, and all of them together say when it came to rest. Still is what frames
of a lens at rest for long look like, up to their noise.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.acquire import end_of_move_s
from calibration.axis.bench import Bench
from calibration.robust import robust_sigma
from hw.errors import StackError

__all__ = ["Settling", "measure_settling", "settled_after"]

# The move ends where the target is sharp, and a shake changes most.
MOVE_DOF = 0.1
LEAST_MOVE_STEPS = 4
# Frames of a lens at rest for long.
STILL_FRAMES = 24
STILL_AFTER_S = 1.0
FIRST_WATCH_S = 0.3
LONGEST_WATCH_S = 3.0
# A frame moved when it differs from the picture at rest by this many deviations more than still frames do.
THRESHOLD_SIGMAS = 6.0
# A frame of a lens that shakes shows it in so many cases, one of a lens at rest looks like it in so few.
SEEN_SHAKING, SEEN_STILL = 0.9, 0.01
# Without this many frames that moved soon after a move there is nothing to see.
FEWEST_SHAKING = 3


@dataclass(frozen=True)
class Settling:
    """What the frames say.

    Attributes
    ----------
    settle_s : time from the end of a move until the image stood still; 0 when it never shook
    low_s, high_s : between the last frame that shook and the first that did not, half an exposure either way
    after_s : (N,) time from the end of a move to mid-exposure of each frame
    change : (N,) mean squared difference of each from the picture at rest, still frames' median taken as 1
    threshold : above which a frame moved
    moves : made
    """

    settle_s: float
    low_s: float
    high_s: float
    after_s: NDArray[np.float64]
    change: NDArray[np.float64]
    threshold: float
    moves: int


def measure_settling(bench: Bench, focus_steps: float, rng: np.random.Generator, moves: int = 30) -> Settling:
    """Watch the target settle after many short moves.

    Parameters
    ----------
    bench : with a target
    focus_steps : where it is sharp
    rng : says at which moments of the camera's beat the moves begin
    moves : number of them

    Raises
    ------
    StackError
        The image does not come to rest within three seconds.
    """
    camera, clock = bench.rig.config.camera, bench.rig.clock
    away = focus_steps - max(LEAST_MOVE_STEPS, round(MOVE_DOF * bench.dof_steps))
    bench.creep(away - bench.run_up_steps)
    bench.creep(focus_steps)
    bench.say("watching the target at rest")
    still = [bench.halved(frame) for frame in bench.look(STILL_FRAMES, extra_rest_s=STILL_AFTER_S)]
    rest, changes = _at_rest(still)
    level = float(np.median(changes))
    spread = robust_sigma(changes - level)
    threshold = 1 + THRESHOLD_SIGMAS * max(spread / level, 0.01)
    watch_s = FIRST_WATCH_S
    # Spread evenly over the beat, in random order.
    phases = (rng.permutation(moves) + rng.uniform(size=moves)) / moves
    after: list[float] = []
    change: list[float] = []
    for number, phase in enumerate(phases, 1):
        bench.say(f"short move {number} of {moves}")
        # Gently, for the lens has to come back to where it was.
        bench.creep(away - bench.run_up_steps)
        bench.creep(away)
        clock.sleep(float(phase) / camera.fps)
        command_s = clock.now()
        bench.go(focus_steps)
        end_s = end_of_move_s(bench.rig.axis, command_s, clock.now())
        seen: list[tuple[float, float]] = []
        # What was exposed since the end is still to come, or being delivered.
        for frame in bench.watch(math.ceil((LONGEST_WATCH_S + 1) * camera.fps)):
            since_s = frame.mid_exposure_s - end_s
            if since_s >= 0:
                seen.append((since_s, _difference(bench.halved(frame), rest) / level))
            if since_s >= watch_s:
                break
        after += [since_s for since_s, _ in seen]
        change += [moved for _, moved in seen]
        # The picture must be the old one again at the end, or the lens is still on its way.
        if seen[-1][1] > threshold:
            watch_s *= 2
            if watch_s > LONGEST_WATCH_S:
                raise StackError(
                    f"the image does not come to rest within {LONGEST_WATCH_S:g} s of a move; look for what "
                    "shakes the rig, or for a lens that creeps"
                )
    times, values = np.array(after), np.array(change)
    low, high = settled_after(times, values > threshold)
    half = camera.exposure_s / 2
    return Settling((low + high) / 2, max(0.0, low - half), high + half, times, values, threshold, moves)


def settled_after(after_s: NDArray[np.float64], moved: NDArray[np.bool_]) -> tuple[float, float]:
    """Bracket the time at which frames stop to show a shake.

    The most likely time, where frames before it show a shake with probability `SEEN_SHAKING` and frames after
    it with `SEEN_STILL`: one frame shaken by a door does not move it.

    Parameters
    ----------
    after_s : (N,) times of frames
    moved : (N,) whether each shows a shake

    Returns
    -------
    low, high : seconds, of the frames before and after; both 0 where nothing ever shook
    """
    order = np.argsort(after_s)
    t, shaken = after_s[order], moved[order]
    if shaken.sum() < FEWEST_SHAKING:
        return 0.0, 0.0
    before = np.where(shaken, math.log(SEEN_SHAKING), math.log(1 - SEEN_SHAKING))
    behind = np.where(shaken, math.log(SEEN_STILL), math.log(1 - SEEN_STILL))
    likelihood = np.concatenate([[0.0], np.cumsum(before - behind)])
    count = int(likelihood.argmax())
    if count == 0:
        return 0.0, 0.0
    low = float(t[count - 1])
    return low, float(t[count]) if count < len(t) else low


def _at_rest(still: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Mean picture of every second frame, and the difference of the others from it."""
    rest = np.mean(still[::2], axis=0).astype(np.float32)
    return rest, np.array([_difference(image, rest) for image in still[1::2]])


def _difference(image: NDArray[np.float32], rest: NDArray[np.float32]) -> float:
    return float(np.square(image - rest).mean())

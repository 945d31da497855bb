"""The classical baseline: climb the hill of a focus measure, coarse to fine.

A focus measure has no sign: only moving the lens tells on which side of focus it is. The search here is the
coarse-to-fine hill climb of the passive autofocus literature (Subbarao and Tyan, IEEE PAMI 20:864, 1998;
He, Zhou and Hong, IEEE Trans. Consumer Electronics 49:257, 2003), with the re-checking that a moving
subject asks for.
"""

from collections.abc import Generator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["HillClimb", "sharpness"]

# Each level divides the step by this and looks this many steps to either side of the best place so far.
SHRINK = 3.0
NEIGHBOURS = 2
# A coarse climb goes on past this many positions without improvement, for noise makes small dips.
PATIENCE = 2
# A re-check believes in a better place only when it is better by this share.
CLEARLY_BETTER = 1.01
# Von Neumann's ratio above which what was climbed is noise: 2 for white noise, towards 0 for a smooth hill.
# Climbs on recorded stacks, which may see six different planes only, measure up to 0.88.
MAX_ROUGHNESS = 0.9
# F5 is below zero by noise alone: a peak must be higher than this many times the depth below zero.
PEAK_TO_NOISE = 4.0
# A peak this many times the median, of measurements all above zero, may be too narrow to look smooth.
TALL = 2.0
# Fewer different measurements than this cannot tell a hill from noise.
MIN_MEASURED = 5


def sharpness(pixels: NDArray[np.uint8]) -> float:
    """Vollath's F5 of a window, higher is sharper, in squared grey levels.

    The mean is taken away first: F5's sum over pairs of rows has one row fewer than it subtracts, which would
    let the brightness of the window into the measure.
    """
    # `vollath_f5` of the `luminance`, to some millionths, in a tenth of the time: a run computes it often.
    light = pixels.astype(np.float32)
    grey = np.asarray(cv2.cvtColor(light, cv2.COLOR_RGB2GRAY)) if light.ndim == 3 else light
    grey -= cv2.mean(grey)[0]
    return float(np.vdot(grey[:-1], grey[1:])) / grey.size


class HillClimb:
    """Climb to the sharpest lens position, one measurement at a time.

    Ask for `target_steps`, go there, `record` what was measured, until `converged`. Afterwards `recheck`
    tests whether the hill has moved. The steps of the procedure are a generator, so that they can be read
    in the order in which they happen.

    Parameters
    ----------
    start_steps : where the lens is
    step_steps : first, coarse step; it should not exceed the width of the peak
    finest_steps : the climb ends at the first step below this
    limits_steps : lowest and highest lens position, inclusive
    scanned : (position, sharpness) of a scan that has already found the neighbourhood: the coarse climb is
        skipped then
    """

    def __init__(
        self,
        start_steps: float,
        step_steps: float,
        finest_steps: float,
        limits_steps: tuple[float, float],
        *,
        scanned: Sequence[tuple[float, float]] = (),
    ) -> None:
        self._step = step_steps
        self._finest = finest_steps
        self._limits = limits_steps
        self._direction = 1.0
        self._score = 0.0
        self._best_score = -np.inf
        self._best = start_steps
        self._tied = [start_steps]
        self._measured = list(scanned)
        self.converged = False
        self._plan = self._climb(start_steps, refine_only=bool(scanned))
        self.target_steps = next(self._plan)

    @property
    def best_steps(self) -> float:
        """Sharpest position so far."""
        return self._best

    @property
    def best_sharpness(self) -> float:
        """Sharpness at `best_steps` when it was last measured there."""
        return float(self._best_score)

    @property
    def on_hill(self) -> bool:
        """Whether the last climb found a hill, and not just the highest of measurements full of noise.

        Sorted by position, the measurements of a hill change little from one to the next; those of noise
        change as much as they ever do (von Neumann, Ann. Math. Stat. 12:367, 1941). This needs no estimate
        of the noise, which a recording, the same at every visit, would not give.
        """
        scores = np.array([score for _, score in sorted(self._measured)])
        # A recording shows one plane at several positions; seen again, it says nothing about smoothness.
        scores = scores[np.append(True, np.diff(scores) != 0)]
        if len(scores) < MIN_MEASURED:
            return False
        roughness = np.square(np.diff(scores)).sum() / np.square(scores - scores.mean()).sum()
        tall = scores.min() > 0 and scores.max() > TALL * np.median(scores)
        above_noise = scores.max() > -PEAK_TO_NOISE * scores.min()
        return bool(above_noise and (tall or roughness <= MAX_ROUGHNESS))

    def record(self, score: float) -> bool:
        """Note the sharpness measured at `target_steps`, choose the next target; return `converged`."""
        self._score = score
        self._measured.append((self.target_steps, score))
        try:
            self.target_steps = next(self._plan)
        except StopIteration:
            self.converged = True
            self.target_steps = self._best
        return self.converged

    def recheck(self) -> None:
        """Test one place beside the best, on the other side each time; climb if it is clearly better."""
        self.converged, self._measured = False, []
        self._plan = self._look_beside()
        self.target_steps = next(self._plan)

    def restart(self) -> None:
        """Climb again from the best place, because the subject has changed."""
        self.converged, self._measured = False, []
        self._plan = self._climb(self._best, refine_only=False)
        self.target_steps = next(self._plan)

    def _climb(self, start: float, *, refine_only: bool) -> Generator[float, None, None]:
        yield start
        self._best, self._best_score, self._tied = start, self._score, [start]
        if not refine_only:
            improved = yield from self._run(start, self._step, PATIENCE)
            if not improved:
                self._direction = -self._direction
                yield from self._run(start, self._step, PATIENCE)
        yield from self._refine()

    def _run(self, start: float, step: float, patience: int) -> Generator[float, None, bool]:
        """Walk in the present direction until nothing gets better; return whether anything did."""
        position, failures, improved = start, 0, False
        while failures < patience:
            ahead = self._clamp(position + self._direction * step)
            if ahead == position:
                break
            position = ahead
            yield position
            if self._take(position):
                failures, improved = 0, True
            else:
                failures += 1
        return improved

    def _refine(self) -> Generator[float, None, None]:
        """Look around the best place with ever smaller steps, and end on the best."""
        step = self._step / SHRINK
        while step >= self._finest:
            centre = self._best
            # Ascending, so that backlash is taken up once and not at every measurement.
            for k in range(-NEIGHBOURS, NEIGHBOURS + 1):
                position = self._clamp(centre + k * step)
                if k != 0 and position != centre:
                    yield position
                    self._take(position)
            step /= SHRINK
        # Where several places are equally sharp, stand in the middle of them.
        self._best = (min(self._tied) + max(self._tied)) / 2
        yield self._best
        self._best_score = self._score

    def _look_beside(self) -> Generator[float, None, None]:
        yield self._best
        self._best_score = self._score
        step = self._step / SHRINK
        before, reference = self._best, self._best_score
        self._direction = -self._direction
        beside = self._clamp(before + self._direction * step)
        if beside == before:
            return
        yield beside
        if self._score > CLEARLY_BETTER * reference:
            self._take(beside)
            yield from self._run(beside, step, 1)
        yield self._best
        self._best_score = self._score

    def _take(self, position: float) -> bool:
        if self._score == self._best_score:
            self._tied.append(position)
        if self._score <= self._best_score:
            return False
        self._best, self._best_score, self._tied = position, self._score, [position]
        return True

    def _clamp(self, steps: float) -> float:
        return min(max(steps, self._limits[0]), self._limits[1])

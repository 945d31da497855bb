"""A network's constant error, trimmed away by contrast while the loop is locked.

A network infers from one image where focus lies, and for one specimen under one microscope it errs by much
the same amount again and again: what tells a depth of field from the next is in the specimen, and the network
knows specimens on average only. Contrast knows this specimen, but has no sign. So the loop now and then looks
a little to either side of where it stands and compares: near focus the logarithm of Vollath's F5 is a
parabola in the lens position, and its vertex, seen from where the network puts focus, is the error.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["ContrastTrim"]

# Where a comparison looks, in half widths from where it began: the drift of the specimen's own contrast, as
# it bends, cancels between the two looks at the middle.
PLACES = (0.0, 1.0, -1.0, 0.0)
FRAMES_PER_PLACE = 3
# The first comparisons follow each other closely, until the trim is known; so does one that gave nothing.
FIRST_COMPARISONS = 3
FIRST_EVERY_S = 1.0
# What is expected before anything is measured: the standard deviations of a focus curve, in DOF, which are
# 1.0 to 2.0 over simulated worms, and of a network's constant error, in DOF.
CURVE_DOF = 1.4
CURVATURE_SPREAD = 0.5
ERROR_DOF = 0.25
# Standard deviation of the logarithm of one frame's F5 about its curve. Frames lie within 0.02 of their own
# parabola; but a worm bends between the places, nor need its contrast be highest just where it is in focus.
SCATTER = 0.1
# Where contrast changes by more than this, more than focus changes it, and frames scatter as much more.
USUAL_CHANGE = 0.2
# Older comparisons count less: a network's error changes as the worm bends and turns, and the next worm under
# the same lens is another specimen.
MEMORY_S = 60.0
# A comparison whose frames stray this far from any parabola, or whose logarithm of F5 changes by more than
# any focus curve does so near its peak, saw something happen.
LARGEST_STRAY = 0.3
LARGEST_CHANGE = 1.0
# A parabola flatter than this share of the expected one has no vertex to be trusted, as that of a specimen
# whose contrast is lowest in focus.
LEAST_CURVATURE = 0.2
LARGEST_TRIM_DOF = 0.75


@dataclass(slots=True)
class _Comparison:
    """One comparison in progress: around which lens position, and what was seen so far.

    Attributes
    ----------
    plane_um : where the network put focus when it began
    centre_um : lens position in the middle of the places
    command_s : when the lens was last told to move
    place : number of the place looked at
    seen : time (s), lens position (um) and logarithm of the sharpness of every frame
    """

    plane_um: float
    centre_um: float
    command_s: float
    place: int = 0
    seen: list[tuple[float, float, float]] = field(default_factory=list)


class ContrastTrim:
    """Estimates the constant error of a network by comparing contrast to either side of focus.

    Parameters
    ----------
    dof_um : depth of field, um
    half_width_um : how far to either side to look, um
    every_s : time between comparisons, s; 0 never compares
    """

    def __init__(self, dof_um: float, half_width_um: float, every_s: float) -> None:
        self._dof_um, self._half_um, self._every_s = dof_um, half_width_um, every_s
        # log F5 = a + b u + c u^2, with u the lens position from where the network puts focus, in DOF.
        self._expected = np.array([0.0, -0.5 / CURVE_DOF**2])
        spread = np.array([ERROR_DOF / CURVE_DOF**2, CURVATURE_SPREAD * 0.5 / CURVE_DOF**2])
        self._prior = np.diag(spread**-2)
        self._information = np.zeros((2, 2))
        self._vector = np.zeros(2)
        self._count = 0
        self._learnt_s = -math.inf
        self._ended_s = -math.inf
        self._comparison: _Comparison | None = None
        self._offset_um = 0.0

    @property
    def offset_um(self) -> float:
        """What to add to the lens position that the network says is in focus, um; 0 until measured."""
        return self._offset_um

    @property
    def comparing(self) -> bool:
        """Whether a comparison is in progress."""
        return self._comparison is not None

    @property
    def command_s(self) -> float | None:
        """When the comparison in progress last told the lens to move, s; None between comparisons."""
        return None if self._comparison is None else self._comparison.command_s

    @property
    def target_um(self) -> float | None:
        """Where the comparison in progress wants the lens, um; None between comparisons."""
        if self._comparison is None:
            return None
        return self._comparison.centre_um + PLACES[self._comparison.place] * self._half_um

    def due(self, now: float) -> bool:
        """Whether it is time for a comparison, on a clock in seconds."""
        if self._every_s <= 0 or self._comparison is not None:
            return False
        soon = self._count < FIRST_COMPARISONS or self._learnt_s < self._ended_s
        wait = FIRST_EVERY_S if soon else self._every_s
        return now - self._ended_s >= min(wait, self._every_s)

    def begin(self, plane_um: float, centre_um: float, now: float) -> None:
        """Begin a comparison about `centre_um`, the network putting focus at `plane_um`."""
        self._comparison = _Comparison(plane_um, centre_um, now)

    def end(self, now: float) -> None:
        """End the comparison in progress, where there is one."""
        if self._comparison is not None:
            self._comparison, self._ended_s = None, now

    def record(self, exposure_start_s: float, lens_um: float, sharpness: float, now: float) -> None:
        """Take in a frame exposed with the lens at rest; frames of before the last move are left out."""
        comparison = self._comparison
        if comparison is None or exposure_start_s < comparison.command_s:
            return
        if not sharpness > 0:
            self.end(now)
            return
        comparison.seen.append((exposure_start_s, lens_um, math.log(sharpness)))
        if len(comparison.seen) < (comparison.place + 1) * FRAMES_PER_PLACE:
            return
        comparison.place += 1
        comparison.command_s = now
        if comparison.place == len(PLACES):
            self.end(now)
            self._learn(comparison, now)

    def _learn(self, comparison: _Comparison, now: float) -> None:
        """Add a comparison to the parabola, and find its vertex anew."""
        t, lens_um, log_sharpness = np.array(comparison.seen).T
        u = (lens_um - comparison.plane_um) / self._dof_um
        t = t - t.mean()
        # A level of its own, and a steady change with time, belong to each comparison and say nothing.
        nuisance = np.column_stack([np.ones_like(t), t])
        rest = _without(nuisance, np.column_stack([u, u**2, log_sharpness]))
        terms, values = rest[:, :2], rest[:, 2]
        if np.abs(_without(terms, values)).max() > LARGEST_STRAY or np.ptp(values) > LARGEST_CHANGE:
            return
        kept = math.exp((self._learnt_s - now) / MEMORY_S)
        scatter = SCATTER * max(1.0, float(np.ptp(values)) / USUAL_CHANGE)
        self._information = kept * self._information + terms.T @ terms / scatter**2
        self._vector = kept * self._vector + terms.T @ values / scatter**2
        self._count, self._learnt_s = self._count + 1, now
        slope, curvature = np.linalg.solve(
            self._information + self._prior, self._vector + self._prior @ self._expected
        )
        if curvature > LEAST_CURVATURE * self._expected[1]:
            self._offset_um = 0.0
            return
        vertex = float(-slope / (2 * curvature))
        self._offset_um = self._dof_um * min(max(vertex, -LARGEST_TRIM_DOF), LARGEST_TRIM_DOF)


def _without(terms: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take from `values` (N,) or (N, K) what the best combination of `terms` (N, M) explains of them."""
    fitted, *_ = np.linalg.lstsq(terms, values, rcond=None)
    rest: NDArray[np.float64] = values - terms @ fitted
    return rest

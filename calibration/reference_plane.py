"""The reference plane of paper 5: the lens position where control beads look a defined way.

Two features of a bead's image peak there, the steepest slope of its radial profile and the intensity of its
centre. How a feature of the typical bead changes with the lens position has the same shape whatever the
exposure, the field or the day, but for a shift, which is the reference plane, and a scale. So one profile is
pooled from all stacks, and each stack's plane is the shift that fits the profile to it; where saturation or
wide spacing leaves few planes, the others' say what the curve looks like.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.bead_features import FEATURES, BeadFeatures
from calibration.feature_curve import FeatureCurve, feature_curve, typical
from calibration.smooth_curve import SmoothCurve, smooth_curve
from hw.errors import StackError

__all__ = ["FeaturePlane", "Pool", "ReferencePlane", "Refusal", "Survey", "find_reference_planes"]

ROUNDS = 4
"""How often profile and shifts are fitted in turn; they stand still after three."""

REPLICATES = 200
"""Bootstrap replicates that the standard deviations are taken from."""

TRIAL_SHIFTS = 25
"""Shifts tried at once when a profile is fitted; the range then narrows about the best, three times."""

LEAST_BEADS = 2
"""Fewest beads that say how much beads differ."""


@dataclass(frozen=True, eq=False)
class Pool:
    """A feature's pooled profile, highest at 0, 1 there.

    Attributes
    ----------
    distance_um : (N,) from the reference plane, of the planes of all stacks, stack by stack
    value : (N,) of those planes, each stack's scaled to the profile
    curve : the smooth curve through them, of the distance before it was made to be highest at 0
    middle_um, height : where that was highest, and how high
    """

    distance_um: NDArray[np.float64]
    value: NDArray[np.float64]
    curve: SmoothCurve
    middle_um: float
    height: float

    def at(self, distance_um: NDArray[np.float64], derivative: int = 0) -> NDArray[np.float64]:
        """Profile, or its derivative, at distances from the reference plane; beyond its ends as at them."""
        ends = float(self.curve.knots[3]), float(self.curve.knots[-4])
        return self.curve.at(np.clip(distance_um + self.middle_um, *ends), derivative) / self.height


@dataclass(frozen=True, eq=False)
class FeaturePlane:
    """The reference plane by one feature; `scale` is the feature's height there."""

    position_um: float
    sigma_um: float
    scale: float
    curve: FeatureCurve


@dataclass(frozen=True, eq=False)
class ReferencePlane:
    """The reference plane of one stack.

    Attributes
    ----------
    name : of the stack
    beads : number of beads
    position_um, sigma_um : mean of the features' planes, and its standard deviation
    by_feature : each feature's
    """

    name: str
    beads: int
    position_um: float
    sigma_um: float
    by_feature: dict[str, FeaturePlane]


@dataclass(frozen=True)
class Refusal:
    """A stack that tells no reference plane, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Survey:
    """Reference planes of stacks of one microscope, with the profiles pooled from them, by feature."""

    planes: list[ReferencePlane]
    refused: list[Refusal]
    pools: dict[str, Pool]


@dataclass(frozen=True, eq=False)
class _Points:
    """The planes of one stack that count: positions, values, and where to look for the shift."""

    z: NDArray[np.float64]
    v: NDArray[np.float64]
    shift: float
    within: float


def find_reference_planes(
    stacks: Sequence[BeadFeatures], *, replicates: int = REPLICATES, seed: int = 0
) -> Survey:
    """Find the reference plane of every stack, from all of them together.

    The standard deviations come from a bootstrap: every replicate draws each stack's beads anew, adds to each
    plane its own misfit with a random weight, the same for both features (a plane that is not where it is
    said to be moves both), pools and fits again. Beads stand for the bed they lie in, so the few of a stack
    are corrected for being few.

    Parameters
    ----------
    stacks : features of each, of one microscope
    replicates : of the bootstrap
    seed : of the bootstrap

    Raises
    ------
    StackError
        No stack tells its reference plane; the reason is that of the first.
    """
    kept: list[BeadFeatures] = []
    curves: list[dict[str, FeatureCurve]] = []
    refused = []
    for features in stacks:
        try:
            if len(features.tracks) < LEAST_BEADS:
                raise StackError(
                    f"{len(features.tracks)} bead is too few; record a field with {LEAST_BEADS} or more, "
                    "better six"
                )
            curves.append({name: feature_curve(features, k) for k, name in enumerate(FEATURES)})
            kept.append(features)
        except StackError as error:
            refused.append(Refusal(features.name, str(error)))
    if not kept:
        first = refused[0] if refused else Refusal("", "no stacks; give some")
        raise StackError(f"{first.name}: {first.reason}" if first.name else first.reason)
    fits = {}
    for name in FEATURES:
        points = [_points(each[name]) for each in curves]
        fits[name] = _pool(points)
    spread = _bootstrap(kept, curves, fits, replicates, np.random.default_rng(seed))
    planes = []
    for number, features in enumerate(kept):
        count = len(features.tracks)
        few = float(np.sqrt(count / (count - 1)))
        by_feature = {
            name: FeaturePlane(
                float(fits[name][1][number]),
                few * float(spread[k, number].std()),
                float(fits[name][2][number]),
                curves[number][name],
            )
            for k, name in enumerate(FEATURES)
        }
        position = float(np.mean([plane.position_um for plane in by_feature.values()]))
        sigma = few * float(spread[:, number].mean(axis=0).std())
        planes.append(ReferencePlane(features.name, count, position, sigma, by_feature))
    return Survey(planes, refused, {name: fits[name][0] for name in FEATURES})


def _points(curve: FeatureCurve) -> _Points:
    used = curve.used
    return _Points(curve.positions_um[used], curve.values[used], curve.peak_um, 0.6 * curve.half_width_um)


_Fit = tuple[Pool, NDArray[np.float64], NDArray[np.float64]]


def _pool(points: Sequence[_Points]) -> _Fit:
    """Pool a profile from stacks and fit it to each; returns it with shifts and scales, both (N,)."""
    shifts = np.array([each.shift for each in points])
    scales = np.array([float(each.v.max()) for each in points])
    # The stack with most planes gives the first profile.
    richest = max(points, key=lambda each: len(each.z))
    pool = _smooth(richest.z - richest.shift, richest.v)
    for _ in range(ROUNDS):
        for number, each in enumerate(points):
            shifts[number], scales[number] = _fit(pool, each)
        x = np.concatenate([each.z - shift for each, shift in zip(points, shifts, strict=True)])
        y = np.concatenate([each.v / scale for each, scale in zip(points, scales, strict=True)])
        pool = _smooth(x, y)
        # The profile is highest at 0, and 1 there: what it moved by is every stack's.
        shifts += pool.middle_um
        scales *= pool.height
    return pool, shifts, scales


def _smooth(x: NDArray[np.float64], y: NDArray[np.float64]) -> Pool:
    """Put a smooth curve through aligned planes, and move and scale all to where it is highest."""
    curve = smooth_curve(x, y)
    grid = np.linspace(float(x.min()), float(x.max()), 801)
    profile = curve.at(grid)
    top = int(profile.argmax())
    middle, height = float(grid[top]), float(profile[top])
    if 0 < top < len(grid) - 1:
        low, high = float(profile[top - 1]), float(profile[top + 1])
        middle += 0.5 * (low - high) / (low - 2 * height + high) * float(grid[1] - grid[0])
    return Pool(x - middle, y / height, curve, middle, height)


def _fit(pool: Pool, points: _Points) -> tuple[float, float]:
    """Shift and scale that fit a profile to a stack with the least squares."""
    best, within = points.shift, points.within
    scale = 1.0
    for _ in range(4):
        shifts = best + np.linspace(-within, within, TRIAL_SHIFTS)
        expected = pool.at(points.z - shifts[:, None])
        scales = (expected @ points.v) / np.maximum(np.square(expected).sum(axis=1), 1e-12)
        misfit = np.square(points.v - scales[:, None] * expected).sum(axis=1)
        nearest = int(misfit.argmin())
        best, scale = float(shifts[nearest]), float(scales[nearest])
        within *= 3 / TRIAL_SHIFTS
    return best, scale


def _bootstrap(
    stacks: Sequence[BeadFeatures],
    curves: Sequence[dict[str, FeatureCurve]],
    fits: dict[str, _Fit],
    replicates: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Shifts of replicates less those found, (features, stacks, replicates).

    To first order: a stack's curve that changes by dv moves its shift and scale by the least squares of dv in
    their derivatives; what they leave of it changes the pooled profile, whose highest place then moves by
    minus the change of its slope there over its curvature.
    """
    moved = np.empty((len(FEATURES), len(stacks), replicates))
    left: list[list[NDArray[np.float64]]] = [[] for _ in FEATURES]
    for number, features in enumerate(stacks):
        count = len(features.tracks)
        drawn = rng.integers(count, size=(replicates, count))
        order = np.argsort(features.positions_um, kind="stable")
        weights = rng.standard_normal((replicates, len(order)))
        for k, name in enumerate(FEATURES):
            pool, shifts, scales = fits[name]
            curve = curves[number][name]
            used = curve.used
            away = curve.positions_um[used] - shifts[number]
            profile, scale = pool.at(away), float(scales[number])
            misfit = curve.values[used] - scale * profile
            # Two of the planes' freedoms went into shift and scale.
            few = np.sqrt(used.sum() / (used.sum() - 2))
            redrawn = typical(features.values[k][drawn])[:, order][:, used]
            change = redrawn - curve.values[used] + few * weights[:, used] * misfit
            derivatives = np.stack([-scale * pool.at(away, 1), profile])
            steps = change @ np.linalg.pinv(derivatives)
            moved[k, number] = steps[:, 0]
            left[k].append((change - steps @ derivatives) / scale)
    for k, name in enumerate(FEATURES):
        pool = fits[name][0]
        slope = np.concatenate(left[k], axis=1) @ pool.curve.response_at(pool.middle_um, 1)
        bend = float(pool.curve.at(np.array([pool.middle_um]), 2)[0])
        moved[k] -= slope / bend
    return moved

"""Following one worm from frame to frame.

The worm is whatever worm-like object lies where the worm can be by now: its last sighting, carried on with
its recent velocity, plus what its highest speed allows for the time since. Only the first sighting, and
those after a long loss, choose by likeness to a worm alone. Everything else that looks like a worm is
remembered as *another* for as long as it is seen, so that a worm that left the field is reported as lost
and not replaced by its neighbour. Where the worm touches another, both have one outline: the worm's centroid
is what is left of the outline's when the other's is taken away. One that crawls over the other leaves an
outline hardly larger than the other's: no worm vanishes from one frame to the next, so both are in it until
two are seen again.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.detect import Detector, WormLike
from hw.config import TrackingConfig
from hw.frame import Box

__all__ = ["Sighting", "TrackState", "WormTracker"]

TrackState = Literal["tracked", "searching", "lost"]

# An object below this score is not followed; a first sighting needs more than one that continues a track.
_FIRST_SCORE = 0.5
_NEXT_SCORE = 0.1
# Parts of a worm's outline come and go from frame to frame, which moves its centroid by up to this share of
# a worm's length without any motion.
_OUTLINE_JITTER = 0.2
# A worm that was missed must show this share of the likeness that it had.
_USUAL_SHARE = 0.6
# Nothing is another worm that lies within this share of a worm's length of the worm's own centre.
_OWN_REACH = 0.25
# Weight of the newest displacement in the velocity, and how long a velocity is trusted.
_VELOCITY_WEIGHT = 0.2
_COAST_S = 0.25
# Another object is forgotten when it was not seen for this long, or has touched the worm for this long.
_OTHERS_MEMORY_S = 5.0
_TOUCHING_S = 30.0
# Weight of the newest outline in another's area.
_OTHERS_WEIGHT = 0.05
# Within so many worm lengths another may touch the worm soon; below this share of its area it is no worm.
_NEAR_LENGTHS = 1.5
_SMALL_SHARE = 0.5
# Every so many looks the whole frame is looked at, and not only where the worm should be: another worm cannot
# come near in less time.
_LOOKS_PER_SWEEP = 5
# Sums of frame periods that differ by less are the same time.
_SAME_TIME_S = 1e-6
# The outline of two worms that come to touch has at least so many times the worm's area; it may be smaller
# while one lies on the other, for as long as a worm needs to crawl over one.
_TOUCHING_AREA = 1.4
_CROSSING_S = 5.0
# Time for which another must have been seen apart from the worm for that.
_KNOWN_S = 2.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the tracker says about one frame.

    Attributes
    ----------
    box : of the worm in full-frame pixels; None unless tracked
    centre_px : centroid (x, y) of the worm; while searching the last one known, None before the first
        sighting and when lost
    state : `tracked` in this frame, `searching` since a short while, or `lost`
    score : 0 to 1, likeness to a worm; 0 unless tracked
    reason : one line for the log
    """

    box: Box | None
    centre_px: tuple[float, float] | None
    state: TrackState
    score: float
    reason: str


@dataclass(slots=True)
class _Other:
    """An object that is not the worm.

    Attributes
    ----------
    centre_px, area_um2 : where it was last seen on its own, and how large
    unseen : frames since then
    seen : frames in which it was seen, those between two looks included
    """

    centre_px: tuple[float, float]
    area_um2: float
    unseen: int = 0
    seen: int = 1


class WormTracker:
    """Finds one worm and keeps to it.

    Parameters
    ----------
    config : what a worm looks like, and how fast it is
    um_per_px : specimen distance per pixel of the frames
    frame_period_s : time between frames; a dropped frame counts as one more

    Notes
    -----
    A worm that is followed with no other near is looked for every `config.look_every_s`, where it should be,
    and every fifth time in the whole frame; in between it is carried on with its velocity. Searching every
    frame costs as much as a small network.
    """

    def __init__(self, config: TrackingConfig, um_per_px: float, frame_period_s: float) -> None:
        self._config = config
        self._um_per_px = um_per_px
        self._period_s = frame_period_s
        self._detector = Detector(config.worm_length_um, config.worm_width_um, um_per_px)
        self.reset()

    def reset(self) -> None:
        """Forget the worm and all others; the next frame starts anew."""
        self._centre: tuple[float, float] | None = None
        self._velocity = (0.0, 0.0)
        self._area_um2 = 0.0
        self._likeness = 0.0
        self._elapsed_s = 0.0
        self._missed = 0
        self._unswept = 0
        self._last: Sighting | None = None
        self._others: list[_Other] = []
        self._touched: _Other | None = None
        self._crossing_s = 0.0

    def track(
        self, pixels: NDArray[np.uint8], frames_passed: int = 1, scale: float = 1.0, *, closely: bool = False
    ) -> Sighting:
        """Find the worm in the next frame.

        Parameters
        ----------
        pixels : (H, W, 3) uint8, RGB; or (H, W) uint8, brightness
        frames_passed : frame periods since the last call; above 1 where frames were dropped
        scale : full-frame pixels per pixel of this image; above 1 for a smaller image of the whole field
        closely : look now, however short a time ago the last look was

        Returns
        -------
        Sighting
        """
        self._elapsed_s += frames_passed * self._period_s
        self._unswept += frames_passed
        recent = self._elapsed_s < self._config.look_every_s - _SAME_TIME_S
        if self._last is not None and recent and not closely:
            return self._carried_on(self._last)
        if self._last is not None and not self._sweep_is_due():
            glimpsed = self._look_around(self._last, pixels, scale)
            if glimpsed is not None:
                self._last = glimpsed
                return glimpsed
        objects = self._detector.detect(pixels, scale)
        sighting = self._look(objects, pixels.shape, scale)
        self._unswept = 0
        steady = sighting.state == "tracked" and self._touched is None and not self._near_another()
        self._last = sighting if steady else None
        return sighting

    def _look(self, objects: list[WormLike], shape: tuple[int, ...], scale: float) -> Sighting:
        """Find the worm among the objects of a frame."""
        if self._centre is None:
            pair, worm = None, self._first(objects, shape, scale)
        else:
            pair = self._pair(objects)
            worm = self._next([o for o in objects if o is not pair[0]] if pair else objects)
        alone = [o for o in objects if o is not worm and not (pair and o is pair[0])]
        self._remember_others(alone, worm, pair[0] if pair else None)
        if worm is None and pair is not None:
            return self._follow_within(*pair)
        self._touched = None
        if worm is None:
            return self._unsighted()
        return self._follow(worm)

    def _first(self, objects: list[WormLike], shape: tuple[int, ...], scale: float) -> WormLike | None:
        """Return the most worm-like object near the middle, where a worm is put to be followed."""
        middle = (shape[1] * scale / 2, shape[0] * scale / 2)
        reach = math.hypot(*middle)
        return max(
            (o for o in objects if o.score >= _FIRST_SCORE),
            key=lambda o: o.score - math.dist(o.centre_px, middle) / reach,
            default=None,
        )

    def _next(self, objects: list[WormLike]) -> WormLike | None:
        """Return the object that continues the track, if one is within reach and is not another."""
        expected = self._expected()
        gate = self._gate_um()
        # The longer it is gone, the more an object must look like a worm to be taken for it; but a worm that
        # never looked much like one is not asked for more than it showed.
        gone = min(1.0, self._elapsed_s / self._config.lost_after_s) if self._missed else 0.0
        usual = max(_NEXT_SCORE, min(_FIRST_SCORE, _USUAL_SHARE * self._likeness))
        needed = _NEXT_SCORE + gone * (usual - _NEXT_SCORE)
        best, best_value = None, 0.0
        for candidate in objects:
            distance = math.dist(candidate.centre_px, expected) * self._um_per_px
            if candidate.score < needed or distance > gate or self._is_other(candidate, distance):
                continue
            # Near beats worm-like: half the gate away costs as much as 40 % of the score.
            value = candidate.score * math.exp(-2 * (distance / gate) ** 2) * self._same_size(candidate)
            if value > best_value:
                best, best_value = candidate, value
        return best

    def _pair(self, objects: list[WormLike]) -> tuple[WormLike, _Other] | None:
        """Return the outline of the worm and another that touch, and that other, if there is one."""
        expected = self._expected()
        for candidate in objects:
            if not _inside(expected, candidate.box):
                continue
            for other in self._others:
                crossing = other is self._touched and self._crossing_s < _CROSSING_S and self._is_known(other)
                if not (crossing or _area_um2(candidate) >= _TOUCHING_AREA * self._area_um2):
                    continue
                if _inside(other.centre_px, candidate.box) and not any(
                    math.dist(o.centre_px, other.centre_px) < self._other_reach_px()
                    and _area_um2(o) < _TOUCHING_AREA * other.area_um2
                    for o in objects
                    if not (crossing and o is candidate)
                ):
                    return candidate, other
        return None

    def _is_known(self, other: _Other) -> bool:
        """Whether another was seen apart from the worm for long, as a part of its own outline is not."""
        return other.seen * self._period_s >= _KNOWN_S

    def _follow_within(self, pair: WormLike, other: _Other) -> Sighting:
        """Take over where the worm is in the outline that it shares with another."""
        weight = other.area_um2 / self._area_um2
        box = pair.box
        x, y = (
            min(max(whole + weight * (whole - part), low), low + size)
            for whole, part, low, size in zip(
                pair.centre_px, other.centre_px, (box.x, box.y), (box.width, box.height), strict=True
            )
        )
        apart = _area_um2(pair) >= _TOUCHING_AREA * self._area_um2
        self._crossing_s = 0.0 if apart or other is not self._touched else self._crossing_s + self._elapsed_s
        self._touched = other
        self._centre, self._velocity = (x, y), (0.0, 0.0)
        self._elapsed_s, self._missed = 0.0, 0
        return Sighting(box, self._centre, "tracked", pair.score, "touches another worm")

    def _sweep_is_due(self) -> bool:
        """Whether it is time to look at the whole frame again."""
        return self._unswept * self._period_s >= self._sweep_every_s() - _SAME_TIME_S

    def _sweep_every_s(self) -> float:
        return max(self._period_s, _LOOKS_PER_SWEEP * self._config.look_every_s)

    def _look_around(self, last: Sighting, pixels: NDArray[np.uint8], scale: float) -> Sighting | None:
        """Look where the worm should be; None if it is not there whole, or not alone."""
        around = self._carried_on(last).box
        objects = self._detector.detect(pixels, scale, around=around)
        worm = self._next(objects)
        if worm is None or any(
            o is not worm and _area_um2(o) > _SMALL_SHARE * self._area_um2 for o in objects
        ):
            return None
        return self._follow(worm)

    def _carried_on(self, last: Sighting) -> Sighting:
        """Say where the worm is by its velocity."""
        assert self._centre is not None
        assert last.box is not None
        x, y = self._expected()
        right, down = round(x - self._centre[0]), round(y - self._centre[1])
        box = Box(last.box.x + right, last.box.y + down, last.box.width, last.box.height)
        return Sighting(box, (x, y), "tracked", last.score, "carried on with its velocity")

    def _near_another(self) -> bool:
        """Whether another that is large enough to be a worm could touch it soon."""
        assert self._centre is not None
        apart = _NEAR_LENGTHS * self._config.worm_length_um / self._um_per_px
        return any(
            math.dist(other.centre_px, self._centre) < apart
            for other in self._others
            if other.area_um2 > _SMALL_SHARE * self._area_um2
        )

    def _expected(self) -> tuple[float, float]:
        """Where the worm is expected now, (x, y) in pixels: it coasts for a moment, then stays."""
        assert self._centre is not None
        coast_s = min(self._elapsed_s, _COAST_S)
        return (
            self._centre[0] + self._velocity[0] * coast_s,
            self._centre[1] + self._velocity[1] * coast_s,
        )

    def _gate_um(self) -> float:
        """How far from the expected place the worm can be."""
        return self._config.max_speed_um_s * self._elapsed_s + _OUTLINE_JITTER * self._config.worm_length_um

    def _same_size(self, candidate: WormLike) -> float:
        """1 for an object of the worm's area, falling slowly: blur and outlines change it."""
        ratio = math.log(_area_um2(candidate) / self._area_um2)
        return math.exp(-0.5 * ratio * ratio)

    def _is_other(self, candidate: WormLike, distance_um: float) -> bool:
        """Whether the object is one that was seen beside the worm, and nearer to there than to the worm."""
        reach = self._other_reach_px()
        return any(
            math.dist(candidate.centre_px, other.centre_px) < min(reach, distance_um / self._um_per_px)
            for other in self._others
        )

    def _other_reach_px(self) -> float:
        # Over as much time as passes between two sweeps when no frame was dropped.
        way_um = self._config.max_speed_um_s * min(self._unswept * self._period_s, self._sweep_every_s())
        reach_um = way_um + _OUTLINE_JITTER * self._config.worm_length_um
        return reach_um / self._um_per_px

    def _remember_others(self, objects: list[WormLike], worm: WormLike | None, pair: WormLike | None) -> None:
        """Carry the others on to this frame, nearest first, and add the new ones seen beside the worm."""
        reach = self._other_reach_px()
        expected = self._expected() if worm is None and self._centre is not None else None
        apart = 0.6 * self._config.worm_length_um / self._um_per_px
        for other in self._others:
            other.unseen += self._unswept
        for seen in objects:
            nearest = min(
                (o for o in self._others if o.unseen > 0),
                key=lambda o: math.dist(o.centre_px, seen.centre_px),
                default=None,
            )
            way = math.dist(nearest.centre_px, seen.centre_px) if nearest is not None else math.inf
            if expected is not None and math.dist(seen.centre_px, expected) < way:
                # What lies nearer to where the missing worm should be than to any other may be the worm.
                continue
            if nearest is not None and way < reach:
                nearest.unseen = 0
                nearest.seen += self._unswept
                if _area_um2(seen) < _TOUCHING_AREA * nearest.area_um2:
                    nearest.centre_px = seen.centre_px
                # Two in one outline say nothing of where either is; blur makes an outline grow slowly.
                nearest.area_um2 += _OTHERS_WEIGHT * (_area_um2(seen) - nearest.area_um2)
            elif worm is not None and math.dist(seen.centre_px, worm.centre_px) > apart:
                # Nearer it may be a part of the worm, and with no worm in sight it may be the worm itself.
                self._others.append(_Other(seen.centre_px, _area_um2(seen)))
        horizon, touching = _OTHERS_MEMORY_S / self._period_s, _TOUCHING_S / self._period_s
        # One that has come to lie on the worm, as parts of its outline do, must not hide the worm later.
        own = _OWN_REACH * self._config.worm_length_um / self._um_per_px
        self._others = [
            o
            for o in self._others
            if o.unseen <= (touching if pair is not None and _inside(o.centre_px, pair.box) else horizon)
            and (worm is None or math.dist(o.centre_px, worm.centre_px) > own)
        ]

    def _follow(self, worm: WormLike) -> Sighting:
        """Take over where the worm is, and say how it was found."""
        previous, elapsed_s = self._centre, self._elapsed_s
        area = _area_um2(worm)
        if previous is None:
            reason = f"first sighting, score {worm.score:.2f}"
            self._area_um2 = area
        else:
            moved_um = math.dist(previous, worm.centre_px) * self._um_per_px
            if self._missed == 0:
                reason = f"moved {moved_um:.0f} um"
                speed = tuple(
                    (new - old) / elapsed_s for new, old in zip(worm.centre_px, previous, strict=True)
                )
                w = _VELOCITY_WEIGHT
                self._velocity = (
                    (1 - w) * self._velocity[0] + w * speed[0],
                    (1 - w) * self._velocity[1] + w * speed[1],
                )
            else:
                reason = f"found again after {elapsed_s:.2f} s, {moved_um:.0f} um from the last sighting"
                self._velocity = (0.0, 0.0)
            self._area_um2 += _VELOCITY_WEIGHT * (area - self._area_um2)
        weight = _VELOCITY_WEIGHT if previous is not None else 1.0
        self._likeness += weight * (worm.score - self._likeness)
        self._centre, self._elapsed_s, self._missed = worm.centre_px, 0.0, 0
        return Sighting(worm.box, worm.centre_px, "tracked", worm.score, reason)

    def _unsighted(self) -> Sighting:
        self._missed += 1
        lost = self._elapsed_s >= self._config.lost_after_s
        state: TrackState = "lost" if lost else "searching"
        if self._centre is None:
            return Sighting(None, None, state, 0.0, "no worm-like object in the field yet")
        reason = (
            f"no worm-like object within {self._gate_um():.0f} um of the last sighting, "
            f"{self._elapsed_s:.2f} s ago"
        )
        return Sighting(None, None if lost else self._centre, state, 0.0, reason)


def _area_um2(seen: WormLike) -> float:
    return seen.length_um * seen.width_um


def _inside(place_px: tuple[float, float], box: Box) -> bool:
    return 0 <= place_px[0] - box.x <= box.width and 0 <= place_px[1] - box.y <= box.height

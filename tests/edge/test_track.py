"""The tracker on drawn plates: dark tapered worms, eggs, dust, uneven light, blur and noise.

The drawing owes nothing to the simulated rig, so that tracker and simulator cannot share a mistake.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.detect import Detector, WormLike
from edge.track import Sighting, WormTracker
from hw.config import TrackingConfig
from hw.frame import Box

UM_PER_PX = 3.1
WIDTH, HEIGHT = 1014, 760
PERIOD_S = 0.05


@dataclass(frozen=True)
class DrawnWorm:
    """A worm at (x, y) in pixels: its heading, and where in its undulation it is, in radians."""

    x: float
    y: float
    heading: float = 0.3
    phase: float = 0.0

    def midline(self) -> NDArray[np.float64]:
        """(60, 2) points in pixels with the centroid at (x, y)."""
        length = 1000 / UM_PER_PX
        s = np.linspace(0, 1, 60)
        angle = self.heading + 0.7 * np.sin(2 * math.pi * 1.4 * s + self.phase)
        points = np.cumsum(np.stack([np.cos(angle), np.sin(angle)], 1) * length / 60, axis=0)
        return points - points.mean(axis=0) + (self.x, self.y)


def draw(
    worms: list[DrawnWorm], blur_um: float = 0.0, seed: int = 0, phase_like: bool = False
) -> NDArray[np.uint8]:
    """Draw a frame, (760, 1014, 3) uint8 RGB.

    The debris is always the same, the noise is drawn from `seed`. `blur_um` is the diameter of a disc that
    everything on the plate is blurred with; `phase_like` makes the body brighter than the background in its
    middle, with dark edges, as defocus does.
    """
    rng = np.random.default_rng(11)
    plate = np.ones((HEIGHT, WIDTH), np.float32)
    for _ in range(12):
        centre = (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT)))
        cv2.ellipse(plate, centre, (8, 5), float(rng.uniform(0, 180)), 0, 360, 0.75, -1, cv2.LINE_AA)
        cv2.circle(plate, (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))), 2, 0.5, -1, cv2.LINE_AA)
    # The edge of a lawn.
    cv2.circle(plate, (WIDTH // 3, HEIGHT), HEIGHT, 0.97, 2, cv2.LINE_AA)
    for worm in worms:
        midline = worm.midline()
        taper = np.sqrt(np.clip(np.sin(np.linspace(0.05, math.pi - 0.05, len(midline))), 0, 1))
        for factor, value in ((1.15, 1.08), (1.0, 0.8), (0.7, 1.12 if phase_like else 0.88)):
            for (x, y), width in zip(midline, taper, strict=True):
                radius = 40 / UM_PER_PX * width * factor
                cv2.circle(
                    plate, (round(x * 16), round(y * 16)), round(radius * 16), value, -1, cv2.LINE_AA, 4
                )
    if blur_um > 0:
        side = int(blur_um / UM_PER_PX) | 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.float32)
        plate = cv2.filter2D(plate, -1, disc / disc.sum())
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    plate *= 150 * (1 - 0.3 * ((x / WIDTH - 0.4) ** 2 + (y / HEIGHT - 0.5) ** 2))
    frame = plate[..., None] * np.array([0.95, 1.0, 0.8], np.float32)
    frame += np.random.default_rng(seed).standard_normal(frame.shape, np.float32) * 3
    return np.clip(frame, 0, 255).astype(np.uint8)


@pytest.fixture
def tracker() -> WormTracker:
    """It looks at every frame."""
    return WormTracker(TrackingConfig(look_every_s=0), UM_PER_PX, PERIOD_S)


@pytest.fixture
def sparing() -> WormTracker:
    """It looks now and then, as rigs have it."""
    return WormTracker(TrackingConfig(), UM_PER_PX, PERIOD_S)


def error_um(sighting: Sighting, worm: DrawnWorm) -> float:
    assert sighting.centre_px is not None, sighting.reason
    return math.dist(sighting.centre_px, (worm.x, worm.y)) * UM_PER_PX


def crawl(frame: int, start: tuple[float, float] = (300.0, 300.0)) -> DrawnWorm:
    """A worm that crawls at 300 um/s to the right and a little down, undulating."""
    step = 300 * PERIOD_S / UM_PER_PX
    return DrawnWorm(start[0] + step * frame, start[1] + 0.3 * step * frame, 0.3, 0.4 * frame)


@pytest.mark.parametrize(
    ("blur_um", "phase_like", "allowed_um"),
    [(0, False, 40), (60, False, 40), (120, False, 80), (150, False, 80), (0, True, 40), (90, True, 80)],
)
def test_centre_in_and_out_of_focus(
    tracker: WormTracker, blur_um: float, phase_like: bool, allowed_um: float
) -> None:
    for frame in range(8):
        worm = crawl(frame)
        sighting = tracker.track(draw([worm], blur_um, seed=5, phase_like=phase_like))
        assert sighting.state == "tracked", sighting.reason
        assert error_um(sighting, worm) < allowed_um


def test_box_holds_the_worm(tracker: WormTracker) -> None:
    worm = DrawnWorm(500, 400)
    box = tracker.track(draw([worm])).box
    assert box is not None
    points = worm.midline()
    low, high = points.min(axis=0), points.max(axis=0)
    slack = 80 / UM_PER_PX
    assert abs(box.x - low[0]) < slack
    assert abs(box.y - low[1]) < slack
    assert abs(box.x + box.width - high[0]) < slack
    assert abs(box.y + box.height - high[1]) < slack


def test_focus_changing_from_frame_to_frame(tracker: WormTracker) -> None:
    for frame, blur in enumerate([150, 120, 90, 60, 30, 0, 30, 60, 90]):
        worm = crawl(frame)
        sighting = tracker.track(draw([worm], blur))
        assert sighting.state == "tracked", sighting.reason
        assert error_um(sighting, worm) < 80


def test_empty_plate_is_searched_then_lost(tracker: WormTracker) -> None:
    states = [tracker.track(draw([], seed=seed)).state for seed in range(25)]
    assert states[0] == "searching"
    assert states[-1] == "lost"


def test_featureless_frame_has_no_worm(tracker: WormTracker) -> None:
    sighting = tracker.track(np.full((HEIGHT, WIDTH, 3), 128, np.uint8))
    assert (sighting.state, sighting.box, sighting.score) == ("searching", None, 0.0)


def test_lost_says_so_and_the_other_worm_is_not_taken_for_it(tracker: WormTracker) -> None:
    other = DrawnWorm(800, 250, 1.4)
    for frame in range(5):
        assert tracker.track(draw([crawl(frame), other])).state == "tracked"
    last = crawl(4)
    searching = tracker.track(draw([other]))
    assert searching.state == "searching"
    assert searching.box is None
    assert searching.centre_px is not None
    assert error_um(searching, last) < 80
    assert "no worm-like object within" in searching.reason
    for frame in range(40):
        sighting = tracker.track(draw([other], seed=frame))
        assert sighting.state != "tracked", sighting.reason
    assert sighting.state == "lost"
    assert sighting.centre_px is None


def test_worm_crawling_out_of_the_field_is_lost(tracker: WormTracker) -> None:
    for frame in range(55):
        worm = crawl(frame * 3, (800.0, 300.0))
        sighting = tracker.track(draw([worm]))
    assert worm.x > WIDTH + 160
    assert sighting.state == "lost"


def test_nearest_worm_first_then_the_same_one(tracker: WormTracker) -> None:
    """A second worm passes 370 um beside the followed one, which keeps its sightings."""
    for frame in range(30):
        worm = DrawnWorm(500, 350, 0.0, 0.3 * frame)
        passing = DrawnWorm(930 - 28 * frame, 350 + 120, 0.0, 0.3 * frame)
        sighting = tracker.track(draw([worm, passing]))
        if sighting.state == "tracked":
            assert error_um(sighting, worm) < 200, f"frame {frame}: {sighting.reason}"
    assert sighting.state == "tracked"
    assert error_um(sighting, worm) < 40


def test_found_again_after_a_short_and_after_a_long_loss(tracker: WormTracker) -> None:
    worm = DrawnWorm(450, 350)
    assert tracker.track(draw([worm])).state == "tracked"
    for missing in (4, 30):
        for _ in range(missing):
            assert tracker.track(draw([])).state != "tracked"
        worm = DrawnWorm(worm.x + 30, worm.y, phase=missing)
        found = tracker.track(draw([worm]))
        assert found.state == "tracked"
        assert "found again" in found.reason
        assert error_um(found, worm) < 40


def test_a_worm_too_far_away_is_not_the_same(tracker: WormTracker) -> None:
    tracker.track(draw([DrawnWorm(250, 350)]))
    far = draw([DrawnWorm(750, 350)])
    assert tracker.track(far).state == "searching"


def test_dropped_frames_widen_the_reach(tracker: WormTracker) -> None:
    tracker.track(draw([DrawnWorm(400, 350)]))
    moved = DrawnWorm(400 + 600 / UM_PER_PX, 350)
    assert tracker.track(draw([moved]), frames_passed=10).state == "tracked"


def test_reset_forgets(tracker: WormTracker) -> None:
    tracker.track(draw([DrawnWorm(250, 350)]))
    tracker.reset()
    sighting = tracker.track(draw([DrawnWorm(750, 350)]))
    assert sighting.state == "tracked"
    assert "first sighting" in sighting.reason


def test_a_smaller_image_of_the_field_shows_the_same_worm_in_the_same_place(tracker):
    frame = draw([DrawnWorm(620, 300, heading=1.0), DrawnWorm(200, 600)])
    whole = tracker.track(frame)
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
    tracker.reset()
    seen = tracker.track(small, scale=2.0)
    assert seen.state == "tracked"
    assert seen.centre_px == pytest.approx(whole.centre_px, abs=8)
    assert seen.box is not None
    assert whole.box is not None
    assert seen.box.centre == pytest.approx(whole.box.centre, abs=12)
    assert (seen.box.width, seen.box.height) == pytest.approx((whole.box.width, whole.box.height), abs=24)


def test_images_of_both_sizes_may_follow_one_another(tracker):
    frame = draw([DrawnWorm(620, 300)])
    first = tracker.track(frame)
    grey = np.ascontiguousarray(frame[::2, ::2, 1])
    assert tracker.track(grey, scale=2.0).state == "tracked"
    again = tracker.track(frame)
    assert again.state == "tracked"
    assert again.box == first.box


def test_a_worm_that_crosses_another_is_followed_through_and_beyond(tracker: WormTracker) -> None:
    other = DrawnWorm(520, 420, heading=1.9)

    def crossing(frame: int) -> DrawnWorm:
        return DrawnWorm(250 + 4.0 * frame, 330 + 1.0 * frame, heading=0.3, phase=-0.25 * frame)

    touched, errors = 0, []
    for frame in range(140):
        worm = crossing(frame)
        sighting = tracker.track(draw([other, worm] if frame else [worm], seed=frame))
        touched += sighting.reason == "touches another worm"
        if sighting.centre_px is not None:
            errors.append(error_um(sighting, worm))
    assert touched > 20
    assert len(errors) == 140
    # Within a fifth of a worm's length all the time, and on the right one in the end.
    assert max(errors) < 200
    assert max(errors[-20:]) < 100


def test_two_that_never_part_are_no_pair_for_ever(tracker: WormTracker) -> None:
    other = DrawnWorm(640, 400, heading=1.5)
    reasons = []
    for frame in range(60):
        worm = DrawnWorm(300 + min(4.0 * frame, 200), 390, phase=-0.25 * frame)
        reasons.append(tracker.track(draw([worm, other] if frame else [worm], seed=frame)).reason)
    assert reasons[-1] == "touches another worm"
    image = draw([worm, other], seed=70)
    tracker.track(image, frames_passed=round(31 / PERIOD_S))
    assert tracker.track(image).reason != "touches another worm"


def test_worm_that_crawls_over_another_is_not_mixed_up_with_it(tracker: WormTracker) -> None:
    other = DrawnWorm(620, 400, heading=1.5)
    worms = [DrawnWorm(300 + 8.0 * frame, 400, heading=0.1, phase=-0.25 * frame) for frame in range(72)]
    crossed, errors = 0, []
    for frame, worm in enumerate(worms):
        # The other lies still; it appears once the first was seen.
        sighting = tracker.track(draw([worm, other] if frame else [worm], seed=frame))
        crossed += sighting.reason == "touches another worm"
        errors.append(error_um(sighting, worm))
    assert crossed > 20
    assert max(errors[-6:]) < 60


def test_looks_now_and_then_while_nothing_is_near(sparing: WormTracker) -> None:
    reasons = []
    for frame in range(24):
        worm = crawl(frame)
        sighting = sparing.track(draw([worm], seed=frame))
        reasons.append(sighting.reason)
        assert sighting.state == "tracked"
        assert error_um(sighting, worm) < 60
    looked = [reason != "carried on with its velocity" for reason in reasons]
    assert looked == [frame % round(TrackingConfig().look_every_s / PERIOD_S) == 0 for frame in range(24)]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Box | None]:
    """The part of the frame at every look, as they come; None for the whole."""
    looks: list[Box | None] = []
    detect = Detector.detect

    def recorded(self: Detector, *given: Any, around: Box | None = None) -> list[WormLike]:
        looks.append(around)
        return detect(self, *given, around=around)

    monkeypatch.setattr(Detector, "detect", recorded)
    return looks


def test_the_whole_frame_is_looked_at_once_a_second_and_else_the_worm(
    sparing: WormTracker, looks: list[Box | None]
) -> None:
    far_away = DrawnWorm(900, 650, heading=0.2)
    for frame in range(24):
        worm = crawl(frame, (150.0, 150.0))
        assert error_um(sparing.track(draw([worm, far_away] if frame else [worm], seed=frame)), worm) < 60
    assert [around is None for around in looks] == [True, False, False, False, False, True]
    assert all(around.width < WIDTH / 2 for around in looks if around is not None)


def test_looks_at_every_whole_frame_with_another_near(sparing: WormTracker, looks: list[Box | None]) -> None:
    other = DrawnWorm(620, 400, heading=1.5)
    for frame in range(12):
        sparing.track(draw([crawl(frame), other], seed=frame))
    assert looks == [None] * 12


def test_another_that_appears_is_seen_within_a_second(sparing: WormTracker, looks: list[Box | None]) -> None:
    other = DrawnWorm(620, 400, heading=1.5)
    for frame in range(24):
        sparing.track(draw([crawl(frame), other] if frame else [crawl(0)], seed=frame))
    assert looks[1] is not None
    assert looks[-4:] == [None] * 4


def test_a_part_of_the_frame_shows_the_worm_as_the_whole_does() -> None:
    detector = Detector(1000, 80, UM_PER_PX)
    for blur_um, phase_like in ((0, False), (100, False), (200, True)):
        frame = draw([crawl(4)], blur_um, phase_like=phase_like)
        whole = detector.detect(frame)[0]
        box = whole.box
        around = Box(box.x - 15, box.y + 10, box.width, box.height)
        part = detector.detect(frame, around=around)[0]
        assert math.dist(part.centre_px, whole.centre_px) < 0.5
        assert part.score == pytest.approx(whole.score, abs=0.02)


def test_a_worm_that_the_part_cuts_off_is_not_told_of() -> None:
    detector = Detector(1000, 80, UM_PER_PX)
    frame = draw([crawl(4)])
    box = detector.detect(frame)[0].box
    assert detector.detect(frame, around=Box(box.x + box.width - 20, box.y, 20, box.height)) == []


def test_without_a_whole_frame_before_the_whole_is_looked_at() -> None:
    frame = draw([crawl(4)])
    expected = Detector(1000, 80, UM_PER_PX).detect(frame)
    assert Detector(1000, 80, UM_PER_PX).detect(frame, around=Box(700, 500, 50, 50)) == expected


@pytest.mark.parametrize("corner", [(WIDTH + 70, 100), (-140, 100), (300, HEIGHT + 70), (WIDTH + 900, -900)])
def test_where_the_part_lies_outside_the_whole_is_looked_at(corner: tuple[int, int]) -> None:
    detector = Detector(1000, 80, UM_PER_PX)
    frame = draw([crawl(4)])
    assert detector.detect(frame) == detector.detect(frame, around=Box(*corner, 60, 60))


def test_a_worm_that_vanishes_is_missed_at_the_next_look(sparing: WormTracker) -> None:
    for frame in range(9):
        sparing.track(draw([crawl(frame)], seed=frame))
    states = [sparing.track(draw([], seed=frame)).state for frame in range(9, 30)]
    assert "searching" in states[:4]
    assert states[-1] == "lost"

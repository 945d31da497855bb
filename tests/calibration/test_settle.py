import itertools

import numpy as np
import pytest

from calibration.acquire import acquire_stack, home_if_needed
from calibration.settle import NotMeasurable, change_settles, measure_settle, settle_record
from hw.clock import VirtualClock
from hw.config import load_rig
from hw.frame import Frame
from hw.replay import ReplayedAxis
from hw.rig import Rig

SHAPE = (48, 64)
BEHIND_STEPS = 10


class CreepingLens:
    """A camera whose lens creeps the last part of every move after the motor has stopped."""

    def __init__(self, config, clock, axis, creep_s, rng, *, crawl=0.0, contrast=60.0, noise=0.5, slip=False):
        self.config, self.clock, self.axis, self.rng = config, clock, axis, rng
        self.creep_s, self.slip = creep_s, slip
        self.crawl, self.contrast, self.noise = crawl, contrast, noise
        self.texture = rng.normal(size=SHAPE)
        self.taken = []

    def lens_at(self, t):
        """Where it really is: when the motor stops ten steps behind, which it makes good evenly."""
        believed = self.axis.position_at(t)
        stop_s = self.axis._history.still_s - self.config.axis.settle_s
        if self.creep_s and stop_s <= t < stop_s + self.creep_s:
            return believed - BEHIND_STEPS * (1 if self.slip else 1 - (t - stop_s) / self.creep_s)
        return believed

    def frames(self):
        camera = self.config.camera
        for index in itertools.count():
            start = self.clock.now()
            self.clock.sleep(1 / camera.fps)
            middle = start + camera.exposure_s / 2
            sharp = self.contrast * np.exp(-(((self.lens_at(middle) - 60) / 150) ** 2))
            texture = self.texture.copy()
            texture[:4] = np.roll(texture[:4], round(self.crawl * middle), 1)
            image = 128 + sharp / 3 * texture + self.rng.normal(0, self.noise, SHAPE)
            grey = np.clip(image, 0, 255).astype(np.uint8)
            lens = self.axis.position_at(middle)
            moving = self.axis.moving_during(start, start + camera.exposure_s)
            frame = Frame(np.repeat(grey[..., None], 3, 2), index, start, camera.exposure_s, lens, moving)
            self.taken.append(frame)
            yield frame

    def close(self):
        pass


def creeping_rig(creep_s, seed=0, **subject):
    config = load_rig("worm_tracker")
    clock = VirtualClock()
    clock.sleep(2.0)
    axis = ReplayedAxis(config.axis, clock, 0.0)
    camera = CreepingLens(config, clock, axis, creep_s, np.random.default_rng(seed), **subject)
    return Rig(config, clock, camera, axis)


@pytest.mark.parametrize("creep_s", [0.08, 0.2, 0.33])
@pytest.mark.parametrize("seed", range(3))
def test_settle_time_is_that_of_the_image_and_never_too_short(creep_s, seed):
    rig = creeping_rig(creep_s, seed)
    home_if_needed(rig)
    found = measure_settle(rig, 60.0)
    frame_s = 1 / rig.config.camera.fps
    # The last of the creep, which noise hides, may be missing, and a frame may be too much.
    speed_um_s = BEHIND_STEPS * rig.axis.um_per_step / creep_s
    hidden_s = found.resolves_um / speed_um_s
    assert creep_s - hidden_s - 0.01 <= found.settle_s <= creep_s + frame_s
    assert hidden_s < frame_s


def test_a_lens_that_stops_with_its_motor_costs_no_more_than_a_frame():
    rig = creeping_rig(0.0)
    home_if_needed(rig)
    assert measure_settle(rig, 60.0).settle_s <= 1 / rig.config.camera.fps


def test_a_crawling_subject_does_not_pass_for_a_moving_lens():
    rig = creeping_rig(0.2, crawl=2.0)
    home_if_needed(rig)
    assert 0.1 <= measure_settle(rig, 60.0).settle_s <= 0.2 + 0.05


def test_a_shake_to_the_side_is_waited_for():
    rig = creeping_rig(0.0)
    camera, texture = rig.camera, rig.camera.texture
    rng, lens_at = np.random.default_rng(1), camera.lens_at

    def shaking(t):
        stop_s = rig.axis._history.still_s - rig.config.axis.settle_s
        camera.texture = np.roll(texture, rng.integers(1, 4), 0) if stop_s <= t < stop_s + 0.22 else texture
        return lens_at(t)

    camera.lens_at = shaking
    home_if_needed(rig)
    assert 0.21 <= measure_settle(rig, 60.0).settle_s <= 0.27


def test_a_lens_that_slips_into_place_late_is_waited_for():
    rig = creeping_rig(0.5, slip=True)
    home_if_needed(rig)
    assert 0.5 <= measure_settle(rig, 60.0).settle_s <= 0.55


@pytest.mark.parametrize(
    ("subject", "creep_s"),
    [({"contrast": 0.0}, 0.1), ({"slip": True}, 1.2)],
    ids=["nothing seen", "restless"],
)
def test_what_cannot_be_measured_is_said(subject, creep_s):
    reason = "does not stand out from noise"
    rig = creeping_rig(creep_s, **subject)
    home_if_needed(rig)
    with pytest.raises(NotMeasurable, match=reason):
        measure_settle(rig, 60.0)
    record = settle_record(rig, np.arange(-100.0, 101.0, 20))
    assert (record.source, record.settle_s) == ("rig file", rig.config.axis.settle_s)
    assert reason in record.reason


def test_stacks_wait_for_the_measured_time():
    rig = creeping_rig(0.25)
    home_if_needed(rig)
    record = settle_record(rig, np.arange(-100.0, 101.0, 20))
    assert record.source == "measured"
    ends = []
    move_to = rig.axis.move_to
    rig.axis.move_to = lambda steps: (move_to(steps), ends.append(rig.axis._history.profile))
    stack = acquire_stack(rig, np.arange(-100.0, 101.0, 20), settle_s=record.settle_s)
    assert len(stack.images) == 11
    used = [
        next(f for f in rig.camera.taken if np.array_equal(f.pixels[..., 0], plane)) for plane in stack.images
    ]
    errors = [
        abs(rig.camera.lens_at(f.mid_exposure_s) - f.lens_steps) * rig.axis.um_per_step for f in used[:-1]
    ]
    assert max(errors) <= record.resolves_um


def test_change_settles_finds_the_last_change_that_stands_out():
    at_rest = 0.003 * np.random.default_rng(0).normal(size=32)
    assert change_settles(at_rest)[0] == 0
    at_rest[:3] += [0.4, -0.2, 0.1]
    first, threshold, floor = change_settles(at_rest)
    assert first == 3
    assert floor == pytest.approx(0, abs=0.003)
    assert 0.006 < threshold < 0.03

"""The motion profile and its steps, held to what a motor can do."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from hw.motion import Profile, plan_move, plan_path, pulses_between

MAX_SPEED = 400.0
ACCELERATION = 4000.0

# Position, speed, target: rest, running towards, running away, too fast to stop before the target, at it.
STARTS = [
    (0.0, 0.0, 250.0),
    (250.0, 0.0, -250.0),
    (0.0, 0.0, 3.0),
    (0.0, 200.0, 100.0),
    (0.0, -400.0, 100.0),
    (0.0, 400.0, 5.0),
    (0.0, -400.0, -5.0),
    (7.0, 0.0, 7.0),
    (7.0, 300.0, 7.0),
    (7.0, -300.0, 7.0),
]


def random_starts(n: int, seed: int) -> list[tuple[float, float, float]]:
    rng = np.random.default_rng(seed)
    return [
        (rng.uniform(-1000, 1000), rng.uniform(-MAX_SPEED, MAX_SPEED), rng.uniform(-1000, 1000))
        for _ in range(n)
    ]


def plan(position: float, speed: float, target: float, start_s: float = 10.0) -> Profile:
    return plan_move(start_s, position, speed, target, MAX_SPEED, ACCELERATION)


@pytest.mark.parametrize(("position", "speed", "target"), STARTS + random_starts(100, seed=1))
def test_a_move_obeys_the_motor_and_ends_at_rest_on_target(
    position: float, speed: float, target: float
) -> None:
    profile = plan(position, speed, target)
    t, dt = np.linspace(10.0, profile.end_s, 2001, retstep=True)
    x = np.array([profile.position_at(s) for s in t])
    v = np.array([profile.speed_at(s) for s in t[:-1]])

    assert abs(x[0] - position) < 1e-6
    assert np.all(np.abs(v) <= MAX_SPEED + 1e-6)
    assert np.all(np.abs(np.diff(v)) <= ACCELERATION * dt + 1e-6)
    # The speed is the derivative of the position: no jump is hidden between the samples.
    assert np.all(np.abs(np.diff(x) - v * dt) <= 0.5 * ACCELERATION * dt * dt + 1e-6)
    assert abs(v[-1]) <= ACCELERATION * dt + 1e-6
    for later in (profile.end_s, profile.end_s + 1.0):
        assert profile.position_at(later) == target
        assert profile.speed_at(later) == 0.0


def test_the_reference_rig_needs_0_725_s_for_250_steps() -> None:
    # 0.1 s to 400 steps/s and 0.1 s back cover 40 steps; the other 210 take 0.525 s.
    assert plan(0.0, 0.0, 250.0).end_s - 10.0 == pytest.approx(0.725)


def test_a_short_move_never_reaches_full_speed() -> None:
    profile = plan(0.0, 0.0, 10.0)
    assert profile.end_s - 10.0 == pytest.approx(2 * np.sqrt(10.0 / ACCELERATION))
    assert max(abs(profile.speed_at(t)) for t in np.linspace(10.0, profile.end_s, 501)) < MAX_SPEED


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("new_target", [-300.0, 0.0, 60.0, 250.0, 400.0])
def test_a_new_target_in_mid_move_continues_position_and_speed(share: float, new_target: float) -> None:
    first = plan(0.0, 0.0, 250.0)
    t = 10.0 + share * (first.end_s - 10.0)
    x, v = first.position_at(t), first.speed_at(t)
    second = plan(x, v, new_target, start_s=t)
    assert second.position_at(t) == pytest.approx(x, abs=1e-9)
    assert second.speed_at(t) == pytest.approx(v, abs=1e-9)
    assert second.position_at(second.end_s) == new_target


def test_the_same_target_again_does_not_change_the_move() -> None:
    first = plan(0.0, 0.0, 250.0)
    for t in np.linspace(10.0, first.end_s, 20, endpoint=False):
        again = plan(first.position_at(t), first.speed_at(t), 250.0, start_s=float(t))
        assert again.end_s == pytest.approx(first.end_s, abs=1e-6)


def test_a_reversal_brakes_to_rest_before_it_turns() -> None:
    profile = plan(0.0, 400.0, -100.0)
    turn_s = 10.0 + 400.0 / ACCELERATION
    assert profile.speed_at(turn_s) == pytest.approx(0.0, abs=1e-6)
    assert profile.position_at(turn_s) == pytest.approx(20.0)
    before = [profile.speed_at(t) for t in np.linspace(10.0, turn_s - 1e-6, 50)]
    after = [profile.speed_at(t) for t in np.linspace(turn_s + 1e-6, profile.end_s - 1e-6, 50)]
    assert min(before) > 0 > max(after)


def test_a_lens_that_cannot_stop_in_time_overshoots_by_no_more_than_its_stopping_distance() -> None:
    profile = plan(0.0, 400.0, 5.0)
    reached = max(profile.position_at(t) for t in np.linspace(10.0, profile.end_s, 1001))
    assert reached == pytest.approx(20.0, abs=0.01)
    assert profile.position_at(profile.end_s) == 5.0


def test_a_move_to_where_the_lens_stands_takes_no_time() -> None:
    profile = plan(7.0, 0.0, 7.0)
    assert profile.end_s == 10.0
    assert profile.position_at(10.0) == 7.0


def all_steps(profile: Profile, motor: int, windows: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Times and directions of all steps, taken window by window."""
    times, directions = [], []
    for begin, end in pairwise(windows):
        for pulses in pulses_between(profile, motor, begin, end):
            assert np.all((pulses.due_s > begin) | np.isclose(pulses.due_s, begin))
            assert np.all(pulses.due_s <= end)
            sign = 1 if pulses.forward else -1
            motor += sign * len(pulses.due_s)
            times += pulses.due_s.tolist()
            directions += [sign] * len(pulses.due_s)
    return np.array(times), np.array(directions)


@pytest.mark.parametrize("seed", range(40))
def test_the_steps_of_a_path_are_exact_and_never_closer_than_at_full_speed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    waypoints = rng.integers(-60, 60, rng.integers(1, 5)).tolist()
    profile = plan_path(10.0, 5.0, 0.0, waypoints, MAX_SPEED, ACCELERATION)
    chunks = np.unique([9.9, *rng.uniform(10.0, profile.end_s, 30), profile.end_s])
    times, directions = all_steps(profile, 5, chunks)
    way = np.abs(np.diff([5, *waypoints])).sum()
    assert len(times) == way, "every turn is on a whole step, so none is lost or doubled"
    assert 5 + directions.sum() == waypoints[-1]
    if way > 1:
        assert np.diff(times).min() >= 1 / MAX_SPEED - 1e-9
    whole, _ = all_steps(profile, 5, [9.9, profile.end_s + 1])
    np.testing.assert_allclose(times, whole, atol=1e-9)
    at_steps = 5 + np.concatenate([[0], np.cumsum(directions)])
    for t, before, after in zip(times, at_steps[:-1], at_steps[1:], strict=True):
        assert profile.position_at(t) == pytest.approx((before + after) / 2, abs=1e-6)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.999])
def test_a_delayed_profile_stands_still_and_then_goes_on_as_it_was(share: float) -> None:
    profile = plan(0.0, 0.0, 250.0)
    at_s = 10.0 + share * (profile.end_s - 10.0)
    late = profile.delayed(at_s, 0.25)
    assert late.end_s == profile.end_s + 0.25
    for t in np.linspace(at_s, profile.end_s, 101):
        assert late.position_at(t + 0.25) == pytest.approx(profile.position_at(t), abs=1e-9)
        assert late.speed_at(t + 0.25) == pytest.approx(profile.speed_at(t), abs=1e-6)
    for wait_s in (0.0, 0.1, 0.25):
        assert late.position_at(at_s + wait_s) == pytest.approx(profile.position_at(at_s))
    times, _ = all_steps(profile, 0, [9.9, profile.end_s])
    sent = int((times <= at_s).sum())
    late_times, _ = all_steps(late, sent, [at_s, late.end_s])
    np.testing.assert_allclose(late_times, times[sent:] + 0.25, atol=1e-9)
    assert len(late.delayed(at_s + 0.3, 0.1).segments) <= len(profile.segments) + 1, "it does not pile up"


def test_a_profile_that_has_not_begun_can_be_delayed() -> None:
    late = plan(0.0, 0.0, 250.0).delayed(9.0, 0.25)
    assert late.position_at(10.2) == 0
    assert late.position_at(10.25 + 0.1) == pytest.approx(20)


def test_a_profile_that_is_over_cannot_be_delayed() -> None:
    profile = plan(0.0, 0.0, 250.0)
    assert profile.delayed(profile.end_s, 1.0) is profile

import pytest

from hw.motion import plan_move
from hw.move_history import MoveHistory

SETTLE_S = 0.03


def history_of(*moves: tuple[float, float], backlash: float = 0.0) -> MoveHistory:
    """A history of moves that begin at a time in seconds and go to a position in steps."""
    history = MoveHistory(0.0, SETTLE_S, backlash)
    for start_s, target in moves:
        position, speed = history.motor_at(start_s), history.speed_at(start_s)
        history.begin(start_s, plan_move(start_s, position, speed, target, 400, 4000))
    return history


def test_a_new_move_does_not_change_the_past() -> None:
    first, both = history_of((1.0, 400.0)), history_of((1.0, 400.0), (1.5, -100.0))
    for t in (0.0, 1.0, 1.2, 1.4999):
        assert both.position_at(t) == first.position_at(t)
    assert both.position_at(1.55) < first.position_at(1.55)
    assert both.rest_position == -100


def test_a_lens_with_play_follows_through_turns() -> None:
    history = history_of((0.0, 100.0), (2.0, 50.0), (4.0, 53.0), backlash=6.0)
    assert history.position_at(1.9) == 100
    assert history.position_at(3.9) == 56
    assert history.motor_at(3.9) == 50
    assert history.rest_position == 56, "3 steps up do not take up 6 of play"


def test_an_exposure_that_touches_a_move_or_its_settling_is_moving() -> None:
    history = history_of((1.0, 40.0))
    end_s = history.profile.end_s
    assert history.still_s == pytest.approx(end_s + SETTLE_S)
    assert not history.moving_during(0.9, 1.0)
    assert history.moving_during(0.9, 1.001)
    assert history.moving_during(1.0, 1.0)
    assert history.moving_during(end_s + 0.02, end_s + 1)
    assert not history.moving_during(history.still_s, end_s + 1)


def test_a_stop_where_the_last_step_was_and_a_recount() -> None:
    history = history_of((1.0, 400.0), backlash=6.0)
    history.rest(1.5, 179)
    assert history.position_at(1.6) == pytest.approx(180), "the lens was ahead, within the play"
    assert history.moving_during(1.51, 1.52)
    assert not history.moving_during(1.54, 9.0)
    history.recount(3.0, 10, 12.5)
    assert history.position_at(2.9) == pytest.approx(180)
    assert history.position_at(3.0) == 12.5
    assert not history.moving_during(2.0, 4.0)
    assert history.still_s < 3.0


def test_lateness_is_a_standstill_and_shifts_the_rest() -> None:
    history = history_of((1.0, 400.0))
    planned = history_of((1.0, 400.0))
    history.delay(1.5, 0.1)
    history.delay(1.7, 0.0)
    assert history.position_at(1.55) == pytest.approx(planned.position_at(1.5))
    assert history.position_at(1.75) == pytest.approx(planned.position_at(1.65))
    assert history.profile.end_s == pytest.approx(planned.profile.end_s + 0.1)
    assert history.speed_at(1.8) == pytest.approx(400)


def test_an_old_move_is_forgotten_but_the_oldest_kept_answers() -> None:
    history = history_of(*((float(k), float(k % 2)) for k in range(1500)))
    assert history.position_at(1499.9) == 1
    assert history.position_at(-5.0) in (0.0, 1.0)

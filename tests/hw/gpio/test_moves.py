"""What a motor driver sees of a move, by whatever library."""

import threading
import time
from typing import Any

import numpy as np
import pytest

from hw.errors import AxisFault
from hw.step_driver import Pulses

# conftest.py's: the pins, and what its records resolve.
STEP, DIR, EN = 17, 27, 22
RESOLUTION_S = 2e-6
LONGEST_STOP_S = 0.020


def rising(edges: list[Any], pin: int = STEP) -> list[float]:
    return [edge.time_s for edge in edges if edge.pin == pin and edge.high]


def directions(edges: list[Any]) -> list[int]:
    """Direction of every step, from DIR's level when STEP rose."""
    forward, steps = False, []
    for edge in edges:
        if edge.pin == DIR:
            forward = edge.high
        elif edge.pin == STEP and edge.high:
            steps.append(1 if forward else -1)
    return steps


def assert_as_the_data_sheet_asks(bench: Any) -> None:
    """Pulse width high and low, and DIR set-up before the first step after every change."""
    edges, changed_s, last = bench.edges(), -np.inf, {STEP: -np.inf, DIR: -np.inf, EN: -np.inf}
    for edge in edges:
        if edge.pin == DIR:
            changed_s = edge.time_s
        if edge.pin == STEP:
            assert edge.time_s - last[STEP] >= bench.drive.pulse_s - RESOLUTION_S
            assert edge.time_s - changed_s >= bench.drive.dir_setup_s - RESOLUTION_S
        last[edge.pin] = edge.time_s


def test_moves_come_out_step_for_step_each_way(bench: Any, player: Any) -> None:
    made = [player.move(steps) for steps in (400, -450, 87)]

    assert made == [400, 450, 87]
    edges = bench.edges()
    assert directions(edges) == [1] * 400 + [-1] * 450 + [1] * 87
    assert sum(directions(edges)) == 37
    assert [edge.high for edge in edges if edge.pin == DIR] == [True, False, True]
    assert_as_the_data_sheet_asks(bench)
    assert np.diff(rising(edges)).min() >= 1 / 400 - RESOLUTION_S


def test_no_interval_is_shorter_than_the_one_asked_for(bench: Any, player: Any) -> None:
    player.move(200)

    intervals, asked = np.diff(rising(bench.edges())), np.diff(player.asked_s)
    assert intervals.size == 199
    assert (intervals - asked).min() >= -RESOLUTION_S
    # And not much longer either: what one step took in all, at worst and on average.
    assert np.median(intervals - asked) < 5e-4


def test_after_a_stall_the_move_is_late_and_nothing_is_made_up_for(bench: Any, player: Any) -> None:
    bench.stall(after_s=0.3, for_s=0.08)

    player.move(200)

    intervals, asked = np.diff(rising(bench.edges())), np.diff(player.asked_s)
    assert intervals.size == 199
    assert (intervals - asked).min() >= -RESOLUTION_S
    assert np.sum(intervals - asked > 0.05) == 1
    assert player.late_s >= 0.07


def test_a_stop_acts_within_20_ms_and_every_step_is_counted(bench: Any) -> None:
    asked_s: list[float] = []

    def stop() -> None:
        asked_s.append(bench.clock.now())
        bench.driver.interrupt()

    bench.later(0.2, stop)
    start_s = bench.clock.now() + 0.01
    played = bench.driver.play(Pulses(True, start_s + np.arange(800) / 400))
    ended_s = bench.clock.now()

    steps = rising(bench.edges())
    assert 40 < len(steps) < 120
    assert played.count == len(steps)
    assert steps[-1] - asked_s[0] < LONGEST_STOP_S
    assert ended_s - asked_s[0] < LONGEST_STOP_S
    print(
        f"stop: last step {(steps[-1] - asked_s[0]) * 1e3:.2f} ms, end {(ended_s - asked_s[0]) * 1e3:.2f} ms"
    )


def test_a_stop_ends_a_long_wait_for_a_step(bench: Any) -> None:
    bench.later(0.1, bench.driver.interrupt)
    begun_s = bench.clock.now()

    played = bench.driver.play(Pulses(True, begun_s + np.array([5.0])))

    assert played.count == 0
    assert bench.clock.now() - begun_s < 0.1 + LONGEST_STOP_S
    assert rising(bench.edges()) == []


def test_a_stop_is_over_with_the_play_it_ended(bench: Any, player: Any) -> None:
    bench.driver.interrupt()
    assert player.move(5) == 5


def test_a_chunk_that_comes_too_late_keeps_its_intervals(bench: Any) -> None:
    due_s = bench.clock.now() - 1.0 + np.arange(10) / 400

    played = bench.driver.play(Pulses(False, due_s))

    steps = rising(bench.edges())
    assert played.count == len(steps) == 10
    assert np.diff(steps).min() >= 1 / 400 - RESOLUTION_S
    assert played.late_s == pytest.approx(steps[-1] - due_s[-1], abs=1e-3)


def test_dir_is_written_only_when_the_direction_changes(bench: Any, player: Any) -> None:
    for steps in (3, 3, -3, -3, 3):
        player.move(steps)

    assert [edge.high for edge in bench.edges() if edge.pin == DIR] == [True, False, True]
    assert_as_the_data_sheet_asks(bench)


def test_steps_closer_than_the_driver_can_see_are_spread(bench: Any) -> None:
    played = bench.driver.play(Pulses(True, np.full(20, bench.clock.now())))

    assert played.count == 20
    assert_as_the_data_sheet_asks(bench)


def test_the_end_stop_ends_a_move_within_20_ms(bench: Any, player: Any) -> None:
    bench.press(False)
    assert bench.driver.end_stop is False
    pressed_s: list[float] = []

    def press() -> None:
        pressed_s.append(bench.clock.now())
        bench.press(True)

    bench.later(0.3, press)
    made = player.move(-400, until=lambda: bench.driver.end_stop)

    steps = rising(bench.edges())
    assert made == len(steps) < 200
    assert steps[-1] - pressed_s[0] < LONGEST_STOP_S
    bench.press(False)
    assert bench.driver.end_stop is False


def test_the_motor_is_on_when_told_and_off_after_closing(bench: Any) -> None:
    bench.driver.enable(True)
    bench.driver.enable(False)
    bench.driver.enable(True)
    # EN is active low.
    assert [edge.high for edge in bench.edges() if edge.pin == EN] == [False, True, False]

    bench.driver.close()
    bench.driver.close()

    assert [edge.high for edge in bench.edges() if edge.pin == EN][:4] == [False, True, False, True]
    for use in (lambda: bench.driver.play(Pulses(True, np.zeros(1))), lambda: bench.driver.enable(True)):
        with pytest.raises(AxisFault, match="closed; open the rig again"):
            use()


def test_closing_from_another_thread_ends_what_is_being_played(paper_in_real_time: Any) -> None:
    driver, lines = paper_in_real_time
    driver.enable(True)
    closing = threading.Timer(0.1, driver.close)
    closing.start()

    played = driver.play(Pulses(True, time.monotonic() + np.arange(2000) / 400))
    closing.join()

    assert played.count == len(rising(lines.written)) < 2000
    assert lines.released
    # Off, and nothing after it.
    assert lines.written[-1][1:] == (EN, True)

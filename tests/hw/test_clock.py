import time

import pytest

from hw.clock import Clock, SystemClock, VirtualClock


@pytest.mark.parametrize("clock", [SystemClock(), VirtualClock()], ids=["system", "virtual"])
def test_time_moves_on_by_what_was_slept_and_never_back(clock: Clock) -> None:
    before = clock.now()
    clock.sleep(0.01)
    after = clock.now()
    clock.sleep(-1.0)
    assert after - before >= 0.01
    assert clock.now() >= after


def test_virtual_time_is_exact_and_costs_no_real_time() -> None:
    clock = VirtualClock()
    started = time.perf_counter()
    for _ in range(24):
        clock.sleep(3600.0)
    assert clock.now() == 86400.0
    assert time.perf_counter() - started < 1.0


def test_advance_to_a_time_in_the_past_is_no_move() -> None:
    clock = VirtualClock()
    clock.advance_to(5.0)
    clock.advance_to(2.0)
    assert clock.now() == 5.0


def test_virtual_time_stands_still_between_calls() -> None:
    clock = VirtualClock()
    clock.sleep(1.5)
    time.sleep(0.002)
    assert clock.now() == 1.5

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from hw.gpio.realtime import ask_for_real_time


def in_a_thread() -> tuple[str | None, int]:
    """What `ask_for_real_time` says, and the scheduling class afterwards."""
    result: list[tuple[str | None, int]] = []
    thread = threading.Thread(target=lambda: result.append((ask_for_real_time(), os.sched_getscheduler(0))))
    thread.start()
    thread.join()
    return result[0]


@pytest.fixture(autouse=True)
def switch_interval_kept() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_a_thread_gets_real_time_priority_or_hears_why_not() -> None:
    refusal, policy = in_a_thread()
    if refusal is None:
        assert policy == os.SCHED_FIFO
    else:
        assert policy == os.SCHED_OTHER
        assert "LimitRTPRIO=40" in refusal
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert sys.getswitchinterval() == pytest.approx(5e-4)


def test_a_refusal_names_its_reason_and_what_would_help(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    refusal, policy = in_a_thread()
    assert policy == os.SCHED_OTHER
    assert refusal is not None
    assert "Operation not permitted" in refusal
    assert "CAP_SYS_NICE" in refusal

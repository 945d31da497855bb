"""The computer's own health: what its files and programs say, read right."""

from collections import namedtuple
from pathlib import Path

import pytest

from hw import machine
from hw.check import Check, Status, guarded
from hw.errors import AxisFault
from hw.machine import check_board, check_disk, check_temperature, check_throttling, throttling


@pytest.mark.parametrize(
    ("board", "status"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4", Status.ok),
        ("Raspberry Pi 5 Model B Rev 1.0", Status.ok),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", Status.warning),
        ("Some other board", Status.missing),
    ],
)
def test_a_real_rig_needs_a_pi_4_or_5(tmp_path: Path, board: str, status: Status) -> None:
    model = tmp_path / "model"
    model.write_bytes(board.encode() + b"\0")
    found = check_board(needs_pi=True, model=model)
    assert found.status is status
    assert found.seen.startswith(f"{board}; ")
    assert bool(found.next_step) == (status is not Status.ok)


def test_a_simulated_rig_needs_no_pi(tmp_path: Path) -> None:
    assert check_board(needs_pi=False, model=tmp_path / "none").status is Status.ok
    assert check_board(needs_pi=True, model=tmp_path / "none").status is Status.missing


@pytest.mark.parametrize(
    ("bits", "now", "since"),
    [
        (0x0, [], []),
        (0x1, ["under-voltage"], []),
        (0x50000, [], ["under-voltage", "throttled"]),
        (0x50005, ["under-voltage", "throttled"], []),
        (0xE0008, ["soft temperature limit"], ["processor frequency capped", "throttled"]),
    ],
)
def test_the_firmwares_bits_are_decoded(bits: int, now: list[str], since: list[str]) -> None:
    assert throttling(bits) == (now, since)


@pytest.mark.parametrize(
    ("said", "status", "seen"),
    [
        ("throttled=0x0", Status.ok, "no under-voltage"),
        ("throttled=0x50000", Status.warning, "since boot: under-voltage, throttled (0x50000)"),
        ("throttled=0x50005", Status.failed, "now: under-voltage, throttled (0x50005)"),
        ("VCHI initialization failed", Status.warning, "VCHI initialization failed"),
        ("", Status.warning, "not known"),
    ],
)
def test_throttling_is_judged_by_what_vcgencmd_says(
    tmp_path: Path, said: str, status: Status, seen: str
) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text(f"#!/bin/sh\n[ $1 = get_throttled ] && echo '{said}'\n")
    program.chmod(0o755)
    found = check_throttling(str(program))
    assert found.status is status
    assert seen in found.seen
    assert bool(found.next_step) == (status is not Status.ok)


def test_without_vcgencmd_nothing_is_known(tmp_path: Path) -> None:
    found = check_throttling(str(tmp_path / "vcgencmd"))
    assert (found.status, found.seen.split(":")[0]) == (Status.warning, "not known")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("48300\n", Status.ok),
        ("71000\n", Status.warning),
        ("82500\n", Status.failed),
        ("hot\n", Status.warning),
        (None, Status.warning),
    ],
)
def test_temperature(tmp_path: Path, text: str | None, status: Status) -> None:
    sensor = tmp_path / "temp"
    if text is not None:
        sensor.write_text(text)
    found = check_temperature(sensor)
    assert found.status is status
    if text == "48300\n":
        assert "48.3 degrees" in found.seen


@pytest.mark.parametrize(
    ("free", "status"),
    [(100_000_000_000, Status.ok), (100_000_000, Status.warning), (1_000_000, Status.failed)],
)
def test_disk_space_is_told_as_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: Status
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage(free))
    assert check_disk(tmp_path, 20.0).status is status


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    found = check_disk(tmp_path / "nowhere", 20.0)
    assert (found.status, found.next_step) == (Status.failed, "name a folder that exists")


def test_a_check_that_breaks_is_a_finding() -> None:
    def fault() -> list[Check]:
        raise AxisFault("focus axis: stuck, somehow; oil it")

    def accident() -> list[Check]:
        raise IndexError

    assert guarded("axis", fault) == [Check("axis", Status.failed, "focus axis: stuck, somehow", "oil it")]
    (found,) = guarded("camera", accident)
    assert (found.status, found.seen) == (Status.failed, "IndexError")
    assert found.next_step

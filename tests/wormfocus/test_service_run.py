"""`run` as a service: without an end, told to stop by a signal, within bounds on the disk."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from calibration.stack import ZStack, write_stack
from wormfocus.command import main
from wormfocus.stop import StopRequest

TIMEOUT_S = 120


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = np.random.default_rng(3).integers(0, 255, (3, 48, 48), dtype=np.uint8)
    path = tmp_path_factory.mktemp("stack") / "texture.ome.tif"
    write_stack(path, ZStack(images, np.array([0.0, 100.0, 200.0]), um_per_px=2.0))
    return path


@pytest.fixture
def manager(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(TIMEOUT_S)
        yield listening


def service(recording: Path, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    command = ("run", "--rig", "replay", "--method", "none", "--stack", recording, "--seconds", "inf")
    return subprocess.Popen(
        [sys.executable, "-m", "wormfocus", *map(str, (*command, *arguments))],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_says_ready_and_alive_and_ends_in_good_order(recording, manager, tmp_path, number):
    sessions, figures_file = tmp_path / "sessions", tmp_path / "figures.json"
    process = service(
        *(recording, "--sessions", sessions, "--json", figures_file),
        NOTIFY_SOCKET=manager.getsockname(),
        WATCHDOG_USEC="400000",
    )
    try:
        assert manager.recv(4096).decode().splitlines()[0] == "READY=1"
        alive = [manager.recv(4096).decode().splitlines()[0] for _ in range(3)]
        assert alive == ["WATCHDOG=1"] * 3
        process.send_signal(number)
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 0, err
    messages = [alive]
    manager.setblocking(False)
    while messages[-1][0] != "STOPPING=1":
        messages.append(manager.recv(4096).decode().splitlines())
    (folder,) = sessions.iterdir()
    assert (folder / "summary.png").exists()
    assert f"session in {folder}" in out
    assert json.loads(figures_file.read_text())["frames"] > 3
    assert json.loads((folder / "events.jsonl").read_text().splitlines()[-1])["reason"] == "finished"


def test_a_loop_that_is_held_falls_silent(recording, manager):
    process = service(recording, NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="400000")
    try:
        manager.recv(4096)
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        manager.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                manager.recv(4096)
        # Ten intervals.
        time.sleep(1.0)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)
        process.send_signal(signal.SIGCONT)
        manager.settimeout(TIMEOUT_S)
        assert manager.recv(4096).startswith(b"WATCHDOG=1")
    finally:
        process.kill()
        process.communicate()


def test_a_signal_before_the_loop_interrupts():
    with StopRequest(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


def test_the_first_signal_is_noted_and_the_second_interrupts():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--session", "a", "--sessions", "b"), "exclude each other"),
        (("--seconds", "nan"), "--seconds"),
        (("--sessions", "b", "--sessions-gb", "0"), "0"),
    ],
)
def test_options_that_make_no_sense_are_bad_input(recording, arguments, reason, capsys):
    command = ("run", "--rig", "replay", "--method", "none", "--stack", str(recording), *arguments)
    assert main(list(command)) == 2
    assert reason in capsys.readouterr().err

"""What systemd hears, on a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.decision import Decision
from hw.clock import VirtualClock
from hw.errors import ConfigError
from wormfocus.notify import Notifier

STEP = SimpleNamespace(
    look=SimpleNamespace(decision=Decision("hold", None, "inside the\ndead band", "locked")),
    axis=SimpleNamespace(position_steps=-212.4),
)
ALIVE = ["WATCHDOG=1", "STATUS=locked (inside the dead band), lens at -212 steps"]


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.setblocking(False)

    def heard(self) -> list[list[str]]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode().splitlines())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@wormfocus-test-{os.getpid()}"


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    listening = Manager(address)
    yield listening
    listening.socket.close()


def test_ready_at_the_first_frame_then_alive_a_quarter_of_the_timeout_apart(manager, address):
    clock = VirtualClock()
    with Notifier(address, 8.0, clock) as notifier:
        assert manager.heard() == []
        notifier.step(STEP)
        assert manager.heard() == [["READY=1", *ALIVE]]
        for _ in range(99):
            clock.sleep(0.1)
            notifier.step(STEP)
        # 9.9 s of frames: at 2, 4, 6 and 8 s, give or take the rounding of a tenth of a second.
        assert manager.heard() == [ALIVE] * 4
        notifier.stopping()
        assert manager.heard() == [["STOPPING=1", "STATUS=finishing the session"]]


def test_a_loop_that_hangs_is_silent(manager, address):
    clock = VirtualClock()
    with Notifier(address, 8.0, clock) as notifier:
        notifier.step(STEP)
        manager.heard()
        clock.sleep(60)
        assert manager.heard() == []


def test_a_full_socket_never_holds_up_the_loop_and_ready_is_said_again(manager, address):
    clock = VirtualClock()
    flood = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    flood.setblocking(False)
    with flood, Notifier(address, 8.0, clock) as notifier:
        with suppress(BlockingIOError):
            while True:
                flood.sendto(b"x", address.replace("@", "\0", 1))
        notifier.step(STEP)
        assert ["READY=1", *ALIVE] not in manager.heard()
        notifier.step(STEP)
        assert manager.heard() == [["READY=1", *ALIVE]]


def test_what_systemd_puts_into_the_environment(manager, address):
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "8000000", "WATCHDOG_PID": str(os.getpid())}
    with Notifier.from_environment(environment) as notifier:
        assert notifier._interval_s == 2.0
        notifier.step(STEP)
    assert manager.heard()[0][0] == "READY=1"


def test_the_watchdog_of_another_process_is_not_ours(manager, address):
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    with Notifier.from_environment(environment) as notifier:
        assert notifier._interval_s == 10.0


def test_without_systemd_nobody_is_told():
    with Notifier.from_environment({}) as notifier:
        notifier.step(STEP)
        notifier.stopping()
        assert notifier._socket is None


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"NOTIFY_SOCKET": "/nowhere/notify"}, "NOTIFY_SOCKET=/nowhere/notify"),
        ({"WATCHDOG_USEC": "soon"}, "WATCHDOG_USEC"),
    ],
)
def test_a_wrong_environment_is_told(environment, name):
    with pytest.raises(ConfigError, match=name):
        Notifier.from_environment(environment)

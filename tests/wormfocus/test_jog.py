"""`wormfocus jog`, by options and by keys typed into a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hw.config import load_rig
from hw.position_file import PositionFile
from wormfocus.command import main
from wormfocus.jog_keys import keys_in

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    """A simulated rig that keeps its position in a file."""
    data = load_rig("worm_tracker_sim").model_dump(mode="json", exclude_none=True)
    data["axis"]["drive"]["position_file"] = str(tmp_path / "axis.json")
    path = tmp_path / "rig.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def kept(rig: Path) -> tuple[float, bool]:
    position = PositionFile(rig.with_name("axis.json")).read()
    assert position is not None
    return position.lens_steps, position.trusted


def test_moves_are_made_confirmed_and_kept(rig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def jog(*options: str) -> list[int]:
        assert main(["jog", "--rig", str(rig), *options]) == 0
        out = capsys.readouterr().out
        assert out.startswith("SIMULATED")
        return [int(steps) for steps in re.findall(r": ([+-]\d+) steps", out)]

    assert jog("--confirm-position", "0") == [0, 0]
    assert jog("--by", "20") == [0, 20]
    assert kept(rig) == (20, True)
    assert jog("--by-um", "-50") == [20, 10]
    assert jog("--to", "-7") == [10, -7]
    assert jog("--home") == [-7, -7]
    assert jog("--confirm-position", "100") == [-7, 100]
    assert kept(rig) == (100, True)


def test_an_unhomed_axis_moves_only_with_leave(rig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jog", "--rig", str(rig), "--by", "5"]) == 1
    assert "--unhomed" in capsys.readouterr().err
    assert main(["jog", "--rig", str(rig), "--to", "5", "--unhomed"]) == 1, "a place needs a known position"
    assert main(["jog", "--rig", str(rig), "--by", "5", "--unhomed"]) == 0
    out = capsys.readouterr().out
    assert "NOT TRUSTED" in out
    assert "the position is not known" in out
    assert not rig.with_name("axis.json").exists(), "nothing that could be trusted"
    assert main(["jog", "--rig", str(rig), "--by", "5000", "--unhomed"]) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--by", "1", "--to", "2"], "--by and --to at once"),
        (["--home", "--confirm-position", "0"], "at once"),
        (["--by", "1.5"], "--by"),
        (["--to", "nan"], "finite"),
        (["--by-um", "inf"], "finite"),
        (["--to", "1001"], "outside the axis's limits"),
        (["--by", "-1001"], "outside the axis's limits"),
        (["--confirm-position", "4000"], "outside the axis's limits"),
        ([], "no terminal"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(
    options: list[str], reason: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert main(["jog", "--rig", "worm_tracker_sim", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


def test_a_replayed_rig_has_no_motor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jog", "--rig", "replay", "--by", "1"]) == 2
    assert "has no motor" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "keys", "rest"),
    [
        ("+-q", ["+", "-", "q"], ""),
        ("\x1b[A\x1b[B\x1bOC\x1b[D", ["up", "down", "right", "left"], ""),
        ("1\x1b", ["1"], "\x1b"),
        ("\x1b[", [], "\x1b["),
        ("\x1b[5", [], "\x1b[5"),
        ("\x1b[5~+", ["+"], ""),
        ("\x1b[1;5A+", ["+"], ""),
        ("\x1bx+", ["+"], ""),
    ],
)
def test_what_a_terminal_sends_is_taken_apart(typed: str, keys: list[str], rest: str) -> None:
    assert keys_in(typed) == (keys, rest)


class Terminal:
    """A terminal with `wormfocus jog` in it."""

    def __init__(self, rig: Path, *options: str) -> None:
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (30, 120))
        self.before = termios.tcgetattr(self.slave)
        self.seen = ""
        # Where the tests run in the background, Ctrl-C is ignored, and a child would inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wormfocus", "jog", "--rig", str(rig), *options],
                cwd=ROOT,
                stdin=self.slave,
                stdout=self.slave,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def wait_for(self, text: str) -> None:
        """Read until a text has appeared since the last one that was waited for."""
        end_s = time.monotonic() + 12
        while text not in self.seen:
            assert time.monotonic() < end_s, f"{text!r} not in {self.seen!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 4096).decode()
        self.seen = self.seen.partition(text)[2]

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> tuple[int, str]:
        """Wait for the end; exit status and stderr; the terminal must be as it was."""
        _, err = self.process.communicate(timeout=30)
        assert termios.tcgetattr(self.slave) == self.before
        return self.process.returncode, err.decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        os.close(self.slave)
        if self.master >= 0:
            os.close(self.master)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Terminals to be closed at the end of a test."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_an_operator_moves_the_lens_by_keys(rig: Path, terminals: list[Terminal]) -> None:
    assert main(["jog", "--rig", str(rig), "--confirm-position", "0"]) == 0
    terminal = Terminal(rig)
    terminals.append(terminal)
    terminal.wait_for("SIMULATED worm_tracker_sim")
    terminal.wait_for("trusted, limits -1000 to +1000 | step 1 ")
    assert termios.tcgetattr(terminal.slave) != terminal.before
    terminal.type("+\x1b[A=")
    terminal.wait_for("+3 steps = +15.0 um")
    terminal.type("2\x1b[B")
    terminal.wait_for("-7 steps = -35.0 um")
    terminal.type("x\x1b[5~?")
    terminal.wait_for("step size 1, 10, 100")
    terminal.type("3" + 12 * "+")
    terminal.wait_for("outside its limits -1000 to 1000; stay inside")
    terminal.type("s")
    terminal.wait_for("step 100 | current on")
    terminal.type("c-12\x7f5\r")
    terminal.wait_for("confirmed: the lens is at -15 steps")
    terminal.type("c9q")
    terminal.wait_for("not confirmed")
    terminal.type("q")
    assert terminal.ended() == (0, "")
    assert kept(rig) == (-15, True)


def test_an_unhomed_axis_is_confirmed_by_keys(rig: Path, terminals: list[Terminal]) -> None:
    terminal = Terminal(rig)
    terminals.append(terminal)
    terminal.wait_for("NOT TRUSTED")
    terminal.type("+")
    terminal.wait_for("not homed")
    terminal.type("h")
    terminal.wait_for("not homed")
    terminal.type("c\r")
    terminal.wait_for("confirmed: the lens is at +0 steps")
    terminal.type("+")
    terminal.wait_for("+1 steps")
    terminal.type("q")
    assert terminal.ended() == (0, "")
    assert kept(rig) == (1, True)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGHUP"])
def test_however_it_ends_terminal_and_position_are_left_in_order(
    how: str, rig: Path, terminals: list[Terminal]
) -> None:
    assert main(["jog", "--rig", str(rig), "--confirm-position", "0"]) == 0
    terminal = Terminal(rig)
    terminals.append(terminal)
    terminal.wait_for("current")
    terminal.type("3+++")
    terminal.wait_for("moving")
    # Once more: it has got somewhere.
    terminal.wait_for("moving")
    number = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}[how]
    terminal.process.send_signal(number)
    status, err = terminal.ended()
    assert status == 130
    assert "Traceback" not in err
    steps, trusted = kept(rig)
    assert trusted
    assert 0 < steps < 300, "it was stopped on the way"


def test_a_connection_that_breaks_stops_the_lens(rig: Path, terminals: list[Terminal]) -> None:
    assert main(["jog", "--rig", str(rig), "--confirm-position", "0"]) == 0
    terminal = Terminal(rig)
    terminals.append(terminal)
    terminal.wait_for("current")
    terminal.type("3+++")
    terminal.wait_for("moving")
    os.close(terminal.master)
    terminal.master = -1
    _, err = terminal.process.communicate(timeout=30)
    assert b"Traceback" not in err
    assert kept(rig)[1]

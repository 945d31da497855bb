"""The keys of `wormfocus jog`: a plain terminal in, one line of state out."""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hw.axis import MotorAxis
    from hw.clock import Clock

__all__ = ["Panel", "keys_in", "keys_of_terminal", "tell"]

HELP = """\
  arrow up or right, +   up by one step size        1 2 3   step size 1, 10, 100 steps
  arrow down or left, -  down by one step size      h       home
  s, space               stop                       c       confirm the position here
  q                      quit                       ?       this help"""
SIZES = {"1": 1, "2": 10, "3": 100}
UP, DOWN = {"up", "right", "+", "="}, {"down", "left", "-", "_"}
ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}
TICK_S = 0.05
END = "end"

ReadKeys = Callable[[float], list[str]]
"""Wait so many seconds for keys, and return those that were pressed; `end` when no more can come."""


def keys_in(typed: str) -> tuple[list[str], str]:
    """Return the keys in what a terminal sent, and the beginning of one that is not complete."""
    keys, at = list[str](), 0
    while at < len(typed):
        if typed[at] != "\x1b":
            keys.append(typed[at])
            at += 1
        elif len(typed) - at < 3 and typed[at + 1 :] in ("", "[", "O"):
            return keys, typed[at:]
        elif typed[at + 1] in "[O":
            end = at + 2
            while end < len(typed) and typed[end] in "0123456789;":
                end += 1
            if end == len(typed):
                return keys, typed[at:]
            # Arrows without a modifier; every other key of this kind means nothing.
            keys += [ARROWS[typed[end]]] if end == at + 2 and typed[end] in ARROWS else []
            at = end + 1
        else:
            at += 2
    return keys, ""


@contextmanager
def keys_of_terminal() -> Iterator[ReadKeys]:
    """Take keys one by one, unechoed; however that ends, the terminal is as it was before.

    A connection that breaks, or a request to end, comes as `KeyboardInterrupt` does, so that the lens is
    stopped and its position kept.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    handlers = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    rest = ""

    def read(seconds: float) -> list[str]:
        nonlocal rest
        if not select.select([descriptor], [], [], seconds)[0]:
            # An escape that nothing follows is the key of that name, which means nothing here.
            rest = ""
            return []
        try:
            typed = os.read(descriptor, 1024).decode(errors="ignore")
        except OSError:
            return [END]
        if not typed:
            return [END]
        keys, rest = keys_in(rest + typed)
        return keys

    try:
        tty.setcbreak(descriptor)
        yield read
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        # The terminal may be gone.
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class Panel:
    """An operator's keys and a line of state.

    Parameters
    ----------
    title : of the rig, with its notice
    axis, clock : of the rig
    unhomed : whether an axis that is not homed may be moved
    """

    def __init__(self, title: str, axis: "MotorAxis", clock: "Clock", *, unhomed: bool) -> None:
        self._title, self._axis, self._clock, self._unhomed = title, axis, clock, unhomed
        self._size = 1
        self._typed: str | None = None
        self._shown = ""

    def run(self, read_keys: ReadKeys) -> None:
        """Do what the keys say until the operator quits; then the lens stands still.

        Raises
        ------
        AxisFault
            A fault has latched.
        """
        from wormfocus.jog import rest

        self._say(f"{self._title}\n{HELP}")
        try:
            while True:
                self._show()
                begin_s = self._clock.now()
                keys = read_keys(TICK_S)
                # A virtual clock has stood still meanwhile.
                self._clock.sleep(begin_s + TICK_S - self._clock.now())
                if self._axis.fault is not None or not all(self._press(key) for key in keys):
                    break
        finally:
            self._axis.stop()
            rest(self._axis, self._clock)
            self._show()
            tell("\n")

    def _press(self, key: str) -> bool:
        """Act on a key; False ends it all."""
        from hw.errors import AxisFault

        try:
            if key == END:
                return False
            if self._typed is not None:
                self._type(key)
            elif key in UP or key in DOWN:
                self._step(self._size if key in UP else -self._size)
            elif key in SIZES:
                self._size = SIZES[key]
            elif key in "s ":
                self._axis.stop()
            elif key == "h":
                self._say("homing ...")
                self._axis.home()
            elif key == "c":
                self._typed = ""
            elif key == "?":
                self._say(HELP)
            elif key in "qQ\x04":
                return False
        except AxisFault as error:
            self._say(str(error))
        return True

    def _step(self, steps: int) -> None:
        # A key that is held down must not send a lens far that nobody knows the place of.
        if not self._axis.homed and self._axis.moving:
            return
        self._axis.jog(steps, unhomed=self._unhomed)

    def _type(self, key: str) -> None:
        """Take one key of the position that is being typed."""
        typed, self._typed = self._typed or "", None
        if key in "\r\n":
            try:
                steps = float(typed or 0)
            except ValueError:
                self._say(f"'{typed}' is not a number of steps")
                return
            self._axis.confirm_position(steps)
            self._say(f"confirmed: the lens is at {self._axis.position_steps:+.0f} steps")
        elif key in "\x7f\b":
            self._typed = typed[:-1]
        elif key in "+-.0123456789":
            self._typed = typed + key
        else:
            self._say("not confirmed")

    def _show(self) -> None:
        from wormfocus.jog import position_line

        line = f"{position_line(self._axis)} | step {self._size}"
        line += " | moving" if self._axis.moving else ""
        line += f" | current {'on' if self._axis.powered else 'off'}"
        if self._typed is not None:
            line = f"position here in steps (Enter: 0, another key: no): {self._typed}"
        if line != self._shown:
            # Longer than the terminal is wide, it could not be overwritten.
            width = _width() - 1
            tell("\r" + line[:width].ljust(min(len(self._shown), width)))
            self._shown = line

    def _say(self, text: str) -> None:
        tell("\r" + " " * min(len(self._shown), _width() - 1) + "\r" + text + "\n")
        self._shown = ""


def tell(text: str) -> None:
    """Write to the terminal at once; where nobody is left to read it, the lens still has to be stopped."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), text.encode())


def _width() -> int:
    try:
        # Some terminals do not tell.
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80

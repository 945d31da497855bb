"""A run without an end is ended by a signal, in good order."""

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["StopRequest"]

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Notes the first SIGTERM or SIGINT; a second one interrupts at once. Use it as a context manager.

    Until `is_set` has been asked for the first time there is no loop that would end in good order, so that
    any signal interrupts: nobody has to press twice while an axis runs into its end stop. To be entered in
    the main thread, which is the one that signals reach.
    """

    def __init__(self) -> None:
        self._asked = self._set = False
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def is_set(self) -> bool:
        """Whether somebody asked to stop."""
        self._asked = True
        return self._set

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._set or not self._asked:
            raise KeyboardInterrupt
        self._set = True

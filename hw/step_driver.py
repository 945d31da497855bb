"""The seam between an axis and whatever makes its steps: GPIO, or a simulated motor."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Line", "LineEdge", "Played", "Pulses", "StepDriver"]


@dataclass(frozen=True, slots=True)
class Pulses:
    """Steps in one direction.

    Attributes
    ----------
    forward : the DIR level asked for; `axis.invert_direction` is already applied
    due_s : (N,) float64, times of the rising STEP edges on the rig's clock, s, ascending
    """

    forward: bool
    due_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a chunk.

    Attributes
    ----------
    count : steps really sent, fewer than asked after an interruption
    late_s : how much later than asked the last edge came, s, never negative
    """

    count: int
    late_s: float


class StepDriver(Protocol):
    """STEP, DIR and EN of one motor driver (A4988, DRV8825, TMC2209 stand-alone), and its end stop."""

    def enable(self, on: bool) -> None:
        """Switch the coils' current; the axis waits `wake_s` afterwards."""

    def play(self, pulses: Pulses) -> Played:
        """Send steps; DIR set-up and pulse width are the driver's job.

        Late is late: the intervals are kept, never made up for. Blocks until the chunk is out or, where a
        library times pulses itself, until less than one chunk is left.
        """

    def interrupt(self) -> None:
        """From another thread: make `play` end within 20 ms, with the count sent."""

    @property
    def end_stop(self) -> bool | None:
        """Whether the end stop is pressed; None where there is none."""

    def close(self) -> None:
        """Switch EN off and release the lines; closing twice is fine."""


Line = Literal["EN", "DIR", "STEP"]


@dataclass(frozen=True, slots=True)
class LineEdge:
    """A change of level on one of a driver's lines, as a trace records it: time in s, line, new level."""

    t: float
    line: Line
    level: bool

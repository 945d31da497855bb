"""The seam between an axis, which plans when each step is due, and the driver that puts it on a wire."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Played", "Pulses", "StepDriver"]


@dataclass(frozen=True, slots=True)
class Pulses:
    """Steps in one direction.

    Attributes
    ----------
    forward : DIR level asked for (`invert_direction` already applied)
    due_s : (N,) float64, times of the rising STEP edges on the rig's clock, ascending
    """

    forward: bool
    due_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a chunk.

    Attributes
    ----------
    count : steps really sent, fewer than asked after a stop
    late_s : how much later than asked the last edge came, s; at least 0
    """

    count: int
    late_s: float


class StepDriver(Protocol):
    """STEP, DIR and EN of one motor driver (A4988, DRV8825, TMC2209 stand-alone), and its end stop."""

    def enable(self, on: bool) -> None:
        """Switch the motor's current; the axis waits for the driver to wake afterwards."""

    def play(self, pulses: Pulses) -> Played:
        """Send steps when they are due.

        DIR set-up and pulse width are the driver's job. Late is late: the intervals are kept and never made
        up for. Blocks until the chunk is out, or, where a library times pulses itself, until less than one
        chunk is left.
        """

    def interrupt(self) -> None:
        """From another thread: end the `play` in progress within 20 ms, with the count sent."""

    @property
    def end_stop(self) -> bool | None:
        """Whether the end stop is pressed; None where there is none."""

    def close(self) -> None:
        """EN off, lines released; twice is fine."""

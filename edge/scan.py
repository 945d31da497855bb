"""A bounded scan: visit lens positions in order and remember which was sharpest."""

import math
import statistics
from collections.abc import Sequence
from typing import Protocol

__all__ = ["Exposed", "Scan", "exposed_since", "scan_positions"]


class Exposed(Protocol):
    """What is needed of a frame, or of what is known of one."""

    @property
    def exposure_start_s(self) -> float:
        """When its exposure began, seconds on the rig's clock."""

    @property
    def lens_moving(self) -> bool:
        """Whether the lens was moving or settling during the exposure."""


def exposed_since(frame: Exposed, t: float) -> bool:
    """Whether a frame was exposed after time `t` in seconds with the lens standing still."""
    return frame.exposure_start_s >= t and not frame.lens_moving


def scan_positions(
    centre_steps: float, span_steps: float, step_steps: float, limits_steps: tuple[float, float]
) -> list[float]:
    """Lens positions of a scan, ascending, both ends included.

    Parameters
    ----------
    centre_steps, span_steps : middle and full width of the scan; cut off at the limits
    step_steps : largest distance between neighbours
    limits_steps : lowest and highest position allowed, inclusive
    """
    low = min(max(centre_steps - span_steps / 2, limits_steps[0]), limits_steps[1])
    high = max(min(centre_steps + span_steps / 2, limits_steps[1]), low)
    intervals = max(1, math.ceil((high - low) / step_steps - 1e-9))
    return [low + (high - low) * i / intervals for i in range(intervals + 1)]


class Scan:
    """One pass over `positions_steps`; `record` a sharpness for each in turn."""

    def __init__(self, positions_steps: Sequence[float]) -> None:
        self._waiting = list(positions_steps)
        self._seen: list[tuple[float, float]] = []

    @property
    def target_steps(self) -> float | None:
        """Position to measure next; None when the scan is done."""
        return self._waiting[0] if self._waiting else None

    def record(self, sharpness: float) -> None:
        """Note the sharpness at `target_steps` and go on to the next."""
        self._seen.append((sharpness, self._waiting.pop(0)))

    @property
    def measured(self) -> list[tuple[float, float]]:
        """Position and sharpness of every place so far, in the order visited."""
        return [(position, score) for score, position in self._seen]

    @property
    def sharpest_steps(self) -> float:
        """Position of the highest sharpness so far.

        Raises
        ------
        ValueError
            Nothing was recorded yet.
        """
        return max(self._seen)[1]

    def has_peak(self, contrast: float = 1.2) -> bool:
        """Whether the sharpest position stands out: `contrast` times the median of all.

        This asks for a tall peak, as that of a worm in a window around it. Whole frames change by a few per
        cent over a stack; for those see `edge.contrast.HillClimb.on_hill`.
        """
        scores = [score for score, _ in self._seen]
        return len(scores) > 2 and max(scores) > contrast * statistics.median(scores)

"""What a network sees on both sides of focus, of a target that may move sideways."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.axis.bench import Bench
from calibration.axis.find import coarse_scan
from calibration.peak import find_peak
from hw.frame import Frame

__all__ = ["Judged", "Judgement", "Sides", "look_at_both_sides"]

REACH_DOF = 4.0
STEP_DOF = 1 / 3


@dataclass(frozen=True)
class Judgement:
    """One frame: the window around the subject, and the network's offset; None where it gave none."""

    window: NDArray[np.uint8] | None
    offset_um: float | None


Judged = Callable[[Frame], Judgement]


@dataclass(frozen=True)
class Sides:
    """Looks at lens positions through focus.

    Attributes
    ----------
    lens_steps, offset_um, sharpness : (N,) NaN where there was none
    focus_steps : where the sharpness peaks
    """

    lens_steps: NDArray[np.float64]
    offset_um: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    focus_steps: float

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Looks at which the network gave an offset, (N,)."""
        usable: NDArray[np.bool_] = np.isfinite(self.offset_um)
        return usable


def look_at_both_sides(
    bench: Bench, judge: Judged, centre_um: float | None = None, span_um: float | None = None
) -> Sides:
    """Find focus by contrast, then ask the network along four depths of field to either side of it.

    Parameters
    ----------
    judge : finds the subject in a frame and predicts its offset
    centre_um, span_um : where to look for focus, as `coarse_scan`

    Raises
    ------
    StackError
        There is no room to look, or no focus peak.
    """

    def sharpness(found: Judgement) -> float:
        return math.nan if found.window is None else bench.sharpness(found.window)

    def score(frame: Frame) -> float:
        value = sharpness(judge(frame))
        return value if math.isfinite(value) else -math.inf

    middle = coarse_scan(bench, score, centre_um, span_um)
    low, high = bench.limits_steps
    reach, step = REACH_DOF * bench.dof_steps, STEP_DOF * bench.dof_steps
    first = max(middle - reach, low + bench.run_up_steps)
    last = min(middle + reach, high)
    positions = np.linspace(first, last, math.ceil((last - first) / step) + 1)
    bench.say("asking the network on both sides of focus")
    bench.creep(first - bench.run_up_steps)
    lens, offsets, curve = [], [], []
    for position in positions:
        bench.creep(float(position))
        (frame,) = bench.look()
        found = judge(frame)
        lens.append(frame.lens_steps)
        offsets.append(math.nan if found.offset_um is None else found.offset_um)
        curve.append(sharpness(found))
    z, v = np.array(lens), np.array(curve)
    seen = np.isfinite(v)
    focus = find_peak(z[seen], v[seen]).position
    return Sides(z, np.array(offsets), v, focus)

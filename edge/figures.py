"""The figures of one run, computed from its steps."""

import math
from array import array
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge.decision import AxisReading
from edge.focusers import Look
from hw.config import RigConfig
from hw.frame import Frame

__all__ = ["STAGES", "RunFigures", "Step", "Tally"]

STAGES = ("track", "crop", "predict", "decide")


@dataclass(slots=True)
class Step:
    """One turn of the loop.

    Attributes
    ----------
    frame : as delivered; its pixels are not kept in memory beyond the turn
    axis : what the axis said when the decision was due
    look : what was seen and decided
    start_s : start of the run, seconds on the rig's clock
    now_s : when the decision was due, seconds on the rig's clock
    truth_steps : lens position truly in focus at the frame's exposure, where known
    """

    frame: Frame
    axis: AxisReading
    look: Look
    start_s: float
    now_s: float
    truth_steps: float | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds from the start of the run to the decision."""
        return self.now_s - self.start_s

    @property
    def error_steps(self) -> float | None:
        """True distance of the lens from focus at mid-exposure, signed, in steps."""
        return None if self.truth_steps is None else self.frame.lens_steps - self.truth_steps


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What a run comes down to.

    Attributes
    ----------
    method : network, contrast or none
    seconds, frames : length of the run on the rig's clock, and frames decided upon
    time_to_lock_s : from the start until the loop first said `locked`; None when it never did. A climb of
        the contrast method locks when it has converged; the method `none` never locks
    in_focus_fraction : share of frames after the first lock within half a DOF of true focus; 0 when the
        loop never locked, None where the truth is not known
    in_focus_fraction_all : the same share over all frames from the start, locked or not, so that methods
        can be compared
    rms_error_um, rms_error_um_all : root mean square distance from true focus over the same two sets of
        frames; None where there are none
    moves : move commands given, corrections in mid-move included
    lost_fraction : share of frames in the states `lost` and `searching`
    stage_ms : median and 99th percentile of the computing time of each stage, milliseconds
    final_steps : lens position at the end
    """

    method: str
    seconds: float
    frames: int
    time_to_lock_s: float | None
    in_focus_fraction: float | None
    in_focus_fraction_all: float | None
    rms_error_um: float | None
    rms_error_um_all: float | None
    moves: int
    lost_fraction: float
    stage_ms: dict[str, dict[str, float]]
    final_steps: float

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain values for a JSON file."""
        return asdict(self)


class Tally:
    """Collects what the figures need, a few numbers per step."""

    def __init__(self) -> None:
        self._errors = array("d")
        self._after_lock = bytearray()
        self._stages = {name: array("d") for name in STAGES}
        self._frames = self._lost = self._moves = 0
        self._lock_s: float | None = None
        self._last_s = 0.0

    def add(self, step: Step) -> None:
        """Count one step."""
        decision = step.look.decision
        self._frames += 1
        self._last_s = step.elapsed_s
        self._lost += decision.state in ("lost", "searching")
        self._moves += decision.target_steps is not None
        if self._lock_s is None and decision.state == "locked":
            self._lock_s = step.elapsed_s
        for name, times in self._stages.items():
            times.append(getattr(step.look.stages, name))
        error = step.error_steps
        self._errors.append(math.nan if error is None else error)
        self._after_lock.append(self._lock_s is not None)

    def figures(self, method: str, config: RigConfig, final_steps: float) -> RunFigures:
        """Sum up."""
        errors_um = np.array(self._errors, dtype=np.float64) * config.axis.um_per_step
        known = np.isfinite(errors_um)
        locked = known & np.array(self._after_lock, dtype=bool)
        near = np.abs(errors_um) <= config.optics.dof_um / 2
        share = share_all = None
        if known.any():
            share = float(near[locked].mean()) if locked.any() else 0.0
            share_all = float(near[known].mean())
        return RunFigures(
            method=method,
            seconds=self._last_s,
            frames=self._frames,
            time_to_lock_s=self._lock_s,
            in_focus_fraction=share,
            in_focus_fraction_all=share_all,
            rms_error_um=_rms(errors_um[locked]),
            rms_error_um_all=_rms(errors_um[known]),
            moves=self._moves,
            lost_fraction=self._lost / max(1, self._frames),
            stage_ms=_stage_ms(self._stages),
            final_steps=final_steps,
        )


def _rms(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    return float(np.sqrt(np.mean(values**2))) if values.size else None


def _stage_ms(stages: dict[str, "array[float]"]) -> dict[str, dict[str, float]]:
    """Median and 99th percentile of every stage that ran at least once."""
    result = {}
    for name, seconds in stages.items():
        times = np.array(seconds, dtype=np.float64) * 1e3
        times = times[np.isfinite(times)]
        if times.size:
            result[name] = {"median": float(np.median(times)), "p99": float(np.percentile(times, 99))}
    return result

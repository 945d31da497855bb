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

# Of each stage, about 0.5 MB: a run may last for weeks.
MOST_TIMES = 65536


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
    stage_ms : mean, median and 99th percentile of the computing time of each stage, milliseconds; `log`,
        where a session was recorded, is the writing of it
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
    """Collects what the figures need: sums, and no more stage times than `MOST_TIMES`, however long the run.

    Parameters
    ----------
    config : the rig's, for um and depth of field
    begin_s : time from the start of the run from which it counts, s
    """

    def __init__(self, config: RigConfig, begin_s: float = 0.0) -> None:
        self._begin_s = begin_s
        self._um_per_step, self._near_um = config.axis.um_per_step, config.optics.dof_um / 2
        self._all, self._locked = _Errors(), _Errors()
        self._stages = {name: _Times() for name in (*STAGES, "log")}
        self._frames = self._lost = self._moves = 0
        self._lock_s: float | None = None
        self._last_s = 0.0

    def add(self, step: Step) -> None:
        """Count one step."""
        decision = step.look.decision
        self._frames += 1
        self._last_s = step.elapsed_s - self._begin_s
        self._lost += decision.state in ("lost", "searching")
        self._moves += decision.target_steps is not None
        if self._lock_s is None and decision.state == "locked":
            self._lock_s = self._last_s
        for name in STAGES:
            self._stages[name].add(getattr(step.look.stages, name))
        if step.error_steps is not None and math.isfinite(step.error_steps):
            error_um = step.error_steps * self._um_per_step
            for errors in (self._all, self._locked) if self._lock_s is not None else (self._all,):
                errors.add(error_um, abs(error_um) <= self._near_um)

    def add_log(self, seconds: float) -> None:
        """Count the time that recording a step took."""
        self._stages["log"].add(seconds)

    def figures(self, method: str, final_steps: float) -> RunFigures:
        """Sum up."""
        share = self._locked.share
        if share is None and self._all.number:
            share = 0.0
        return RunFigures(
            method=method,
            seconds=self._last_s,
            frames=self._frames,
            time_to_lock_s=self._lock_s,
            in_focus_fraction=share,
            in_focus_fraction_all=self._all.share,
            rms_error_um=self._locked.rms_um,
            rms_error_um_all=self._all.rms_um,
            moves=self._moves,
            lost_fraction=self._lost / max(1, self._frames),
            stage_ms={name: found for name, times in self._stages.items() if (found := times.summary_ms())},
            final_steps=final_steps,
        )


class _Errors:
    """Distances from true focus, as sums."""

    def __init__(self) -> None:
        self.number = self._near = 0
        self._squares_um2 = 0.0

    def add(self, error_um: float, near: bool) -> None:
        self.number += 1
        self._near += near
        self._squares_um2 += error_um * error_um

    @property
    def share(self) -> float | None:
        return self._near / self.number if self.number else None

    @property
    def rms_um(self) -> float | None:
        return math.sqrt(self._squares_um2 / self.number) if self.number else None


class _Times:
    """Times of one stage; when there are too many, every second one is dropped, and from then on skipped."""

    def __init__(self) -> None:
        self._kept = array("d")
        self._every, self._seen = 1, 0

    def add(self, seconds: float) -> None:
        if not math.isfinite(seconds):
            return
        if self._seen % self._every == 0:
            self._kept.append(seconds)
            if len(self._kept) >= MOST_TIMES:
                self._kept = self._kept[::2]
                self._every *= 2
        self._seen += 1

    def summary_ms(self) -> dict[str, float]:
        """Mean, median and 99th percentile; empty for a stage that never ran."""
        if not self._kept:
            return {}
        times = np.array(self._kept, dtype=np.float64) * 1e3
        p99 = float(np.percentile(times, 99))
        return {"mean": float(times.mean()), "median": float(np.median(times)), "p99": p99}

"""From predictions to lens moves: estimate the focal plane, decide, and say why.

The controller never sees pixels. Every prediction refers to the lens position of its own frame, so a frame
that was exposed in mid-move, or is still in the pipeline when the lens has moved on, is as good as any other
as long as its lens position is known.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from edge.decision import Action, AxisReading, Decision, State
from edge.plane import PlaneFilter
from edge.scan import Exposed, Scan, exposed_since, scan_positions
from edge.trim import ContrastTrim
from hw.config import RigConfig

__all__ = ["Controller", "Observation", "OffsetPrediction"]

# A measurement is never trusted beyond this share of the DOF, whatever sigma the bundle states:
# errors of one network on one worm are correlated from frame to frame.
SIGMA_FLOOR_DOF = 0.05
# Predictions are better near focus than far from it, whether or not the bundle says so.
RELATIVE_SIGMA = 0.1
# A frame in motion whose blur along z exceeds this share of the DOF is not used at all.
LARGEST_MOTION_DOF = 0.25
# An out-of-range prediction is trusted for its direction only, one bounded step at a time.
OUT_OF_RANGE_SIGMA = 0.5
OUT_OF_RANGE_STEP = 0.25
# Once locked, this much more error than the lock asked for ends it.
UNLOCK_RATIO = 1.5
# Positions that differ by less are the same place for the purposes of parking and locking.
SAME_PLACE_STEPS = 1.0


class OffsetPrediction(Protocol):
    """What the controller needs of `edge.bundle.Prediction`."""

    @property
    def offset_um(self) -> float:
        """Signed move into focus, um."""

    @property
    def sigma_um(self) -> float | None:
        """Standard deviation of the offset, um, where the network states one."""

    @property
    def in_range(self) -> bool:
        """Whether the offset lies in the trained range."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one frame says about focus.

    Attributes
    ----------
    exposure_start_s, mid_exposure_s : of the frame, seconds on the rig's clock
    lens_steps : lens position at mid-exposure
    lens_moving : the lens was moving or settling during the exposure
    prediction : None where there was nothing to predict from
    note : why there is no prediction
    subject_seen : whether the tracker has the worm
    sharpness : focus measure of the window, for a search; None when it was not asked for
    """

    exposure_start_s: float
    mid_exposure_s: float
    lens_steps: float
    lens_moving: bool
    prediction: OffsetPrediction | None = None
    note: str = ""
    subject_seen: bool = True
    sharpness: float | None = None


class Controller:
    """Keeps the lens at the focal plane, given one observation per frame.

    Parameters
    ----------
    config : the rig file; `control`, `axis`, `optics` and `camera` are used
    """

    def __init__(self, config: RigConfig) -> None:
        control, axis = config.control, config.axis
        self._um_per_step = axis.um_per_step
        self._dof_um = config.optics.dof_um
        self._dead_band_um = control.dead_band_dof * self._dof_um
        self._lock_um = control.lock_within_dof * self._dof_um
        self._backlash_um = axis.backlash_steps * self._um_per_step
        self._default_sigma_um = control.prediction_sigma_dof * self._dof_um
        self._motion_um = axis.max_speed_steps_s * config.camera.exposure_s * self._um_per_step
        self._lost_after_s = control.lost_after_s
        self._span_um = control.search_span_um
        self._search_timeout_s = control.search_timeout_s
        self._filter = PlaneFilter(control.plane_drift_um_s)
        self._trim = ContrastTrim(self._dof_um, control.trim_look_dof * self._dof_um, control.trim_every_s)
        self._state: State = "idle"
        self._heard_s = 0.0
        self._direction = 0.0
        self._good_place: float | None = None
        self._scan: Scan | None = None
        self._scan_start_s = 0.0
        self._scan_command_s = 0.0
        self._searched = False

    @property
    def state(self) -> State:
        """State after the last decision; `idle` before `start`."""
        return self._state

    @property
    def plane_um(self) -> float | None:
        """Estimated lens position in focus, um; None before the first usable prediction."""
        return None if self._filter.plane_um is None else self._filter.plane_um + self._trim.offset_um

    @property
    def plane_sigma_um(self) -> float:
        """Standard deviation of `plane_um`."""
        return self._filter.sigma_um

    @property
    def trim_um(self) -> float:
        """How much of `plane_um` is the network's constant error, found by contrast, um."""
        return self._trim.offset_um

    def wants_sharpness(self, frame: Exposed, axis: AxisReading) -> bool:
        """Whether a frame's sharpness would be used: only once the lens rests where it was sent to look."""
        since_s = self._scan_command_s if self._scan is not None else self._trim.command_s
        return since_s is not None and not axis.moving and exposed_since(frame, since_s)

    def start(self, now: float) -> None:
        """Enable the controller at time `now` in seconds. Enabled is not locked."""
        self._state, self._heard_s = "ready", now

    def decide(self, seen: Observation, axis: AxisReading, now: float) -> Decision:
        """Take in one frame and decide what the lens should do.

        Parameters
        ----------
        seen : what the frame says
        axis : the axis as it is at `now`
        now : seconds on the rig's clock

        Raises
        ------
        RuntimeError
            The controller was not started.
        """
        if self._state == "idle":
            raise RuntimeError("the controller is idle; call start() first")
        if axis.fault is not None:
            self._scan = None
            self._trim.end(now)
            return self._say("fault", None, axis.fault, "fault")
        refusal = self._take_in(seen)
        if refusal is None:
            self._heard_s, self._searched, self._scan = now, False, None
            return self._compare(seen, axis, now) or self._follow(seen, axis)
        self._trim.end(now)
        if self._scan is not None:
            return self._search(self._scan, seen, axis, now)
        if axis.moving and self._state != "lost":
            self._heard_s = max(self._heard_s, seen.mid_exposure_s)
            return self._say("wait", None, f"moving; {refusal}", self._state)
        if now - self._heard_s <= self._lost_after_s:
            return self._say("hold", None, refusal, self._state)
        return self._lost(refusal, seen, axis, now)

    def _take_in(self, seen: Observation) -> str | None:
        """Update the estimate; return why the frame could not be used, or None."""
        prediction = seen.prediction
        if prediction is None:
            return seen.note or "no prediction"
        offset_um, sigma_um = prediction.offset_um, prediction.sigma_um
        if sigma_um is None:
            sigma_um = self._default_sigma_um
        if not (math.isfinite(offset_um) and math.isfinite(sigma_um) and math.isfinite(seen.lens_steps)):
            return "prediction is not a number"
        variance = sigma_um**2 + (SIGMA_FLOOR_DOF * self._dof_um) ** 2
        if seen.lens_moving:
            if self._motion_um > LARGEST_MOTION_DOF * self._dof_um:
                return "the lens moved too far during the exposure"
            variance += self._motion_um**2
        variance += (RELATIVE_SIGMA * offset_um) ** 2
        if not prediction.in_range:
            variance += (OUT_OF_RANGE_SIGMA * offset_um) ** 2
        plane_um = seen.lens_steps * self._um_per_step + offset_um
        if not self._filter.measure(seen.mid_exposure_s, plane_um, math.sqrt(variance)):
            return "prediction disagrees with the frames before it"
        return None

    def _follow(self, seen: Observation, axis: AxisReading) -> Decision:
        """Decide on a fresh estimate."""
        plane_um, sigma_um = self.plane_um, self._filter.sigma_um
        assert plane_um is not None
        assert seen.prediction is not None
        lens_um = seen.lens_steps * self._um_per_step
        state = self._locking_or_locked(plane_um - lens_um, sigma_um, seen, axis)
        reach_um = math.inf if seen.prediction.in_range else OUT_OF_RANGE_STEP * self._span_um
        goal_um = min(max(plane_um, lens_um - reach_um), lens_um + reach_um)
        goal = axis.clamp(goal_um / self._um_per_step)
        error_um = (goal - axis.target_steps) * self._um_per_step
        miss_um = plane_um - axis.target_steps * self._um_per_step
        # Do not chase what may be noise, and do not turn the screw for less than its backlash.
        least_um = max(self._dead_band_um, sigma_um)
        if (goal - axis.position_steps) * self._direction < 0:
            least_um += self._backlash_um
        if abs(miss_um) > least_um and abs(error_um) > self._dead_band_um:
            self._direction = math.copysign(1.0, goal - axis.position_steps)
            self._note_good_place(goal, state)
            verb = "retarget" if axis.moving else "move"
            caution = "" if seen.prediction.in_range else ", out of range: direction only"
            return self._say("move", goal, f"{verb} by {error_um:+.0f} um{caution}", state)
        self._note_good_place(axis.target_steps, state)
        if axis.moving:
            return self._say("wait", None, "moving", state)
        if abs(plane_um - goal * self._um_per_step) > self._lock_um and goal in axis.limits_steps:
            return self._say("hold", None, "the focal plane lies past the axis's limit", state)
        if seen.lens_moving:
            return self._say("wait", None, "no frame since the lens settled", state)
        return self._say("hold", None, f"inside the dead band ({error_um:+.0f} um)", state)

    def _compare(self, seen: Observation, axis: AxisReading, now: float) -> Decision | None:
        """Begin or go on with a comparison of contrast; None when the plane is to be followed as ever."""
        trim, plane_um = self._trim, self.plane_um
        assert plane_um is not None
        settled = not axis.moving and not seen.lens_moving
        if self._state == "locked" and settled and trim.due(now):
            assert self._filter.plane_um is not None
            trim.begin(self._filter.plane_um, axis.target_steps * self._um_per_step, now)
            return self._say("wait", None, "comparing contrast", "locked")
        if not trim.comparing:
            return None
        if abs(plane_um - seen.lens_steps * self._um_per_step) > UNLOCK_RATIO * self._lock_um:
            trim.end(now)
            return None
        if settled and seen.sharpness is not None:
            trim.record(seen.exposure_start_s, seen.lens_steps * self._um_per_step, seen.sharpness, now)
        if trim.target_um is None:
            return None
        goal = axis.clamp(trim.target_um / self._um_per_step)
        if abs(goal - axis.target_steps) < SAME_PLACE_STEPS:
            return self._say("wait", None, "comparing contrast", "locked")
        self._direction = math.copysign(1.0, goal - axis.position_steps)
        return self._say("move", goal, "comparing contrast: looking beside", "locked")

    def _note_good_place(self, steps: float, state: State) -> None:
        """Remember where a lost lens should return to: where it was sent while locked."""
        if state == "locked":
            self._good_place = steps

    def _locking_or_locked(
        self, error_um: float, sigma_um: float, seen: Observation, axis: AxisReading
    ) -> State:
        """Tell locked from locking; a lock needs a frame exposed where the lens now rests."""
        if self._state == "locked":
            return "locked" if abs(error_um) <= UNLOCK_RATIO * self._lock_um else "locking"
        settled = not axis.moving and not seen.lens_moving
        here = abs(seen.lens_steps - axis.position_steps) <= SAME_PLACE_STEPS
        sure = sigma_um <= self._lock_um / 2 and seen.prediction is not None and seen.prediction.in_range
        return "locked" if settled and here and sure and abs(error_um) <= self._lock_um else "locking"

    def _lost(self, why: str, seen: Observation, axis: AxisReading, now: float) -> Decision:
        """Park at the last good place, then search once if there is something to search with."""
        home = axis.clamp(axis.target_steps if self._good_place is None else self._good_place)
        if abs(axis.target_steps - home) > SAME_PLACE_STEPS:
            return self._say("move", home, f"lost ({why}): back to the last good place", "lost")
        if axis.moving:
            return self._say("wait", None, f"lost ({why}): returning", "lost")
        if self._good_place is None:
            self._good_place = home
        if self._searched or not seen.subject_seen:
            tail = "searched once" if self._searched else "nothing to search with"
            return self._say("hold", None, f"lost ({why}): {tail}", "lost")
        span, step = self._span_um / self._um_per_step, self._dof_um / self._um_per_step
        self._scan = Scan(scan_positions(home, span, step, axis.limits_steps))
        self._scan_start_s = self._scan_command_s = now
        return self._say("search", self._scan.target_steps, f"lost ({why}): search begins", "searching")

    def _search(self, scan: Scan, seen: Observation, axis: AxisReading, now: float) -> Decision:
        """Go on with a scan; end it at the sharpest place, or where focus was last good."""
        if seen.sharpness is not None and self.wants_sharpness(seen, axis):
            scan.record(seen.sharpness)
            if scan.target_steps is not None:
                self._scan_command_s = now
                return self._say("search", scan.target_steps, "searching by contrast", "searching")
        timed_out = now - self._scan_start_s > self._search_timeout_s
        if scan.target_steps is not None and not timed_out:
            return self._say("wait", None, "searching by contrast", "searching")
        self._scan, self._searched = None, True
        if scan.has_peak():
            self._good_place = scan.sharpest_steps
            return self._say("move", self._good_place, "search over: to the sharpest place", "lost")
        ending = "timed out" if timed_out else "found no sharp place"
        assert self._good_place is not None
        return self._say("move", self._good_place, f"search {ending}: back to the last good place", "lost")

    def _say(self, action: Action, target: float | None, reason: str, state: State) -> Decision:
        self._state = state
        return Decision(action, target, reason, state)

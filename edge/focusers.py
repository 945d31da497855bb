"""The three ways to keep focus, behind one seam: a network, contrast, or nothing.

A focuser looks at one frame and decides; it never touches camera or axis.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.bundle import InputSpec, resize_to_input, window_px
from edge.contrast import HillClimb, sharpness
from edge.controller import Controller, Observation, OffsetPrediction
from edge.decision import AxisReading, Decision, State
from edge.scan import Scan, exposed_since, scan_positions
from edge.subject import Subject
from hw.config import RigConfig
from hw.frame import Box, Frame

__all__ = ["ContrastFocuser", "Focuser", "Look", "Method", "NetworkFocuser", "StageTimes", "StillFocuser"]

Method = Literal["network", "contrast", "none"]

# The window of the contrast method: the worm's length and some room around it.
WINDOW_WORM_LENGTHS = 1.3
# The coarse step of a climb is the DOF, or this share of the axis's travel where the travel is short.
TRAVEL_SHARE = 1 / 8
# A climb ends at this share of its coarse step: two refinements.
FINEST_SHARE = 0.1
# At rest, a sharpness that has changed by this share means that something happened: test the focus.
CHANGE_TO_RECHECK = 0.1
CHANGE_TO_RESTART = 0.5
NO_HILL = "no focus to be found: the contrast changes by no more than its noise"


@dataclass(slots=True)
class StageTimes:
    """Computing time of the stages of one frame, seconds; NaN for a stage that did not run."""

    track: float = float("nan")
    crop: float = float("nan")
    predict: float = float("nan")
    decide: float = float("nan")


@dataclass(slots=True)
class Look:
    """What a focuser made of one frame.

    Attributes
    ----------
    decision : what to do, and why
    box : what was looked at, full-frame pixels; None where nothing was
    offset_um, sigma_um, in_range : the raw prediction, where there was one
    subject_seen : whether the tracker has the worm; None for a method that does not look
    note : what there is to say of the subject
    sharpness : focus measure of the window, where it was needed
    plane_um : estimated lens position in focus
    trim_um : what contrast has added to the network's estimate, part of `plane_um`
    stages : computing times
    window : the pixels in `box`
    """

    decision: Decision
    box: Box | None = None
    offset_um: float | None = None
    sigma_um: float | None = None
    in_range: bool | None = None
    subject_seen: bool | None = None
    note: str = ""
    sharpness: float | None = None
    plane_um: float | None = None
    trim_um: float | None = None
    stages: StageTimes = field(default_factory=StageTimes)
    window: NDArray[np.uint8] | None = None


class Focuser(Protocol):
    """Decides what the lens should do, frame by frame."""

    @property
    def method(self) -> Method:
        """Name of the method, for the figures."""

    @property
    def gave_up(self) -> bool:
        """Whether it has nothing left to try; a full focus need not wait for its timeout then."""

    def start(self, now: float) -> None:
        """Begin at time `now` in seconds."""

    def look(self, frame: Frame, axis: AxisReading, now: float) -> Look:
        """Look at one frame and decide; `axis` is the axis at `now`."""

    def rest_steps(self) -> float | None:
        """Where the lens should be left at the end of a run; None for where it is."""


class PredictsOffsets(Protocol):
    """What is needed of `edge.bundle.Predictor`."""

    def predict(self, window: NDArray[np.uint8]) -> OffsetPrediction:
        """Predict the offset from a window (H, W, 3) uint8, RGB."""


class NetworkFocuser:
    """One prediction per frame, and a controller that makes the most of it.

    Parameters
    ----------
    config : the rig file
    predictor : a bundle ready to run
    spec : the network's input, which says how much of the specimen it wants to see
    """

    method: Method = "network"
    gave_up = False

    def __init__(self, config: RigConfig, predictor: PredictsOffsets, spec: InputSpec) -> None:
        self.controller = Controller(config)
        self._predictor = predictor
        self._spec = spec
        self._subject = Subject(config, window_px(spec, config.optics.um_per_px))

    def start(self, now: float) -> None:
        """Begin at time `now` in seconds."""
        self.controller.start(now)

    def look(self, frame: Frame, axis: AxisReading, now: float) -> Look:
        """Look at one frame and decide; `axis` is the axis at `now`."""
        stages, controller = StageTimes(), self.controller
        compared = controller.wants_sharpness(frame, axis)
        stages.track = _timed(lambda: self._subject.find(frame, closely=compared))
        begin = perf_counter()
        window, box = self._subject.cut(frame)
        small = resize_to_input(window, self._spec)
        stages.crop = perf_counter() - begin
        prediction = None
        if self._subject.seen:
            begin = perf_counter()
            prediction = self._predictor.predict(small)
            stages.predict = perf_counter() - begin
        begin = perf_counter()
        seen = Observation(
            frame.exposure_start_s,
            frame.mid_exposure_s,
            frame.lens_steps,
            frame.lens_moving,
            prediction,
            self._subject.note,
            self._subject.seen,
            sharpness(window) if compared else None,
        )
        decision = controller.decide(seen, axis, now)
        stages.decide = perf_counter() - begin
        look = Look(decision, plane_um=controller.plane_um, trim_um=controller.trim_um, stages=stages)
        look.subject_seen, look.note, look.sharpness = seen.subject_seen, seen.note, seen.sharpness
        if prediction is not None:
            look.box, look.window = box, window
            look.offset_um, look.sigma_um = prediction.offset_um, prediction.sigma_um
            look.in_range = prediction.in_range
        return look

    def rest_steps(self) -> float | None:
        """Return None: the lens is already where it should be."""
        return None


class ContrastFocuser:
    """Hill climb on Vollath's F5 of the tracked window, re-checked for as long as it runs.

    Needs no worm: where none is ever seen, the window in the middle of the frame is used, and with
    `tracking.follow: false` the whole frame.

    Parameters
    ----------
    config : the rig file
    full_scan : begin with a scan of `control.search_span_um` instead of climbing from where the lens is
    """

    method: Method = "contrast"

    def __init__(self, config: RigConfig, *, full_scan: bool = False) -> None:
        side = round(WINDOW_WORM_LENGTHS * config.tracking.worm_length_um / config.optics.um_per_px)
        self._subject = Subject(config, (side, side) if config.tracking.follow else None)
        self._config = config
        self._full_scan = full_scan
        self._scan: Scan | None = None
        self._climb: HillClimb | None = None
        self._testing = False
        # The last climb found no hill; a run tries again after `control.recheck_s`.
        self.gave_up = False
        self._good_place: float | None = None
        self._commanded_s = 0.0
        self._checked_s = 0.0
        self._seen_s = 0.0
        self._state: State = "idle"

    def start(self, now: float) -> None:
        """Begin at time `now` in seconds."""
        self._state = "ready"
        self._commanded_s = self._checked_s = self._seen_s = now

    def look(self, frame: Frame, axis: AxisReading, now: float) -> Look:
        """Look at one frame and decide; `axis` is the axis at `now`."""
        stages = StageTimes()
        stages.track = _timed(lambda: self._subject.find(frame, closely=True))
        begin = perf_counter()
        window, box = self._subject.cut(frame)
        stages.crop = perf_counter() - begin
        begin = perf_counter()
        score, decision = None, self._hindrance(frame, axis, now)
        if decision is None:
            score = sharpness(window)
            decision = self._go_to(*self._next(score, axis, now), axis, now)
        stages.decide = perf_counter() - begin
        self._state = decision.state
        look = Look(decision, box, stages=stages, window=window)
        look.subject_seen, look.note, look.sharpness = self._subject.seen, self._subject.note, score
        if self._climb is not None and not self.gave_up:
            look.plane_um = self._climb.best_steps * self._config.axis.um_per_step
        return look

    def rest_steps(self) -> float | None:
        """Return the sharpest position known, for the run may end in the middle of a test."""
        return self._good_place if self._climb is None or self.gave_up else self._climb.best_steps

    def _hindrance(self, frame: Frame, axis: AxisReading, now: float) -> Decision | None:
        """Decide on a frame that cannot be measured; None for one that can."""
        if axis.fault is not None:
            return Decision("fault", None, axis.fault, "fault")
        lost_after_s = self._config.control.lost_after_s
        if self._subject.seen:
            self._seen_s = now
        elif self._subject.found or now - self._seen_s <= lost_after_s:
            # Where no worm was ever seen there may be none: then the middle of the frame serves.
            if now - self._seen_s <= lost_after_s:
                return Decision("hold", None, self._subject.note, self._state)
            return self._go_to(self._break_off(), self._subject.note, "lost", axis, now)
        if axis.moving or not exposed_since(frame, self._commanded_s):
            state: State = "locking" if self._state == "ready" else self._state
            return Decision("wait", None, "no frame since the lens settled", state)
        return None

    def _break_off(self) -> float | None:
        """Give up a scan or climb whose subject is gone; return the best place known."""
        self._scan = None
        if self._climb is None or self.gave_up:
            return self._good_place
        if not self._climb.converged:
            # What was measured so far says nothing about the focus of a subject that comes back.
            self._climb.restart()
            self._testing = False
        return self._climb.best_steps

    def _go_to(
        self, target: float | None, reason: str, state: State, axis: AxisReading, now: float
    ) -> Decision:
        if target is None or abs(target - axis.target_steps) < 1e-6:
            return Decision("hold", None, reason, state)
        self._commanded_s = now
        return Decision("move", target, reason, state)

    def _next(self, score: float, axis: AxisReading, now: float) -> tuple[float | None, str, State]:
        """Give the next lens position, why, and the state, after a measurement at the present one."""
        recheck_due = now - self._checked_s > self._config.control.recheck_s
        if self.gave_up:
            if not recheck_due:
                return self._good_place, NO_HILL, "lost"
            self._scan, self._climb, self.gave_up = None, None, False
        if self._climb is None:
            return self._first(score, axis)
        climb = self._climb
        if not climb.converged:
            return self._climb_on(climb, score, now)
        change = abs(score / climb.best_sharpness - 1) if climb.best_sharpness > 0 else 0.0
        if change > CHANGE_TO_RESTART:
            climb.restart()
            self._testing = False
            return climb.target_steps, "contrast has changed: climbing again", "locking"
        if change > CHANGE_TO_RECHECK or recheck_due:
            climb.recheck()
            climb.record(score)
            self._testing = True
            return climb.target_steps, "testing the focus", "locked"
        return climb.target_steps, "at the sharpest place", "locked"

    def _climb_on(self, climb: HillClimb, score: float, now: float) -> tuple[float | None, str, State]:
        """Go on with a climb or a test; only a climb that found a hill ends in focus."""
        if not climb.record(score):
            return climb.target_steps, "climbing", "locked" if self._testing else "locking"
        self._checked_s = now
        if not self._testing and not climb.on_hill:
            self.gave_up = True
            return self._good_place, NO_HILL, "lost"
        self._good_place = climb.target_steps
        return climb.target_steps, "at the sharpest place", "locked"

    def _first(self, score: float, axis: AxisReading) -> tuple[float, str, State]:
        """Begin with the scan, where one was asked for, and go on to the climb."""
        axis_config, control = self._config.axis, self._config.control
        step = coarse_step_steps(self._config, axis.limits_steps)
        here = axis.target_steps
        if self._scan is None:
            self._good_place = here
        if self._full_scan:
            if self._scan is None:
                span = control.search_span_um / axis_config.um_per_step
                self._scan = Scan(scan_positions(here, span, step, axis.limits_steps))
                first = self._scan.target_steps
                return here if first is None else first, "scan begins", "searching"
            self._scan.record(score)
            if self._scan.target_steps is not None:
                return self._scan.target_steps, "scanning", "searching"
            here = self._scan.sharpest_steps
        scanned = self._scan.measured if self._scan is not None else ()
        self._testing = False
        self._climb = HillClimb(here, step, FINEST_SHARE * step, axis.limits_steps, scanned=scanned)
        if not self._full_scan:
            self._climb.record(score)
        return self._climb.target_steps, "climbing", "locking"


class StillFocuser:
    """Holds still, so that the other methods have something to be compared with."""

    method: Method = "none"
    gave_up = True

    def start(self, now: float) -> None:
        """Begin at time `now` in seconds."""

    def look(self, frame: Frame, axis: AxisReading, now: float) -> Look:
        """Decide to hold; a fault of the axis is still a fault."""
        if axis.fault is not None:
            return Look(Decision("fault", None, axis.fault, "fault"))
        height, width = frame.pixels.shape[:2]
        look = Look(Decision("hold", None, "autofocus is off", "idle"))
        look.box, look.window = Box(0, 0, width, height), frame.pixels
        return look

    def rest_steps(self) -> float | None:
        """Return None: the lens stays where it is."""
        return None


def coarse_step_steps(config: RigConfig, limits_steps: tuple[float, float]) -> float:
    """First step of a climb: the DOF, or less where the whole travel is only a few of them."""
    low, high = limits_steps
    return min(config.optics.dof_um / config.axis.um_per_step, TRAVEL_SHARE * (high - low))


def _timed(work: Callable[[], None]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin

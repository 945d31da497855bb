"""The owner loop: frames in, moves out. Nothing else commands the axis while it runs."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from edge.decision import AxisReading
from edge.figures import RunFigures, Step, Tally
from edge.focusers import Focuser
from hw.errors import AxisFault
from hw.frame import Frame
from hw.rig import Rig

__all__ = [
    "FocusResult",
    "Progress",
    "Recorder",
    "Stopped",
    "Truth",
    "focus_once",
    "loop_steps",
    "run_autofocus",
]

Truth = Callable[[Frame], float | None]
Progress = Callable[[Step], None]
Stopped = Callable[[], bool]

# The longest wait for the lens to come to rest after a run; any move of any axis is over by then.
REST_TIMEOUT_S = 60.0
POLL_S = 0.01


class Recorder(Protocol):
    """Where the steps of a run are written; `edge.session.Session` is one."""

    def record(self, step: Step) -> None:
        """Write one step."""


@dataclass(frozen=True, slots=True)
class FocusResult:
    """Outcome of one full focus.

    Attributes
    ----------
    focused : the loop said `locked` in time, and the lens is at `lens_steps`
    reason : why it ended, for a person
    lens_steps : where the lens was left
    seconds, frames : what it took, on the rig's clock
    """

    focused: bool
    reason: str
    lens_steps: float
    seconds: float
    frames: int


def loop_steps(rig: Rig, focuser: Focuser, truth: Truth | None = None) -> Generator[Step, None, None]:
    """Run the loop, one turn per frame, until it is closed.

    The move that a step decided on has been started when the step is yielded. However the loop ends, by
    an error, an interrupt or `close`, the axis is stopped.

    Parameters
    ----------
    rig : open, and used by nobody else
    focuser : decides
    truth : lens position truly in focus at a frame, in steps, or None

    Raises
    ------
    CameraStalled
        The camera delivers no more frames.
    AxisFault
        The axis has latched a fault or refuses a move; the step that saw the fault is yielded first.
    """
    _home(rig)
    start_s = rig.clock.now()
    focuser.start(start_s)
    try:
        for frame in rig.camera.frames():
            now = rig.clock.now()
            axis = AxisReading.of(rig.axis)
            look = focuser.look(frame, axis, now)
            decision = look.decision
            if decision.target_steps is not None:
                rig.axis.move_to(decision.target_steps)
            yield Step(frame, axis, look, start_s, now, truth(frame) if truth else None)
            if decision.action == "fault":
                raise AxisFault(decision.reason)
    finally:
        rig.axis.stop()


def run_autofocus(
    rig: Rig,
    focuser: Focuser,
    *,
    seconds: float,
    session: Recorder | None = None,
    truth: Truth | None = None,
    progress: Progress | None = None,
    stopped: Stopped | None = None,
) -> RunFigures:
    """Keep the subject in focus for a while.

    Parameters
    ----------
    rig : open; it stays open
    focuser : how to focus
    seconds : length of the run on the rig's clock; inf has no end of its own
    session : told every step
    truth : lens position truly in focus at a frame, in steps, or None
    progress : called after every step
    stopped : asked after every step; the run ends when it says yes

    Returns
    -------
    RunFigures
        Also when the frames end before the time does, as those of a finite recording.

    Raises
    ------
    CameraStalled, AxisFault
        As `loop_steps`.
    """
    tally = Tally(rig.config)
    with closing(loop_steps(rig, focuser, truth)) as steps:
        for step in steps:
            tally.add(step)
            if session is not None:
                begin = perf_counter()
                session.record(step)
                tally.add_log(perf_counter() - begin)
            if progress is not None:
                progress(step)
            if step.elapsed_s >= seconds or (stopped is not None and stopped()):
                break
    _come_to_rest(rig, focuser.rest_steps())
    return tally.figures(focuser.method, float(rig.axis.position_steps))


def focus_once(
    rig: Rig,
    focuser: Focuser,
    *,
    timeout_s: float,
    session: Recorder | None = None,
    progress: Progress | None = None,
) -> FocusResult:
    """Focus once and stop: until the loop says `locked`, the focuser gives up or `timeout_s` have passed.

    A focus that failed puts the lens back to where it was found (after homing, where that was needed), for
    the middle of a search is nobody's good place.

    Raises
    ------
    CameraStalled, AxisFault
        As `loop_steps`.
    """
    _home(rig)
    begin_steps = float(rig.axis.position_steps)
    step, focused, count = None, False, 0
    with closing(loop_steps(rig, focuser)) as steps:
        for step in steps:
            count += 1
            if session is not None:
                session.record(step)
            if progress is not None:
                progress(step)
            focused = step.look.decision.state == "locked"
            if focused or focuser.gave_up or step.elapsed_s >= timeout_s:
                break
    _come_to_rest(rig, focuser.rest_steps() if focused else begin_steps)
    lens = float(rig.axis.position_steps)
    if step is None:
        return FocusResult(False, "the camera delivered no frame", lens, 0.0, 0)
    state, why = step.look.decision.state, step.look.decision.reason
    reason = why if focused else f"not locked after {step.elapsed_s:.1f} s, last state {state}: {why}"
    return FocusResult(focused, reason, lens, step.elapsed_s, count)


def _home(rig: Rig) -> None:
    """Make positions trustworthy."""
    if not rig.axis.homed:
        rig.axis.home()


def _come_to_rest(rig: Rig, target_steps: float | None) -> None:
    """Leave the lens where it belongs, standing still; a fault on the way is not a lens at rest."""
    if target_steps is not None:
        rig.axis.move_to(target_steps)
    waited = 0.0
    while rig.axis.moving:
        if waited > REST_TIMEOUT_S:
            raise AxisFault(
                f"the lens is still moving {REST_TIMEOUT_S:.0f} s after the run; check the driver"
            )
        rig.clock.sleep(POLL_S)
        waited += POLL_S
    if rig.axis.fault is not None:
        raise AxisFault(rig.axis.fault)

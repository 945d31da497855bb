"""The plan of a recording session, fixed from its seed before the first stack."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.acquire import plan_positions
from calibration.dataset import Plan, StackEntry
from calibration.stack import STACK_SUFFIX
from hw.config import RigConfig
from hw.errors import StackError

__all__ = ["draw_places", "frame_bytes", "plan_stacks", "stack_positions", "start_shifts"]

# Streams of a session's seed.
_PLACES, _JITTER = 0, 1

_TRIES = 200


def start_shifts(starts: int) -> NDArray[np.float64]:
    """Return the starts that stacks alternate between, in distances between planes, about 0.

    Stacks that begin a fraction of a step apart sample defocus more finely than one stack could (Liao et al.
    2021, section 2: planes 3 um apart, starts at -37, -36 and -35 um; here three starts are -1/3, 0, 1/3).
    """
    return (np.arange(starts) - (starts - 1) / 2) / starts


def _room(plan: Plan) -> float:
    """Return how far planes may lie beyond the plan's ends, in distances between planes."""
    return float(start_shifts(plan.starts).max()) + plan.jitter


def _step_um(rig: RigConfig, plan: Plan) -> float:
    return rig.optics.dof_um / 4 if plan.step_um is None else plan.step_um


def stack_positions(rig: RigConfig, plan: Plan, number: int, start_um: float) -> NDArray[np.float64]:
    """Return the lens positions of a session's stack in steps, ascending.

    Parameters
    ----------
    rig : the rig file, as the open rig has it
    plan : the session's
    number : of the stack within its session, from 0
    start_um : how much higher than the plan says it lies

    Raises
    ------
    StackError
        As `plan_positions`; or planes less than a motor step apart.
    """
    scale = rig.axis.um_per_step
    positions = plan_positions(rig, plan.centre_um, plan.span_um, plan.step_um, room=_room(plan))
    step = _step_um(rig, plan) / scale
    if step < 1 - 1e-9:
        raise StackError(
            f"planes {step * scale:g} um apart are closer than a motor step of {scale:g} um; choose a larger "
            "--step-um"
        )
    # A motor stands on whole steps: planes that come closer than one could not be told apart.
    most = min(plan.jitter * step, (step - 1) / 2)
    stray = np.random.default_rng([plan.seed, _JITTER, number]).uniform(-most, most, len(positions))
    return positions + start_um / scale + stray


def plan_stacks(
    rig: RigConfig, plan: Plan, first: int, session: int, taken: Sequence[tuple[float, float]] = ()
) -> list[StackEntry]:
    """Lay out a session's stacks.

    Parameters
    ----------
    rig : the rig file
    plan : what is asked for
    first : number of the first file
    session : number of the session, from 1; the same seed gives other places in another session
    taken : places of earlier sessions on the same plate

    Raises
    ------
    StackError
        Places are asked for on a rig without a stage.
    """
    shifts = start_shifts(plan.starts) * _step_um(rig, plan)
    places: Sequence[tuple[float, float] | None] = [None] * plan.stacks
    if plan.places:
        places = draw_places(rig, plan.stacks, np.random.default_rng([plan.seed, _PLACES, session]), taken)
    names = [f"{rig.name}_{first + index:04d}" for index in range(plan.stacks)]
    return [
        StackEntry(
            file=f"{name}{STACK_SUFFIX}",
            specimen=plan.specimen or name,
            start_um=round(float(shifts[index % len(shifts)]), 6),
            place_um=places[index],
        )
        for index, name in enumerate(names)
    ]


def draw_places(
    rig: RigConfig, number: int, rng: np.random.Generator, taken: Sequence[tuple[float, float]] = ()
) -> list[tuple[float, float]]:
    """Draw places within a stage's limits whose fields do not overlap, in random order.

    A field that two stacks show would stand on both sides of a split, so the places taken already count too.
    Where so many fields do not fit, they come as close as they must.

    Raises
    ------
    StackError
        The rig has no stage.
    """
    stage = rig.stage
    if stage is None:
        raise StackError(f"rig '{rig.name}' has no stage to go to places with; leave --places out")
    apart = math.hypot(rig.camera.width_px, rig.camera.height_px) * rig.optics.um_per_px
    low = np.array([stage.min_x_um, stage.min_y_um])
    high = np.array([stage.max_x_um, stage.max_y_um])
    places = np.array(taken, dtype=np.float64).reshape(-1, 2)
    while len(places) < len(taken) + number:
        for _ in range(_TRIES):
            place = rng.uniform(low, high)
            if not len(places) or np.hypot(*(places - place).T).min() >= apart:
                places = np.vstack([places, place])
                break
        else:
            apart *= 0.9
    return [(round(float(x), 1), round(float(y), 1)) for x, y in places[len(taken) :]]


def frame_bytes(rig: RigConfig) -> int:
    """Bytes of one colour plane of a stack."""
    return rig.camera.width_px * rig.camera.height_px * 3

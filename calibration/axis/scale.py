"""How far the focal plane moves per step: against a spacer of known thickness, and what the optics expect."""

import math
from dataclasses import dataclass

import numpy as np

from calibration.axis.backlash import sweep_positions
from calibration.axis.bench import Bench, Sweep
from calibration.axis.curves import Shifts, align
from calibration.axis.find import find_box, find_target
from hw.errors import StackError

__all__ = ["Scale", "curve_width_steps", "measure_scale", "scale_from_width"]

# Standard deviation of a focus curve in depths of field, over simulated worms 1.0 to 2.0, and the factor by
# which one target's curve may differ from it.
CURVE_DOF = 1.4
CURVE_FACTOR = 1.6
# A spacer must move focus by this many standard deviations of what is measured.
LEAST_SIGMAS = 10.0


@dataclass(frozen=True)
class Scale:
    """What a spacer says.

    Attributes
    ----------
    um_per_step, sigma_um_per_step : distance that the focal plane moves per step, above 0
    spacer_um : thickness of the spacer
    shift_steps, shift_sigma_steps : by how much it raised focus, as the axis counts; below 0 where the
        direction is inverted
    sweeps, shifts : without, with, with and without the spacer
    """

    um_per_step: float
    sigma_um_per_step: float
    spacer_um: float
    shift_steps: float
    shift_sigma_steps: float
    sweeps: tuple[Sweep, ...]
    shifts: Shifts


def measure_scale(
    bench: Bench,
    focus_steps: float,
    spacer_um: float,
    spacer_sigma_um: float = 0.0,
    scatter_steps: float = 0.0,
) -> Scale:
    """Measure focus without, with, with, and without a spacer under the specimen.

    This needs no glass of known index and no model of the optics: what counts in `um_per_step` is how far the
    focal plane moves in the specimen, and the spacer moves the specimen by just that. Out and in again takes
    a steady drift out.

    Parameters
    ----------
    bench : with a target
    focus_steps : where it is sharp without the spacer
    spacer_um, spacer_sigma_um : thickness of the spacer, and its standard deviation
    scatter_steps : repeatability of focus, where it is known

    Raises
    ------
    StackError
        Nobody can put the spacer in, focus leaves the axis's limits with it, or hardly moves.
    """
    put_in = bench.rig.raise_specimen
    if put_in is None:
        raise StackError("nobody puts the spacer in; start this from a terminal")
    config = bench.rig.config
    sweeps = []
    bench.say("sweep without the spacer")
    sweeps.append(bench.visit(sweep_positions(bench, focus_steps)))
    put_in(spacer_um)
    try:
        # Not where the rig file's scale expects it: that is in question.
        raised = find_target(bench)
        for number in (1, 2):
            bench.say(f"sweep {number} with the spacer")
            sweeps.append(bench.visit(sweep_positions(bench, raised)))
    finally:
        put_in(-spacer_um)
    find_box(bench, focus_steps)
    bench.say("sweep without the spacer again")
    sweeps.append(bench.visit(sweep_positions(bench, focus_steps)))
    near = [focus_steps, raised, raised, focus_steps]
    shifts = align([s.position_steps for s in sweeps], [s.luminance for s in sweeps], near)
    first, second, third, fourth = shifts.shift
    shift = float(second + third - first - fourth) / 2
    sigma = max(shifts.sigma, scatter_steps)
    if not abs(shift) > LEAST_SIGMAS * sigma:
        raise StackError(
            f"with a spacer of {spacer_um:g} um focus moved by {shift:.1f} steps, which is too little to "
            f"judge; take one of {LEAST_SIGMAS * sigma * config.axis.um_per_step:.0f} um or more"
        )
    um_per_step = abs(spacer_um / shift)
    relative = math.hypot(sigma / shift, spacer_sigma_um / spacer_um)
    return Scale(um_per_step, um_per_step * relative, spacer_um, shift, sigma, tuple(sweeps), shifts)


def curve_width_steps(sweep: Sweep) -> float:
    """Return the standard deviation of the Gaussian that a focus curve's top resembles, steps."""
    order = np.argsort(sweep.position_steps)
    z, v = sweep.position_steps[order], sweep.luminance[order]
    top = v > 0.6 * v.max()
    bend, *_ = np.polyfit(z[top] - z[top].mean(), np.log(v[top]), 2)
    return math.sqrt(-0.5 / float(bend)) if bend < 0 else math.inf


def scale_from_width(sweep: Sweep, dof_um: float) -> tuple[float, float]:
    """Expect a scale from the width of a focus curve and the depth of field.

    Good for telling full steps from half steps and no better: the width depends on the target as well.

    Returns
    -------
    um_per_step : expected
    factor : by which the true one may be larger or smaller
    """
    return CURVE_DOF * dof_um / curve_width_steps(sweep), CURVE_FACTOR

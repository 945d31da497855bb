"""Collecting evidence of an axis's direction on a rig."""

from collections.abc import Callable
from dataclasses import dataclass

from calibration.axis.backlash import sweep_positions
from calibration.axis.bench import Bench, Sweep
from calibration.axis.direction import Evidence, Verdict, by_colours, by_network, by_spacer, conclude
from calibration.axis.find import find_target, still_enough
from calibration.axis.scale import measure_scale
from calibration.axis.sides import Judged, Sides, look_at_both_sides
from hw.rig import Rig

__all__ = ["Means", "Proof", "prove_direction"]


@dataclass(frozen=True)
class Means:
    """What a direction is to be proved by; None leaves one out.

    Attributes
    ----------
    judge : a network that knows the sign
    red_minus_blue_um : how the lens parts the colours
    spacer_um : thickness of a spacer that somebody puts under the specimen
    sweeps : how often the colours are compared
    """

    judge: Judged | None = None
    red_minus_blue_um: float | None = None
    spacer_um: float | None = None
    sweeps: int = 4


@dataclass(frozen=True)
class Proof:
    """The evidence, what it comes to, and what it was drawn from."""

    verdict: Verdict
    evidence: tuple[Evidence, ...]
    sides: Sides | None = None
    sweeps: tuple[Sweep, ...] = ()


def prove_direction(
    rig: Rig,
    means: Means,
    centre_um: float | None = None,
    span_um: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> Proof:
    """Collect evidence by all means given.

    Parameters
    ----------
    rig : opened from `calibration.axis.bench.without_a_preferred_side`
    means : what to prove the direction by
    centre_um, span_um : where to look for the target
    progress : called with what is being done

    Raises
    ------
    StackError
        No target, one that moves where it must not, or no room for the sweeps.
    """
    bench, config = Bench(rig, progress), rig.config
    um_per_step, dof_um = config.axis.um_per_step, config.optics.dof_um
    evidence: list[Evidence] = []
    sides, sweeps = None, []
    if means.judge is not None:
        sides = look_at_both_sides(bench, means.judge, centre_um, span_um)
        seen = sides.usable
        evidence.append(
            by_network(sides.lens_steps[seen], sides.offset_um[seen], sides.focus_steps, um_per_step, dof_um)
        )
    if means.red_minus_blue_um is not None or means.spacer_um is not None:
        focus = find_target(bench, centre_um, span_um)
        still_enough(bench)
    if means.red_minus_blue_um is not None:
        for number in range(means.sweeps):
            bench.say(f"colours, sweep {number + 1} of {means.sweeps}")
            sweeps.append(bench.visit(sweep_positions(bench, focus, upward=number % 2 == 0)))
        evidence.append(by_colours(sweeps, means.red_minus_blue_um, um_per_step, dof_um))
    if means.spacer_um is not None:
        scale = measure_scale(bench, focus, means.spacer_um)
        evidence.append(by_spacer(scale.shift_steps, scale.shift_sigma_steps, means.spacer_um))
    return Proof(conclude(evidence), tuple(evidence), sides, tuple(sweeps))

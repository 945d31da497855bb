"""Everything that is measured of an axis with a still target, and what it means for the rig file."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.axis.backlash import Backlash, measure_backlash
from calibration.axis.bench import Bench
from calibration.axis.direction import Evidence, by_colours, by_spacer, conclude
from calibration.axis.find import find_target, still_enough
from calibration.axis.missed import MissedSteps, fast_ways, gentle_way, make_trips
from calibration.axis.scale import Scale, measure_scale, scale_from_width
from calibration.axis.settle import Settling, measure_settling
from hw.calibration_record import Value
from hw.rig import Rig

__all__ = ["AxisPlan", "AxisReport", "characterise"]

# Looks wait for so many settle times.
SETTLES = 1.5
# A scale is changed when it is so many standard deviations from the rig file's.
DIFFERS_SIGMAS = 2.0


@dataclass(frozen=True)
class AxisPlan:
    """How much is measured.

    Attributes
    ----------
    centre_um, span_um : where to look for the target; by default the middle of the travel, and the rig's span
    pairs : sweeps up and down, for the backlash
    moves : short moves, for the settle time
    trips : fast ones, for missed steps; 0 for none
    far_steps : how far those go
    spacer_um, spacer_sigma_um : thickness of the spacer for the scale; None for no scale
    """

    centre_um: float | None = None
    span_um: float | None = None
    pairs: int = 3
    moves: int = 30
    trips: int = 4
    far_steps: float = 600.0
    spacer_um: float | None = None
    spacer_sigma_um: float = 3.0


@dataclass(frozen=True)
class AxisReport:
    """What was measured, `None` for what was not.

    Attributes
    ----------
    focus_steps : where the target was in focus
    control : trips in the small hops that everything else is measured with; missed steps there end it all
    settling, backlash, scale : the parts
    fast : trips at full speed
    evidence : what the same sweeps say of the direction
    width_um_per_step : scale that the width of the focus curve lets expect, within `width_factor`
    troubles : what is wrong with the axis or its rig file, each with the next step
    values : keys of the rig file and what they should be
    """

    focus_steps: float
    control: MissedSteps
    settling: Settling | None
    backlash: Backlash | None
    scale: Scale | None
    fast: MissedSteps | None
    evidence: tuple[Evidence, ...]
    width_um_per_step: float
    width_factor: float
    troubles: tuple[str, ...]
    values: dict[str, Value]

    @property
    def sound(self) -> bool:
        """Whether no steps were missed."""
        return not (self.control.found or (self.fast is not None and self.fast.found))

    def figures(self) -> dict[str, Value]:
        """Return the numbers by name, for a JSON file and the rig file's record."""
        figures: dict[str, Value] = {
            "focus_steps": round(self.focus_steps, 2),
            "um_per_step_from_width": round(self.width_um_per_step, 2),
            "um_per_step_from_width_factor": self.width_factor,
            "missed_steps_gently": self.control.found,
            "missed_steps_sigma": round(self.control.sigma_steps, 3),
        }
        if (settling := self.settling) is not None:
            figures |= {
                "settle_s": round(settling.settle_s, 5),
                "settle_low_s": round(settling.low_s, 5),
                "settle_high_s": round(settling.high_s, 5),
            }
        if (backlash := self.backlash) is not None:
            figures |= {
                "backlash_steps": round(backlash.backlash_steps, 3),
                "backlash_sigma_steps": round(backlash.sigma_steps, 3),
                "repeatability_steps": round(backlash.repeatability_steps, 3),
                "drift_steps_s": round(backlash.drift_steps_s, 6),
            }
        if (scale := self.scale) is not None:
            figures |= {
                "um_per_step": round(scale.um_per_step, 5),
                "um_per_step_sigma": round(scale.sigma_um_per_step, 5),
                "spacer_shift_steps": round(scale.shift_steps, 3),
            }
        if self.fast is not None:
            figures |= {
                "missed_steps_at_speed": self.fast.found,
                "missed_steps_worst": round(self.fast.worst_steps, 2),
            }
        for one in self.evidence:
            figures[f"direction_by_{one.method}"] = one.verdict
        return figures


def characterise(
    rig: Rig, plan: AxisPlan, rng: np.random.Generator, progress: Callable[[str], None] | None = None
) -> AxisReport:
    """Measure an axis.

    First of all, whether small hops miss steps: nothing else could be trusted then, and nothing else is
    measured. Fast trips come last, for after them the count may be wrong.

    Parameters
    ----------
    rig : opened from `calibration.axis.bench.without_a_preferred_side`
    plan : how much
    rng : says at which moments of the camera's beat the short moves begin
    progress : called with what is being done

    Raises
    ------
    StackError
        No target, one that moves, or no room for the sweeps.
    AxisFault, CameraStalled
        A part fails.
    """
    bench = Bench(rig, progress)
    focus = find_target(bench, plan.centre_um, plan.span_um)
    bench.creep(focus)
    still_enough(bench)
    control = make_trips(bench, focus, "gentle", gentle_way(bench, focus))
    expected, factor = scale_from_width(control.sweeps[0], rig.config.optics.dof_um)
    settling, backlash, scale, fast = None, None, None, None
    values: dict[str, Value] = {}
    if not control.found:
        settling = measure_settling(bench, focus, rng, plan.moves)
        bench.extra_rest_s = max(bench.extra_rest_s, SETTLES * settling.high_s)
        backlash = measure_backlash(bench, focus, plan.pairs)
        scatter = backlash.repeatability_steps
        values["axis.backlash_steps"] = round(backlash.backlash_steps, 2)
        # Whoever waits for it must not wait too short.
        values["axis.settle_s"] = math.ceil(settling.high_s * 1e3) / 1e3
        if plan.spacer_um is not None:
            scale = measure_scale(bench, focus, plan.spacer_um, plan.spacer_sigma_um, scatter)
            # Another scale makes a kept position worthless: not for a difference that may be none.
            if _differs(scale, rig.config.axis.um_per_step):
                values["axis.um_per_step"] = float(f"{scale.um_per_step:.4g}")
        if plan.trips > 0:
            ways = fast_ways(bench, focus, plan.far_steps, plan.trips)
            fast = make_trips(bench, focus, "fast", ways, scatter)
    evidence = _direction(rig, backlash, scale)
    troubles = (*_missed(rig, control, fast), *_otherwise(rig, evidence, scale, expected, factor))
    return AxisReport(
        focus, control, settling, backlash, scale, fast, evidence, expected, factor, troubles, values
    )  # fmt: skip


def _differs(scale: Scale, um_per_step: float) -> bool:
    return abs(scale.um_per_step - um_per_step) > DIFFERS_SIGMAS * scale.sigma_um_per_step


def _missed(rig: Rig, control: MissedSteps, fast: MissedSteps | None) -> list[str]:
    """Say what missed steps there are, and what to do about them."""
    axis = rig.config.axis
    if control.found:
        return [
            "missed steps even in small hops, so that nothing else can be measured; more motor current, a "
            f"lower axis.acceleration_steps_s2 ({axis.acceleration_steps_s2:g}), or an easier screw; "
            "then home the axis, or confirm its position"
        ]
    if fast is not None and fast.found:
        return [
            f"missed steps at full speed, {fast.worst_steps:+.1f} in one trip; lower axis.max_speed_steps_s "
            f"({axis.max_speed_steps_s:g}) or axis.acceleration_steps_s2 ({axis.acceleration_steps_s2:g}), "
            f"or give the motor more current; the lens now stands {fast.lost_steps:+.0f} steps from where it "
            "is counted: home it, or confirm its position"
        ]
    return []


def _direction(rig: Rig, backlash: Backlash | None, scale: Scale | None) -> tuple[Evidence, ...]:
    """Judge the direction by what was seen anyway: the colours, and the spacer."""
    axis, optics = rig.config.axis, rig.config.optics
    found = []
    if backlash is not None and optics.red_minus_blue_um is not None:
        found.append(by_colours(backlash.sweeps, optics.red_minus_blue_um, axis.um_per_step, optics.dof_um))
    if scale is not None:
        found.append(by_spacer(scale.shift_steps, scale.shift_sigma_steps, scale.spacer_um))
    return tuple(found)


def _otherwise(
    rig: Rig, evidence: Sequence[Evidence], scale: Scale | None, expected: float, factor: float
) -> list[str]:
    """Say what is wrong with direction and scale, as far as it shows."""
    troubles = []
    if conclude(evidence) == "inverted":
        troubles.append(
            f"the axis runs the wrong way: {evidence[-1].seen}; let 'wormfocus calibrate sign' turn it round"
        )
    say = rig.config.axis.um_per_step if scale is None else scale.um_per_step
    if not expected / factor <= say <= expected * factor:
        troubles.append(
            f"the focus curve is as wide as if a step were {expected:.2g} um, and axis.um_per_step is "
            f"{say:g}; check the driver's microsteps and optics.dof_um, or measure the scale with --spacer-um"
        )
    return troubles

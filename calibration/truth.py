"""True focus: what a perfect labeller would say.

The lens position at which the noise-free image of the subject peaks in the default measure. It lies some
tens of um from the plane of geometrical optics, by an amount that depends on optics and specimen.
"""

from collections.abc import Callable

from calibration.measure import DEFAULT_MEASURE, MEASURES
from hw.errors import StackError
from hw.frame import Frame
from hw.rig import Rig

__all__ = ["known_focus_um", "sharpest_position", "true_focus"]

REFRESH_S = 1.0


def sharpest_position(
    sharpness: Callable[[float], float], start_um: float, dof_um: float, *, span_dof: float = 4.0
) -> float:
    """Find the lens position where a noise-free focus curve peaks.

    Climbs in steps of 2/3 DOF from `start_um`, then halves the step and takes the vertex of the parabola
    through the three values about the best one.

    Parameters
    ----------
    sharpness : focus measure at a lens position in um
    start_um : where to start
    dof_um : depth of field, the width that steps are scaled by
    span_dof : how far from the start the peak may lie, in DOF

    Returns
    -------
    float
        Lens position in um.

    Raises
    ------
    StackError
        No peak within the span.
    """
    known: dict[int, float] = {}
    unit = dof_um / 3

    def at(k: int) -> float:
        if k not in known:
            known[k] = sharpness(start_um + k * unit)
        return known[k]

    best = max((-2, 0, 2), key=at)
    while (nearer := max((best - 2, best, best + 2), key=at)) != best:
        best = nearer
        if abs(best) * unit > span_dof * dof_um:
            raise StackError(
                f"no focus peak within {span_dof * dof_um:.0f} um of {start_um:.0f} um; leave this specimen "
                "out, or check optics.dof_um against simulation.optics in the rig file"
            )
    best = max((best - 1, best, best + 1), key=at)
    low, middle, high = at(best - 1), at(best), at(best + 1)
    curvature = low - 2 * middle + high
    shift = 0.5 * (low - high) / curvature if curvature < 0 else 0.0
    return start_um + (best + max(-1.0, min(1.0, shift))) * unit


def known_focus_um(rig: Rig) -> float | None:
    """Return the lens position in um, as the axis counts, that is in focus now.

    None for a rig that does not know it by construction.
    """
    if rig.ideal is None:
        return None
    now = rig.clock.now()
    focus_um = rig.ideal.focus_um(now)
    return None if focus_um is None else focus_um - rig.ideal.lens_error_um(now)


def true_focus(rig: Rig) -> Callable[[Frame], float | None] | None:
    """Return what tells the true focus of a frame in steps; None for a rig that cannot know it.

    It is counted as the axis counts: where backlash or missed steps have put the lens elsewhere than the axis
    believes, that error is in it, so that a frame's `lens_steps` minus its true focus is the real defocus.

    The subject's sharpest position relative to the rig's own reference plane changes slowly with posture:
    it is found anew every `REFRESH_S` seconds of the rig's clock, and follows the plane in between. Where the
    subject has no sharpest position, the true focus of those seconds' frames is None.
    """
    if rig.ideal is None:
        return None
    ideal = rig.ideal
    measure = MEASURES[DEFAULT_MEASURE]
    um_per_step = rig.config.axis.um_per_step
    offsets: dict[int, float | None] = {}

    def focus(frame: Frame) -> float | None:
        t = frame.mid_exposure_s
        if (known := ideal.focus_um(t)) is not None:
            return (known - ideal.lens_error_um(t)) / um_per_step
        period = int(t / REFRESH_S)
        if period not in offsets:
            middle = (period + 0.5) * REFRESH_S
            near = (offsets.get(period - 1) or 0.0) + ideal.plane_um(middle)
            try:
                found = sharpest_position(
                    lambda z: measure(ideal.render(middle, z)), near, rig.config.optics.dof_um
                )
                offsets[period] = found - ideal.plane_um(middle)
            except StackError:
                offsets[period] = None
        offset_um = offsets[period]
        if offset_um is None:
            return None
        return (ideal.plane_um(t) + offset_um - ideal.lens_error_um(t)) / um_per_step

    return focus

"""Pictures of what a calibration of the axis rests on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration.axis.backlash import Backlash
from calibration.axis.bench import Sweep
from calibration.axis.missed import MissedSteps
from calibration.axis.scale import Scale
from calibration.axis.settle import Settling
from calibration.axis.sides import Sides
from calibration.picture import save_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_axis", "draw_direction"]

# Okabe and Ito's colours, which the colour-blind can tell apart.
INK, UP, DOWN, FOCUS, GREY = "#222222", "#0072B2", "#E69F00", "#009E73", "#8a8a8a"
CHANNELS = {"red": "#D55E00", "green": "#009E73", "blue": "#0072B2"}


def draw_axis(
    path: Path,
    title: str,
    backlash: Backlash | None,
    settling: Settling | None,
    missed: Sequence[MissedSteps],
    scale: Scale | None,
) -> None:
    """Draw what `calibrate axis` has measured, one panel for each number.

    Parameters
    ----------
    path : of the PNG file
    title : what was measured
    backlash, settling, scale : None where it was not measured
    missed : trips of every speed that was tried
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), layout="constrained")
    figure.suptitle(title, wrap=True, fontsize="large")
    panels = figure.subplots(2, 2)
    _draw_backlash(panels[0, 0], backlash)
    _draw_settling(panels[0, 1], settling)
    _draw_missed(panels[1, 0], missed)
    _draw_scale(panels[1, 1], scale)
    save_picture(figure, path, 110)


def draw_direction(
    path: Path, title: str, sides: Sides | None, sweeps: Sequence[Sweep], um_per_step: float
) -> None:
    """Draw what `calibrate sign` has seen.

    Parameters
    ----------
    path : of the PNG file
    title : what it came to
    sides : the network's offsets, where it was asked
    sweeps : focus curves by colour, where they were made
    um_per_step : of the rig file
    """
    from matplotlib.figure import Figure

    wanted = [sides is not None, bool(sweeps)]
    figure = Figure(figsize=(5.5 * max(1, sum(wanted)), 4.5), layout="constrained")
    figure.suptitle(title, wrap=True, fontsize="large")
    panels = iter(np.atleast_1d(figure.subplots(1, max(1, sum(wanted)))))
    if sides is not None:
        _draw_sides(next(panels), sides, um_per_step)
    if sweeps:
        _draw_colours(next(panels), sweeps)
    save_picture(figure, path, 110)


def _draw_backlash(panel: "Axes", found: Backlash | None) -> None:
    if found is None:
        _not_measured(panel, "backlash")
        return
    for sweep, shift in zip(found.sweeps, found.shifts.shift, strict=True):
        top = sweep.luminance.max()
        colour = UP if sweep.upward else DOWN
        panel.plot(sweep.position_steps, sweep.luminance / top, "o-", ms=3, lw=0.8, color=colour, alpha=0.7)
        panel.axvline(_middle(found) + shift, color=colour, lw=0.8, alpha=0.7)
    panel.plot([], [], color=UP, label="upwards")
    panel.plot([], [], color=DOWN, label="downwards")
    panel.legend(frameon=False, loc="lower center")
    panel.set(xlabel="lens position as counted, steps", ylabel="sharpness, share of the peak")
    panel.set_title(
        f"backlash {found.backlash_steps:.2f} ± {found.sigma_steps:.2f} steps "
        f"(repeatability {found.repeatability_steps:.2f})",
        fontsize="medium",
    )


def _middle(found: Backlash) -> float:
    tops = [float(s.position_steps[s.luminance.argmax()]) for s in found.sweeps]
    return float(np.mean(tops))


def _draw_settling(panel: "Axes", found: Settling | None) -> None:
    if found is None:
        _not_measured(panel, "settle time")
        return
    moved = found.change > found.threshold
    for mask, colour, label in ((moved, DOWN, "shakes"), (~moved, UP, "stands still")):
        panel.semilogy(found.after_s[mask] * 1e3, found.change[mask], "o", ms=3, color=colour, label=label)
    panel.axhline(found.threshold, color=GREY, lw=0.8, ls="--")
    panel.axvspan(found.low_s * 1e3, found.high_s * 1e3, color=FOCUS, alpha=0.3, lw=0)
    panel.axvline(found.settle_s * 1e3, color=FOCUS, label="settled")
    panel.legend(frameon=False)
    panel.set(xlabel="time after the move, ms", ylabel="change against the picture at rest")
    panel.set_title(f"settles in {found.settle_s * 1e3:.1f} ms ({found.moves} moves)", fontsize="medium")


def _draw_missed(panel: "Axes", found: Sequence[MissedSteps]) -> None:
    trips = [trip for one in found for trip in one.trips]
    for number, trip in enumerate(trips, 1):
        colour = DOWN if trip.significant else (GREY if trip.speed == "gentle" else UP)
        panel.bar(number, trip.lost_steps, color=colour)
        panel.annotate(
            f"{trip.lost_steps:+.2f}", (number, trip.lost_steps), (0, 3 if trip.lost_steps >= 0 else -12),
            textcoords="offset points", ha="center", fontsize="small",
        )  # fmt: skip
    panel.axhline(0, color=INK, lw=0.8)
    most = max(1.0, *(abs(trip.lost_steps) for trip in trips)) * 1.3
    panel.set_ylim(-most, most)
    panel.set_xticks(range(1, len(trips) + 1), [f"{trip.speed}\nto {trip.to_steps:+.0f}" for trip in trips])
    panel.set_ylabel("steps lost by a trip there and back")
    panel.set_title(
        "MISSED STEPS" if any(one.found for one in found) else "no missed steps", fontsize="medium"
    )


def _draw_scale(panel: "Axes", found: Scale | None) -> None:
    if found is None:
        _not_measured(panel, "scale: no spacer")
        return
    for number, sweep in enumerate(found.sweeps):
        raised = number in (1, 2)
        panel.plot(
            sweep.position_steps, sweep.luminance / sweep.luminance.max(), "o-", ms=3, lw=0.8,
            color=DOWN if raised else UP, alpha=0.7,
        )  # fmt: skip
    panel.plot([], [], color=UP, label="without the spacer")
    panel.plot([], [], color=DOWN, label="with it")
    panel.legend(frameon=False, loc="lower center")
    panel.set(xlabel="lens position as counted, steps", ylabel="sharpness, share of the peak")
    panel.set_title(
        f"{found.um_per_step:.4g} ± {found.sigma_um_per_step:.1g} um per step "
        f"(focus moved by {found.shift_steps:+.1f} steps)",
        fontsize="medium",
    )


def _draw_sides(panel: "Axes", sides: Sides, um_per_step: float) -> None:
    away = (sides.lens_steps - sides.focus_steps) * um_per_step
    reach = np.array([away.min(), away.max()])
    panel.plot(reach, -reach, color=FOCUS, lw=1, label="as the rig file says")
    panel.plot(reach, reach, color=GREY, lw=1, ls="--", label="inverted")
    panel.plot(away, sides.offset_um, "o", ms=4, color=UP, label="the network's offset")
    panel.axhline(0, color=INK, lw=0.5)
    panel.axvline(0, color=INK, lw=0.5)
    panel.legend(frameon=False)
    panel.set(xlabel="lens position from the contrast peak, um", ylabel="predicted offset, um")


def _draw_colours(panel: "Axes", sweeps: Sequence[Sweep]) -> None:
    for name, colour in CHANNELS.items():
        for sweep in sweeps:
            curve = getattr(sweep, name)
            panel.plot(
                sweep.position_steps, curve / curve.max(), "o-", ms=2.5, lw=0.8, color=colour, alpha=0.7
            )
        panel.plot([], [], color=colour, label=name)
    panel.legend(frameon=False, loc="lower center")
    panel.set(xlabel="lens position as counted, steps", ylabel="sharpness, share of the peak")


def _not_measured(panel: "Axes", what: str) -> None:
    panel.text(0.5, 0.5, f"{what}: not measured", ha="center", va="center", color=GREY)
    panel.set_axis_off()

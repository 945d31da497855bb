"""The plots of a report: predicted against true, error by offset, and how honest the deviations are."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.assessment import Assessment
from training.candidate import Scale
from training.evaluate import Frames
from training.metrics import within

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_comparison", "draw_network", "mark_simulated", "new_figure", "save"]

# Okabe and Ito's colours, which the colour-blind can tell apart.
INK, GREY, BAND = "#222222", "#8a8a8a", "#CDEBDD"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
# Enough bins to see a shape, few enough for each to hold some frames.
_BINS = 24
_POINTS = 20_000


def draw_network(path: Path, assessment: Assessment, frames: Frames, scale: Scale) -> None:
    """Draw one network's predictions and errors.

    Parameters
    ----------
    path : of the PNG to write
    assessment : the network and what it said
    frames : what was shown
    scale : the rig's step and depth of field
    """
    figure = new_figure(13, 9.2)
    (true, by_offset), (shares, honest) = figure.subplots(2, 2)
    truth, answers = frames.offset_um, assessment.answers
    error = answers.predicted_um - truth
    _draw_predicted(true, truth, answers.predicted_um, scale, frames.view)
    _draw_error_by_offset(by_offset, truth, error, scale)
    _draw_shares(shares, [assessment], frames, scale)
    if answers.sigma_um is None:
        _draw_histogram(honest, error, scale)
    else:
        _draw_coverage(honest, error, answers.sigma_um)
    figures = assessment.figures
    figure.suptitle(
        f"{assessment.candidate.name}  ·  {figures['n']} frames of {figures['specimens']} specimens  ·  "
        f"MAE {figures['mae_steps']:.2f} steps = {figures['mae_um']:.3g} µm = {figures['mae_dof']:.3f} DOF",
        x=0.012, ha="left", fontsize=13, fontweight="bold", color=INK,
    )  # fmt: skip
    mark_simulated(figure, frames)
    save(figure, path)


def draw_comparison(path: Path, assessments: Sequence[Assessment], frames: Frames, scale: Scale) -> None:
    """Draw several networks side by side.

    Parameters
    ----------
    path : of the PNG to write
    assessments : the networks and what they said
    frames : what was shown
    scale : the rig's step and depth of field
    """
    figure = new_figure(13, 9.2)
    (means, cost), (by_offset, shares) = figure.subplots(2, 2)
    _draw_means(means, assessments, scale)
    _draw_cost(cost, assessments, scale)
    _draw_mean_by_offset(by_offset, assessments, frames, scale)
    _draw_shares(shares, assessments, frames, scale)
    figures = assessments[0].figures
    figure.suptitle(
        f"{len(assessments)} networks on {figures['n']} frames of {figures['specimens']} specimens",
        x=0.012, ha="left", fontsize=13, fontweight="bold", color=INK,
    )  # fmt: skip
    mark_simulated(figure, frames)
    save(figure, path)


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of so many inches, drawn without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def mark_simulated(figure: "Figure", frames: Frames) -> None:
    """Say SIMULATED in the corner, where the stacks are."""
    if frames.simulated:
        box = {"facecolor": "#D55E00", "edgecolor": "none", "boxstyle": "round,pad=0.35"}
        figure.text(0.988, 0.985, "SIMULATED", ha="right", va="top", color="white", weight="bold", bbox=box)


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=110)


def _draw_predicted(
    axes: "Axes",
    truth: NDArray[np.float64],
    predicted: NDArray[np.float64],
    scale: Scale,
    views: NDArray[np.str_],
) -> None:
    limit = float(max(np.abs(truth).max(), np.abs(predicted).max())) * 1.03 or 1.0
    line = np.array([-limit, limit])
    axes.fill_between(line, line - scale.dof_um / 2, line + scale.dof_um / 2, color=BAND, linewidth=0)
    axes.plot(line, line, color=GREY, linewidth=0.8)
    # Every so many, where there are more than can be told apart.
    every = -(-len(truth) // _POINTS)
    for colour, view in zip(COLOURS, dict.fromkeys(views.tolist()), strict=False):
        chosen = np.flatnonzero(views == view)[::every]
        axes.plot(
            truth[chosen], predicted[chosen], ".", color=colour, alpha=0.4, markersize=4,
            markeredgewidth=0, label=view,
        )  # fmt: skip
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-limit, limit)
    axes.set_aspect("equal")
    axes.set_xlabel("true offset (µm)")
    axes.set_ylabel("predicted offset (µm)")
    axes.legend(loc="upper left", frameon=False, fontsize=9, markerscale=3)
    _title(axes, f"Predicted against true (DOF shaded, {scale.dof_um:g} µm)")


def _draw_error_by_offset(
    axes: "Axes", truth: NDArray[np.float64], error: NDArray[np.float64], scale: Scale
) -> None:
    axes.axhspan(-scale.dof_um / 2, scale.dof_um / 2, color=BAND, zorder=0)
    axes.axhline(0, color=GREY, linewidth=0.8)
    centres, chosen = _binned(truth)
    rows = np.array([np.quantile(error[some], [0.05, 0.25, 0.5, 0.75, 0.95]) for some in chosen])
    axes.fill_between(
        centres, rows[:, 0], rows[:, 4], color=COLOURS[0], alpha=0.18, linewidth=0, label="90 %"
    )
    axes.fill_between(
        centres, rows[:, 1], rows[:, 3], color=COLOURS[0], alpha=0.35, linewidth=0, label="50 %"
    )
    axes.plot(centres, rows[:, 2], color=COLOURS[0], linewidth=1.6, label="median")
    axes.set_xlabel("true offset (µm)")
    axes.set_ylabel("predicted minus true (µm)")
    axes.legend(loc="upper right", frameon=False, fontsize=9, ncols=3)
    _steps_beside(axes, scale)
    _title(axes, "Error by offset")


def _draw_shares(axes: "Axes", assessments: Sequence[Assessment], frames: Frames, scale: Scale) -> None:
    """Draw which share of the frames errs by no more than so much."""
    axes.axvspan(0, scale.dof_um / 2, color=BAND, zorder=0)
    longest = 0.0
    for colour, assessment in zip(_colours(assessments), assessments, strict=True):
        size = np.sort(np.abs(assessment.answers.predicted_um - frames.offset_um))
        longest = max(longest, float(np.quantile(size, 0.99)))
        axes.plot(
            size, np.arange(1, len(size) + 1) / len(size), color=colour, linewidth=1.6,
            label=assessment.candidate.name,
        )  # fmt: skip
    axes.set_xlim(0, max(longest, scale.dof_um))
    axes.set_ylim(0, 1)
    axes.set_xlabel("absolute error (µm)")
    axes.set_ylabel("share of frames that err less")
    if len(assessments) > 1:
        axes.legend(loc="lower right", frameon=False, fontsize=9)
    _title(axes, "Share of frames within an error (half a DOF shaded)")


def _draw_coverage(axes: "Axes", error: NDArray[np.float64], sigma: NDArray[np.float64]) -> None:
    """Draw which share of errors lies within the ranges that the deviations promise."""
    nominal = np.linspace(0.02, 0.98, 49)
    found = [float(np.mean(np.abs(error) <= within(share) * sigma)) for share in nominal]
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    axes.plot(nominal, found, color=COLOURS[0], linewidth=1.6)
    for share in (0.68, 0.95):
        inside = float(np.mean(np.abs(error) <= within(share) * sigma))
        axes.plot(share, inside, "o", color=COLOURS[4], markersize=6)
        axes.annotate(
            f"{share:.0%}: {inside:.1%}",
            (share, inside),
            xytext=(8, -14),
            textcoords="offset points",
            fontsize=9,
        )
    axes.set_xlim(0, 1.08)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("share promised by the predicted deviations")
    axes.set_ylabel("share of errors found within")
    _title(axes, "Are the deviations honest (below the line: overconfident)")


def _draw_histogram(axes: "Axes", error: NDArray[np.float64], scale: Scale) -> None:
    axes.axvspan(-scale.dof_um / 2, scale.dof_um / 2, color=BAND, zorder=0)
    limit = max(float(np.quantile(np.abs(error), 0.995)), scale.dof_um)
    axes.hist(np.clip(error, -limit, limit), bins=60, color=COLOURS[0])
    axes.set_xlabel("predicted minus true (µm)")
    axes.set_ylabel("frames")
    _title(axes, "Errors")


def _draw_means(axes: "Axes", assessments: Sequence[Assessment], scale: Scale) -> None:
    for place, (colour, assessment) in enumerate(zip(_colours(assessments), assessments, strict=True)):
        mean = assessment.figures["mae_um"]
        axes.barh(place, mean, color=colour, height=0.6)
        interval = assessment.figures["intervals"]["mae_um"]
        if interval is not None:
            axes.plot(interval, [place, place], color=INK, linewidth=2)
        end = mean if interval is None else max(mean, interval[1])
        axes.annotate(
            f"{assessment.figures['mae_steps']:.2f} steps", (end, place), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=9,
        )  # fmt: skip
    axes.set_yticks(range(len(assessments)), [a.candidate.name for a in assessments])
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set_xlim(left=0)
    axes.set_xlabel("mean absolute error (µm)")
    _title(axes, "Mean error, with its interval over specimens")


def _draw_cost(axes: "Axes", assessments: Sequence[Assessment], scale: Scale) -> None:
    for colour, assessment in zip(_colours(assessments), assessments, strict=True):
        place = (assessment.candidate.cost.multiply_adds / 1e6, assessment.figures["mae_um"])
        axes.plot(*place, "o", color=colour, markersize=9)
        axes.annotate(assessment.candidate.name, place, xytext=(8, 5), textcoords="offset points", fontsize=9)
    from matplotlib.ticker import LogLocator, NullLocator

    costs = [a.candidate.cost.multiply_adds / 1e6 for a in assessments]
    axes.set_xscale("log")
    # Names stand to the right of their points; most of a decade, or small differences look large.
    axes.set_xlim(min(costs) / 1.5, max(6 * min(costs), 2.5 * max(costs)))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.2 * max(a.figures["mae_um"] for a in assessments) or 1)
    axes.set_xlabel("multiply-adds (millions)")
    axes.set_ylabel("mean absolute error (µm)")
    _steps_beside(axes, scale)
    _title(axes, "Mean error against cost")


def _draw_mean_by_offset(
    axes: "Axes", assessments: Sequence[Assessment], frames: Frames, scale: Scale
) -> None:
    centres, chosen = _binned(frames.offset_um)
    for colour, assessment in zip(_colours(assessments), assessments, strict=True):
        size = np.abs(assessment.answers.predicted_um - frames.offset_um)
        axes.plot(
            centres, [float(size[some].mean()) for some in chosen], color=colour, linewidth=1.6,
            label=assessment.candidate.name,
        )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_xlabel("true offset (µm)")
    axes.set_ylabel("mean absolute error (µm)")
    axes.legend(loc="upper center", frameon=False, fontsize=9)
    _steps_beside(axes, scale)
    _title(axes, "Mean error by offset")


def _binned(truth: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[NDArray[np.intp]]]:
    """Return the mean offset of each bin that holds frames, and the frames in it."""
    edges = np.linspace(truth.min(), truth.max(), _BINS + 1)
    place = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, _BINS - 1)
    chosen = [some for some in (np.flatnonzero(place == bin_) for bin_ in range(_BINS)) if len(some)]
    return np.array([float(truth[some].mean()) for some in chosen]), chosen


def _colours(assessments: Sequence[Assessment]) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(len(assessments))]


def _steps_beside(axes: "Axes", scale: Scale) -> None:
    def to_steps(um: ArrayLike) -> ArrayLike:
        return np.asarray(um, dtype=np.float64) / scale.um_per_step

    def to_um(steps: ArrayLike) -> ArrayLike:
        return np.asarray(steps, dtype=np.float64) * scale.um_per_step

    axes.secondary_yaxis("right", functions=(to_steps, to_um)).set_ylabel("steps")


def _title(axes: "Axes", text: str) -> None:
    axes.set_title(text, loc="left", fontsize=11)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)

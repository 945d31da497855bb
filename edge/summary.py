"""The picture of a session: was it in focus, what did the lens do, what did the worm look like."""

import csv
import json
import sys
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.decision import State
from edge.figures import RunFigures
from hw.config import RigConfig
from hw.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["History", "draw_summary", "read_history"]

Column = NDArray[np.float64]

# Okabe and Ito's colours, which the colour-blind can tell apart.
INK, GREY = "#222222", "#8a8a8a"
LENS, PLANE, TRUTH, BAND = "#0072B2", "#E69F00", "#555555", "#CDEBDD"
STATE_COLOURS: dict[State, str] = {
    "idle": "#BBBBBB",
    "ready": "#DDDDDD",
    "locking": "#E69F00",
    "locked": "#009E73",
    "lost": "#D55E00",
    "searching": "#CC79A7",
    "fault": "#000000",
}
CAPTURE_S = 2.0
HOLD_DOF = 1.5
SCALE_BAR_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class History:
    """The columns of frames.csv that are drawn, one value per frame, NaN where unknown.

    Attributes
    ----------
    time_s : mid-exposure since the start of the run
    decided_s : decision since the start of the run
    lens_um, plane_um, truth_um : lens, estimated and true focal plane at mid-exposure
    states : state after the decision
    """

    time_s: Column
    decided_s: Column
    lens_um: Column
    plane_um: Column
    truth_um: Column
    states: list[str]


def read_history(folder: Path, config: RigConfig) -> History:
    """Read the frames of a session folder.

    Raises
    ------
    ConfigError
        The folder holds no session, or one without a frame.
    """
    # Row by row, and only what is drawn: a session of a day has millions of rows.
    names = ("exposure_start_s", "exposure_s", "decided_s", "lens_steps", "plane_um", "true_focus_steps")
    numbers = {name: array("d") for name in names}
    states: list[str] = []
    try:
        with (folder / "frames.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                states.append(sys.intern(row["state"]))
                for name, values in numbers.items():
                    values.append(float(row[name] or "nan"))
        with (folder / "events.jsonl").open(encoding="utf-8") as file:
            start_s = json.loads(file.readline() or "{}").get("clock_s")
    except OSError as error:
        raise ConfigError(f"{folder}: not a session ({error.strerror}); name a session folder") from error
    if not states or start_s is None:
        raise ConfigError(f"{folder}: the session has no frames; nothing to draw")

    def column(name: str) -> Column:
        return np.array(numbers[name], dtype=np.float64)

    um = config.axis.um_per_step
    return History(
        time_s=column("exposure_start_s") + column("exposure_s") / 2 - start_s,
        decided_s=column("decided_s") - start_s,
        lens_um=column("lens_steps") * um,
        plane_um=column("plane_um"),
        truth_um=column("true_focus_steps") * um,
        states=states,
    )


def draw_summary(
    path: Path,
    history: History,
    config: RigConfig,
    figures: RunFigures,
    *,
    first: NDArray[np.uint8] | None = None,
    locked: NDArray[np.uint8] | None = None,
    notice: str = "",
) -> None:
    """Draw a session.

    Parameters
    ----------
    path : of the PNG to write
    history : what happened
    config : the rig file
    figures : of the run
    first, locked : (H, W, 3) uint8 windows of the first frame and of the first locked one
    notice : SIMULATED or REPLAYED
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9.4), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    rows = figure.add_gridspec(4, 1, height_ratios=(2.4, 1.9, 0.32, 2.9))
    top = rows[0].subgridspec(1, 2, width_ratios=(1, 2.4))
    capture, hold = figure.add_subplot(top[0]), figure.add_subplot(top[1])
    lens = figure.add_subplot(rows[1])
    strip = figure.add_subplot(rows[2], sharex=lens)
    bottom = rows[3].subgridspec(1, 3, width_ratios=(1, 1, 1.15))
    pictures = figure.add_subplot(bottom[0]), figure.add_subplot(bottom[1])
    table = figure.add_subplot(bottom[2])

    _draw_error(capture, hold, history, config)
    _draw_lens(lens, history, config)
    _draw_states(strip, history)
    when = "" if figures.time_to_lock_s is None else f" at {figures.time_to_lock_s:.2f} s"
    _draw_window(pictures[0], first, "first frame", config)
    _draw_window(pictures[1], locked, f"first locked frame{when}" if when else "never locked", config)
    _draw_figures(table, figures, config)
    _draw_title(figure, figures, config, notice)
    figure.savefig(path, dpi=110)


def _draw_title(figure: "Figure", figures: RunFigures, config: RigConfig, notice: str) -> None:
    title = f"{config.name}  ·  method {figures.method}  ·  {figures.seconds:.0f} s, {figures.frames} frames"
    figure.suptitle(title, x=0.012, ha="left", fontsize=14, fontweight="bold", color=INK)
    if notice:
        box = {"facecolor": "#D55E00", "edgecolor": "none", "boxstyle": "round,pad=0.35"}
        figure.text(0.988, 0.983, notice, ha="right", va="top", color="white", weight="bold", bbox=box)


def _draw_error(capture: "Axes", hold: "Axes", history: History, config: RigConfig) -> None:
    """Draw the distance from focus: the approach in full, the rest of the run close up."""
    known = bool(np.isfinite(history.truth_um).any())
    error_um = history.lens_um - (history.truth_um if known else history.plane_um)
    dof_um, um_per_step = config.optics.dof_um, config.axis.um_per_step
    title = "Distance from true focus" if known else "Distance from the estimated focal plane"
    for axes in (capture, hold):
        axes.axhspan(-dof_um / 2, dof_um / 2, color=BAND, zorder=0)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.plot(history.time_s, error_um, color=LENS, linewidth=1.3)
        _tidy(axes)
        axes.set_xlabel("time (s)")
    end = float(history.time_s[-1])
    capture_s = min(CAPTURE_S, max(end, 0.1))
    capture.set_xlim(0, capture_s)
    approach_um = error_um[(history.time_s <= capture_s) & np.isfinite(error_um)]
    low, high = min(approach_um.min(initial=0), -dof_um), max(approach_um.max(initial=0), dof_um)
    capture.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    capture.set_title("The first seconds", loc="left", fontsize=11)
    capture.set_ylabel("lens minus focus (µm)")
    capture.plot(history.time_s, error_um, ".", color=LENS, markersize=4)
    hold.set_xlim(0, end)
    hold.set_ylim(-HOLD_DOF * dof_um, HOLD_DOF * dof_um)
    hold.set_title(f"{title} (depth of field shaded, {dof_um:g} µm)", loc="left", fontsize=11)
    hold.set_ylabel("µm")
    _add_steps(hold, um_per_step)


def _draw_lens(axes: "Axes", history: History, config: RigConfig) -> None:
    um_per_step = config.axis.um_per_step
    if np.isfinite(history.truth_um).any():
        axes.plot(
            history.time_s, history.truth_um, color=TRUTH, linewidth=2.6, alpha=0.45, label="true focus"
        )
    if np.isfinite(history.plane_um).any():
        axes.plot(history.time_s, history.plane_um, color=PLANE, linewidth=1.1, label="estimated focus")
    axes.plot(history.time_s, history.lens_um, color=LENS, linewidth=1.3, label="lens")
    axes.set_xlim(0, float(history.time_s[-1]))
    axes.set_title("Lens position", loc="left", fontsize=11)
    axes.set_ylabel("µm")
    axes.tick_params(labelbottom=False)
    axes.legend(loc="lower right", ncols=3, frameon=False, fontsize=9, bbox_to_anchor=(1.0, 0.98))
    _add_steps(axes, um_per_step)
    _tidy(axes)


def _draw_states(axes: "Axes", history: History) -> None:
    """Draw the states as a coloured strip, with a key for those that occur."""
    from matplotlib.patches import Patch

    decided_s = history.decided_s
    edges = np.append(decided_s, 2 * decided_s[-1] - decided_s[-2:][0])
    begin = 0
    for i in range(1, len(history.states) + 1):
        if i == len(history.states) or history.states[i] != history.states[begin]:
            colour = _colour(history.states[begin])
            axes.axvspan(edges[begin], edges[i], color=colour, linewidth=0)
            begin = i
    axes.set_yticks([])
    axes.set_xlabel("time (s)")
    axes.set_ylabel("state", rotation=0, ha="right", va="center")
    present = [s for s in get_args(State) if s in history.states]
    axes.legend(
        handles=[Patch(color=_colour(s), label=s) for s in present],
        loc="upper right",
        ncols=len(present),
        frameon=False,
        fontsize=9,
        bbox_to_anchor=(1.0, -0.55),
        borderaxespad=0.0,
    )
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def _draw_window(axes: "Axes", window: NDArray[np.uint8] | None, title: str, config: RigConfig) -> None:
    """Show a window with a scale bar."""
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontsize=11)
    if window is None:
        axes.text(0.5, 0.5, "no picture", ha="center", va="center", color=GREY, transform=axes.transAxes)
        return
    axes.imshow(window, interpolation="antialiased")
    height, width = window.shape[:2]
    um_per_px = config.optics.um_per_px
    length_um = _round_length(SCALE_BAR_SHARE * width * um_per_px)
    x, y, length = 0.05 * width, 0.93 * height, length_um / um_per_px
    for colour, thickness in (("black", 5.0), ("white", 2.6)):
        axes.plot([x, x + length], [y, y], color=colour, linewidth=thickness, solid_capstyle="butt")
    label = axes.text(x, y - 0.03 * height, f"{length_um:g} µm", color="white", va="bottom", fontsize=9)
    from matplotlib.patheffects import withStroke

    label.set_path_effects([withStroke(linewidth=2.0, foreground="black")])


def _draw_figures(axes: "Axes", figures: RunFigures, config: RigConfig) -> None:
    """Write the headline figures, those that are known."""
    axes.set_axis_off()
    um_per_step = config.axis.um_per_step
    lines = [("time to lock", _number(figures.time_to_lock_s, "{:.2f} s", "never"))]
    if figures.in_focus_fraction_all is not None:
        lines += [
            ("in focus after lock", _number(figures.in_focus_fraction, "{:.1%}")),
            ("in focus, all frames", _number(figures.in_focus_fraction_all, "{:.1%}")),
            ("RMS error after lock", _error(figures.rms_error_um, um_per_step)),
        ]
    lines += [("moves", f"{figures.moves}"), ("lost", f"{figures.lost_fraction:.1%}")]
    lens_um = figures.final_steps * um_per_step
    lines.append(("lens at the end", f"{lens_um:.4g} µm"))
    computing_ms = sum(stage["mean"] for stage in figures.stage_ms.values())
    if computing_ms >= 0.1:
        lines.append(("computing per frame", f"{computing_ms:.1f} ms"))
    for row, (name, value) in enumerate(lines):
        y = 0.96 - row * 0.125
        axes.text(0.10, y, name, transform=axes.transAxes, color=GREY, fontsize=11, va="top")
        axes.text(0.98, y, value, transform=axes.transAxes, color=INK, fontsize=13, va="top", ha="right")


def _number(value: float | None, form: str, missing: str = "none") -> str:
    return missing if value is None else form.format(value)


def _error(value_um: float | None, um_per_step: float) -> str:
    return "none" if value_um is None else f"{value_um:.0f} µm = {value_um / um_per_step:.1f} steps"


def _round_length(length: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above `length`."""
    decade = 10.0 ** np.floor(np.log10(length))
    return float(max(m * decade for m in (1, 2, 5) if m * decade <= length * (1 + 1e-9)))


def _colour(state: str) -> str:
    return {str(name): colour for name, colour in STATE_COLOURS.items()}.get(state, GREY)


def _add_steps(axes: "Axes", um_per_step: float) -> None:
    """Repeat an axis of um in motor steps on the right."""

    def to_steps(um: ArrayLike) -> ArrayLike:
        return np.asarray(um, dtype=np.float64) / um_per_step

    def to_um(steps: ArrayLike) -> ArrayLike:
        return np.asarray(steps, dtype=np.float64) * um_per_step

    axes.secondary_yaxis("right", functions=(to_steps, to_um)).set_ylabel("steps")


def _tidy(axes: "Axes") -> None:
    axes.grid(color="#E6E6E6", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)

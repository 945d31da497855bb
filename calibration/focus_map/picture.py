"""A focus map as a picture."""

from pathlib import Path

import numpy as np

from calibration.focus_map.result import Comparison, FocusMap
from calibration.focus_map.station import KINDS
from calibration.picture import save_picture

__all__ = ["draw_map"]

COLOURS = {"shot": "#1f77b4", "scanned": "#ff7f0e", "failed": "#7f7f7f"}
FINE = 120


def draw_map(
    path: Path, focus_map: FocusMap, *, notice: str = "", against: Comparison | None = None, name: str = ""
) -> None:
    """Draw the surface, its uncertainty, an error map, and the time by kind.

    Parameters
    ----------
    path : PNG to write
    focus_map : what to draw
    notice : 'SIMULATED' or 'REPLAYED', in the title
    against : errors against another map; without it, what all other points say of each one is drawn
    name : of that other map

    Raises
    ------
    StackError
        Too few points make a surface.
    ConfigError
        The file cannot be written.
    """
    from matplotlib.figure import Figure

    surface = focus_map.surface()
    points = focus_map.points
    x, y = (np.array([getattr(point, axis) for point in points]) / 1e3 for axis in ("x_um", "y_um"))
    fine_x, fine_y = np.linspace(x.min(), x.max(), FINE), np.linspace(y.min(), y.max(), FINE)
    grid = np.stack([each.ravel() for each in np.meshgrid(fine_x, fine_y)], axis=1) * 1e3
    heights, sigmas = (values.reshape(FINE, FINE) for values in surface.at(grid))
    figure = Figure(figsize=(13, 10), layout="constrained")
    left, right = figure.subplots(2, 2)
    extent = (float(x.min()), float(x.max()), float(y.max()), float(y.min()))
    aspect = "equal" if 1 / 3 < np.ptp(x) / np.ptp(y) < 3 else "auto"
    for axes, values, title in (
        (left[0], heights, "plane of focus, um"),
        (left[1], sigmas, "standard deviation of the surface, um"),
    ):
        shown = axes.imshow(values, extent=extent, aspect=aspect, cmap="viridis", interpolation="bilinear")
        figure.colorbar(shown, ax=axes)
        axes.set_title(title)
    left[0].contour(fine_x, fine_y, heights, 12, colors="white", linewidths=0.5, alpha=0.6)
    for state, colour in COLOURS.items():
        chosen = np.array([point.state == state for point in points])
        label = f"{state}: {int(chosen.sum())}"
        marker = "x" if state == "failed" else "o"
        style = {"color": colour, "ms": 5}
        rim = None if marker == "x" else "white"
        left[0].plot(x[chosen], y[chosen], marker, mec=rim, **style)
        left[1].plot(x[chosen], y[chosen], marker, label=label, **style)
    figure.legend(loc="outside lower center", ncols=len(COLOURS))
    columns, rows = (max(getattr(point, key) for point in points) + 1 for key in ("column", "row"))
    error = np.full((rows, columns), np.nan)
    if against is not None:
        error[against.rows, against.columns] = against.error_um
        title = f"difference from {name}, um" if name else "difference, um"
    else:
        for point, off in zip(focus_map.measured, surface.loo_um, strict=True):
            error[point.row, point.column] = off
        title = "measured less what all other points say, um"
    reach = max(float(np.nanquantile(np.abs(error), 0.98)), 1e-3)
    shown = right[0].imshow(error, cmap="RdBu_r", vmin=-reach, vmax=reach)
    right[0].set_facecolor("#cccccc")
    right[0].set_title(title)
    right[0].set(xlabel="column", ylabel="row")
    for axis in (right[0].xaxis, right[0].yaxis):
        axis.get_major_locator().set_params(integer=True)
    figure.colorbar(shown, ax=right[0])
    seconds = focus_map.seconds()
    bars = right[1].barh(KINDS, [seconds[kind] for kind in KINDS], color="#1f77b4")
    right[1].bar_label(bars, fmt="%.1f s", padding=3)
    right[1].invert_yaxis()
    right[1].margins(x=0.15)
    right[1].set_title(f"time by kind on the rig's clock, {seconds['total']:.0f} s in all")
    for axes in left:
        axes.set(xlabel="x, mm", ylabel="y, mm")
        # Points on the border are shown whole.
        axes.set_xlim(*_widened(axes.get_xlim()))
        axes.set_ylim(*_widened(axes.get_ylim()))
    about = focus_map.about
    figure.suptitle(" · ".join(filter(None, (notice, str(about["rig"]), f"focus map, {about['method']}"))))
    save_picture(figure, path, 100)


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    """Return limits with a fortieth of their distance more at either end, whichever is larger."""
    more = (limits[1] - limits[0]) / 40
    return limits[0] - more, limits[1] + more

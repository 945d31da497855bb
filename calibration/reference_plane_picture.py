"""The picture of a reference plane: which beads, what they look like, what their features say."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration.bead_features import BeadFeatures, bead_profile, white_level
from calibration.beads import BeadSearch, crop
from calibration.measure import luminance
from calibration.picture import save_picture
from calibration.reference_plane import ReferencePlane, Survey
from calibration.stack import ZStack

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_reference_planes"]

# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#222222")
TITLES = {"steepest_slope": "steepest slope, 1/px", "centre_intensity": "intensity of the centre"}
CROPS = 7
MOST_STACKS = 7


def draw_reference_planes(
    path: Path,
    stack: ZStack,
    features: Sequence[BeadFeatures],
    survey: Survey,
    search: BeadSearch,
    *,
    notice: str = "",
) -> None:
    """Draw the beads of one stack, and the feature curves of all with the pooled profile.

    Parameters
    ----------
    path : of the PNG to write
    stack : whose beads are shown; the first of `survey.planes`
    features : of all stacks
    survey : their reference planes
    search : what counted as a bead
    notice : SIMULATED or nothing

    Raises
    ------
    ConfigError
        The picture cannot be written.
    """
    from matplotlib.figure import Figure

    plane = survey.planes[0]
    shown = next(each for each in features if each.name == plane.name)
    figure = Figure(figsize=(13, 10), layout="constrained", facecolor="white")
    rows = figure.add_gridspec(3, 1, height_ratios=(2.6, 1.0, 2.2))
    top = rows[0].subgridspec(1, 2, width_ratios=(1.1, 1))
    _draw_beads(figure.add_subplot(top[0]), stack, shown, plane, search)
    # The bead whose curve is nearest to the typical one.
    usual = np.abs(shown.values[1] - np.median(shown.values[1], axis=0)).sum(axis=1).argmin()
    bead = int(usual)
    _draw_profiles(figure.add_subplot(top[1]), stack, shown, plane, search, bead)
    strip = rows[1].subgridspec(1, CROPS)
    _draw_crops([figure.add_subplot(strip[n]) for n in range(CROPS)], stack, shown, plane, search, bead)
    bottom = rows[2].subgridspec(1, 2)
    for number, name in enumerate(TITLES):
        _draw_feature(figure.add_subplot(bottom[number]), name, survey)
    title = f"reference plane {plane.position_um:.1f} ± {plane.sigma_um:.1f} µm"
    figure.suptitle("  ·  ".join(filter(None, (notice, plane.name, f"{plane.beads} beads", title))))
    save_picture(figure, path, 100)


def _nearest(shown: BeadFeatures, position_um: float) -> int:
    return int(np.abs(shown.positions_um - position_um).argmin())


def _draw_beads(
    axes: "Axes", stack: ZStack, shown: BeadFeatures, plane: ReferencePlane, search: BeadSearch
) -> None:
    from matplotlib.patches import Circle

    number = _nearest(shown, plane.position_um)
    axes.imshow(stack.images[number], cmap="gray")
    for track in shown.tracks:
        x, y = track.centres_px[number]
        axes.add_patch(Circle((x, y), 0.8 * search.diameter_px, fill=False, color=COLOURS[1], linewidth=1.2))
    axes.set_title(f"beads made out, plane at {shown.positions_um[number]:.0f} µm", fontsize=10)
    axes.set_axis_off()


def _draw_profiles(
    axes: "Axes",
    stack: ZStack,
    shown: BeadFeatures,
    plane: ReferencePlane,
    search: BeadSearch,
    bead: int,
) -> None:
    width = plane.by_feature["centre_intensity"].curve.half_width_um
    for colour, away in zip(COLOURS, (0.0, -0.7 * width, 0.7 * width), strict=False):
        number = _nearest(shown, plane.position_um + away)
        grey = luminance(stack.images[number])
        x, y = (float(v) for v in shown.tracks[bead].centres_px[number])
        profile, background = bead_profile(grey, (x, y), search)
        reach = int(profile.reach_px)
        ys, xs = np.mgrid[round(y) - reach : round(y) + reach + 1, round(x) - reach : round(x) + reach + 1]
        distance = np.hypot(xs - x, ys - y)
        near = distance <= profile.reach_px
        value = grey[ys[near], xs[near]] / background
        axes.plot(distance[near], value, ".", color=colour, markersize=2, alpha=0.5)
        r = np.linspace(0, profile.reach_px, 200)
        label = f"{shown.positions_um[number] - plane.position_um:+.0f} µm"
        axes.plot(r, profile.at(r) / background, color=colour, label=label)
    axes.set_title("one bead's radial profile, pixels and spline", fontsize=10)
    axes.set_xlabel("distance from the centre, px")
    axes.set_ylabel("intensity over background")
    axes.legend(frameon=False, title="from the reference plane")


def _draw_crops(
    frames: Sequence["Axes"],
    stack: ZStack,
    shown: BeadFeatures,
    plane: ReferencePlane,
    search: BeadSearch,
    bead: int,
) -> None:
    width = 1.4 * plane.by_feature["centre_intensity"].curve.half_width_um
    low = max(-width, float(shown.positions_um.min()) - plane.position_um)
    high = min(width, float(shown.positions_um.max()) - plane.position_um)
    white = white_level(stack)
    for axes, away in zip(frames, np.linspace(low, high, len(frames)), strict=True):
        number = _nearest(shown, plane.position_um + float(away))
        x, y = (float(v) for v in shown.tracks[bead].centres_px[number])
        axes.imshow(crop(stack.images[number], (x, y), search.crop_px), cmap="gray", vmin=0, vmax=white)
        axes.set_title(f"{shown.positions_um[number] - plane.position_um:+.0f} µm", fontsize=9)
        axes.set_axis_off()


def _draw_feature(axes: "Axes", name: str, survey: Survey) -> None:
    pool = survey.pools[name]
    for colour, plane in zip(COLOURS, survey.planes[:MOST_STACKS], strict=False):
        found = plane.by_feature[name]
        curve = found.curve
        inside = np.abs(curve.positions_um - found.position_um) <= 2.5 * curve.half_width_um
        clear, clipped = inside & ~curve.saturated, inside & curve.saturated
        said = f"{plane.name}: {found.position_um:.1f} µm"
        z, v = curve.positions_um, curve.values
        axes.plot(z[clear], v[clear], "o", color=colour, markersize=4, label=said)
        axes.plot(z[clipped], v[clipped], "o", color=colour, mfc="none")
        away = np.linspace(pool.distance_um.min(), pool.distance_um.max(), 200)
        axes.plot(found.position_um + away, found.scale * pool.at(away), color=colour, linewidth=1)
        axes.axvline(found.position_um, color=colour, linestyle="--", linewidth=0.8)
    left_out = len(survey.planes) - MOST_STACKS
    more = f"; {left_out} more stacks not drawn" if left_out > 0 else ""
    axes.set_title(f"{TITLES[name]}: typical bead and pooled profile (open: clipped{more})", fontsize=10)
    axes.set_xlabel("lens position, µm")
    axes.legend(frameon=False, fontsize=7, loc="upper right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)

"""The picture of a recording session: its stacks at their sharpest, and their focus curves."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from calibration.dataset import Session
from calibration.judged import Judged, judge
from calibration.picture import save_picture
from calibration.stack import stack_name
from hw.errors import StackError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_contact_sheet"]

COLUMNS, MOST = 6, 24
"""Pictures in a row, and of a session; of more stacks, some that lie evenly among them are shown."""

WIDTH_PX = 320

INK, GREY, GOOD, BAD = "#222222", "#8a8a8a", "#0072B2", "#D55E00"


def draw_contact_sheet(path: Path, folder: Path, session: Session, title: str) -> list[Judged]:
    """Draw a session.

    Parameters
    ----------
    path : of the PNG to write
    folder : of the data set
    session : with stacks recorded
    title : goes on top

    Returns
    -------
    list of Judged
        Of all stacks recorded.

    Raises
    ------
    StackError
        Nothing is recorded, or a stack cannot be read.
    ConfigError
        The picture cannot be written.
    """
    from matplotlib.figure import Figure

    judged = judge(session)
    if not judged:
        raise StackError(f"{folder}: nothing recorded yet, nothing to draw")
    shown = [judged[i] for i in np.unique(np.linspace(0, len(judged) - 1, MOST).round().astype(int))]
    rows = math.ceil(len(shown) / COLUMNS)
    figure = Figure(figsize=(13, 1.1 + 2.15 * rows + 3.6), layout="constrained", facecolor="white")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=INK)
    grid = figure.add_gridspec(2, 1, height_ratios=(2.15 * rows, 3.6))
    pictures = grid[0].subgridspec(rows, COLUMNS)
    for number, one in enumerate(shown):
        _draw_stack(figure.add_subplot(pictures[number // COLUMNS, number % COLUMNS]), folder, one)
    below = grid[1].subgridspec(1, 2, width_ratios=(2.2, 1))
    _draw_curves(figure.add_subplot(below[0]), judged)
    _draw_sampling(figure.add_subplot(below[1]), judged)
    save_picture(figure, path, 100)
    return judged


def _draw_stack(axes: "Axes", folder: Path, one: Judged) -> None:
    positions = np.array(one.recorded.positions_um)
    if one.focus_um is not None:
        plane, where = int(np.abs(positions - one.focus_um).argmin()), f"focus {one.focus_um:.0f} µm"
    else:
        plane, where = int(np.argmax(one.recorded.focus_curve)), "no focus to be trusted"
    axes.imshow(_plane(folder / one.entry.file, plane), cmap="gray")
    axes.set_title(
        f"{stack_name(Path(one.entry.file))}\n{where}",
        fontsize=7.5,
        color=INK if one.focus_um is not None else BAD,
        pad=3,
    )
    axes.set_xticks([])
    axes.set_yticks([])


def _plane(path: Path, index: int) -> NDArray[np.uint8]:
    """Read one plane of a stack, shrunk."""
    try:
        plane = tifffile.imread(path, key=index)
    except OSError as error:
        raise StackError(f"{path}: cannot be read ({error.strerror}); run 'wormfocus dataset'") from error
    except Exception as error:
        raise StackError(f"{path}: damaged ({error}); run 'wormfocus dataset'") from error
    height, width = plane.shape[:2]
    if width > WIDTH_PX:
        plane = cv2.resize(plane, (WIDTH_PX, round(height * WIDTH_PX / width)), interpolation=cv2.INTER_AREA)
    return np.asarray(plane, np.uint8)


def _draw_curves(axes: "Axes", judged: list[Judged]) -> None:
    """Draw all focus curves, each from its lowest to its highest."""
    for one in judged:
        curve = np.array(one.recorded.focus_curve)
        spread = float(np.ptp(curve)) or 1.0
        colour = GOOD if one.focus_um is not None else BAD
        axes.plot(
            one.recorded.positions_um,
            (curve - curve.min()) / spread,
            color=colour,
            alpha=max(0.12, min(0.8, 8 / len(judged))),
            linewidth=1,
        )
    bad = sum(one.focus_um is None for one in judged)
    axes.set_title(
        f"focus curves: {len(judged) - bad} with a peak, {bad} without one to be trusted",
        loc="left",
        fontsize=9,
        color=BAD if bad else INK,
    )
    axes.set_xlabel("lens, µm")
    axes.set_ylabel("Vollath F5, lowest to highest")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_sampling(axes: "Axes", judged: list[Judged]) -> None:
    """Draw how many planes lie at which offset from focus."""
    from matplotlib.ticker import MaxNLocator

    offsets = [
        one.focus_um - z for one in judged if one.focus_um is not None for z in one.recorded.positions_um
    ]
    axes.set_title("planes by offset to focus", loc="left", fontsize=9, color=INK)
    axes.set_xlabel("offset, µm")
    axes.set_ylabel("planes")
    axes.spines[["top", "right"]].set_visible(False)
    if offsets:
        axes.hist(offsets, bins=24, color=GREY)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.text(0.5, 0.5, "no stack has a peak", ha="center", transform=axes.transAxes, color=BAD)

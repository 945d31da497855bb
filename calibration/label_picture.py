"""A picture of labels to look at: each stack at its focus, and its focus curves with the label in them."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calibration.label import LabelResult
from calibration.stack import ZStack, read_recording, stack_name
from hw.errors import StackError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MAX_SHOWN", "draw_labels"]

MAX_SHOWN = 24
"""More stacks than this are too many for one picture."""

ROW_INCHES = 2.1
COLOURS = {"labelled": "tab:green", "kept": "tab:green", "corrected": "tab:blue", "refused": "tab:red"}


def draw_labels(results: Sequence[LabelResult], path: Path, *, spacing_um: float | None = None) -> int:
    """Draw stacks with their labels: those refused first, then those labelled with the largest sigma.

    Parameters
    ----------
    results : of `calibration.label.label_stacks`, with examinations
    path : the picture, PNG; one that is there is replaced
    spacing_um : for folders whose names give only the planes' order

    Returns
    -------
    int
        Number of stacks drawn, at most `MAX_SHOWN`.

    Raises
    ------
    StackError
        The picture cannot be written.
    """
    from matplotlib.figure import Figure

    shown = sorted(results, key=_doubtfulness)[:MAX_SHOWN]
    figure = Figure(figsize=(11, ROW_INCHES * len(shown) + 0.3), layout="constrained")
    axes = figure.subplots(len(shown), 2, squeeze=False, width_ratios=[1, 3])
    for row, result in zip(axes, shown, strict=True):
        _draw_plane(row[0], result, spacing_um)
        _draw_curves(row[1], result)
    try:
        figure.savefig(path, dpi=90)
    except OSError as error:
        raise StackError(f"{path}: cannot be written ({error.strerror}); check folder and space") from error
    return len(shown)


def _doubtfulness(result: LabelResult) -> tuple[bool, float]:
    return (result.outcome != "refused", -(result.label.sigma_um if result.label else 0.0))


def _draw_plane(axes: "Axes", result: LabelResult, spacing_um: float | None) -> None:
    from matplotlib.patches import Rectangle

    axes.set_axis_off()
    try:
        stack = read_recording(result.path, spacing_um)
    except StackError:
        return
    index = _plane_to_show(stack, result)
    axes.imshow(_shown(stack.images[index]), cmap="gray")
    axes.set_title(f"{stack.positions_um[index]:g} um", fontsize=7)
    if result.examination is None:
        return
    x, y, width, height = result.examination.region
    colour = COLOURS[result.outcome]
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=colour))


def _plane_to_show(stack: ZStack, result: LabelResult) -> int:
    if result.label is not None:
        return int(np.abs(stack.positions_um - result.label.focus_um).argmin())
    if result.examination is not None:
        return int(result.examination.curves[result.examination.measure].argmax())
    return len(stack.images) // 2


def _shown(plane: NDArray[np.generic]) -> NDArray[np.float64]:
    """Stretch a plane to what its middle 99 % span, so that a faint specimen can be seen."""
    values = plane.astype(np.float64)
    low, high = np.quantile(values, [0.005, 0.995])
    stretched: NDArray[np.float64] = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    return stretched


def _draw_curves(axes: "Axes", result: LabelResult) -> None:
    colour = COLOURS[result.outcome]
    text = f"{stack_name(result.path)}: {result.outcome}"
    if result.label is not None:
        text += f" {result.label.focus_um:.4g} +- {result.label.sigma_um:.2g} um"
    text = "\n".join(textwrap.wrap(f"{text}{'; ' if result.reason else ''}{result.reason}", 110)[:3])
    axes.set_title(text, fontsize=7, color=colour, loc="left")
    axes.tick_params(labelsize=6)
    axes.set_yticks([])
    if result.examination is None:
        return
    z = result.examination.positions_um
    order = np.argsort(z)
    for name, curve in result.examination.curves.items():
        span = np.ptp(curve) or 1.0
        mark = ".-" if name == result.examination.measure else ":"
        axes.plot(z[order], (curve[order] - curve.min()) / span, mark, linewidth=1, markersize=3, label=name)
    for patch in result.examination.patches:
        if patch.peak is not None:
            axes.axvline(patch.peak.position, ymax=0.06, color="black", linewidth=0.8)
    if result.label is not None:
        focus, sigma = result.label.focus_um, result.label.sigma_um
        axes.axvline(focus, color=colour, linewidth=1)
        axes.axvspan(focus - 2 * sigma, focus + 2 * sigma, color=colour, alpha=0.2)
    axes.legend(fontsize=6, loc="upper right")
    axes.set_xlabel("lens position, um; short lines: foci of patches", fontsize=6)

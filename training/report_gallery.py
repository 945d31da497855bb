"""The failure gallery: the frames that a network judged worst, as pictures."""

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.stack import read_stack
from edge.bundle import resize_to_input
from hw.errors import StackError
from training.assessment import Assessment
from training.candidate import Scale
from training.evaluate import Frames, shown_views
from training.report_figures import INK, mark_simulated, new_figure, save
from training.views import rgb_planes

__all__ = ["draw_worst", "worst_rows"]

_COUNT = 8
_OF_ONE_SPECIMEN = 2
_PAIRS_IN_A_ROW = 2


def worst_rows(
    error_um: NDArray[np.float64],
    specimen: NDArray[np.str_],
    count: int = _COUNT,
    of_one_specimen: int = _OF_ONE_SPECIMEN,
) -> list[int]:
    """Return the rows of the largest errors, worst first.

    Parameters
    ----------
    error_um : (N,), signed or not
    specimen : (N,), names
    count : how many rows at most
    of_one_specimen : how many at most of each: one odd worm would otherwise fill the gallery
    """
    shown: Counter[str] = Counter()
    rows = []
    for row in np.argsort(-np.abs(error_um), kind="stable"):
        name = str(specimen[row])
        if shown[name] < of_one_specimen:
            shown[name] += 1
            rows.append(int(row))
        if len(rows) == count:
            break
    return rows


def draw_worst(path: Path, assessment: Assessment, frames: Frames, scale: Scale) -> None:
    """Draw the largest errors as the network saw them, each beside its stack's plane nearest to focus.

    Parameters
    ----------
    path : of the PNG to write
    assessment : the network and what it said
    frames : what was shown
    scale : the rig's step and depth of field
    """
    answers = assessment.answers
    error = answers.predicted_um - frames.offset_um
    rows = worst_rows(error, frames.specimen)
    lines = -(-len(rows) // _PAIRS_IN_A_ROW)
    figure = new_figure(13, 0.6 + 3.5 * lines)
    grid = figure.subplots(lines, 2 * _PAIRS_IN_A_ROW, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for place, row in enumerate(rows):
        shown, sharp, sharp_offset_um = _pictures(assessment, frames, row)
        sigma = "" if answers.sigma_um is None else f" ± {answers.sigma_um[row]:.4g}"
        left, right = grid[2 * place : 2 * place + 2]
        if shown is not None:
            left.imshow(shown)
            right.imshow(sharp)
        left.set_title(
            f"{frames.specimen[row]}, plane {frames.plane[row]}, {frames.view[row]}\n"
            f"true {frames.offset_um[row]:+.4g} µm, said {answers.predicted_um[row]:+.4g}{sigma}\n"
            f"error {error[row]:+.4g} µm = {error[row] / scale.um_per_step:+.1f} steps",
            loc="left", fontsize=8.5, color=INK,
        )  # fmt: skip
        right.set_title(f"nearest to focus,\n{sharp_offset_um:+.4g} µm out", loc="left", fontsize=8.5)
    figure.suptitle(
        f"{assessment.candidate.name}: the worst frames, as the network saw them",
        x=0.012, ha="left", fontsize=13, fontweight="bold", color=INK,
    )  # fmt: skip
    mark_simulated(figure, frames)
    save(figure, path)


def _pictures(
    assessment: Assessment, frames: Frames, row: int
) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None, float]:
    """Return a frame and its stack's plane nearest to focus, at the input's size, and that one's offset."""
    spec = assessment.candidate.judge.spec
    kind = str(frames.view[row])
    same = np.flatnonzero((frames.stack == frames.stack[row]) & (frames.view == kind))
    sharpest = same[np.abs(frames.offset_um[same]).argmin()]
    offset_um = float(frames.offset_um[sharpest])
    try:
        stack = read_stack(frames.paths[frames.stack[row]])
    except StackError:
        # It could be read a minute ago; a report is not worth less for a picture that is missing.
        return None, None, offset_um
    planes = rgb_planes(stack)[[frames.plane[row], frames.plane[sharpest]]]
    fields_um = [float(kind.split()[1])] if kind.startswith("field ") else []
    views = dict(shown_views(planes, stack.um_per_px, spec, full=kind == "full", fields_um=fields_um))
    frame, sharp = (resize_to_input(image, spec) for image in views[kind])
    return frame, sharp, offset_um

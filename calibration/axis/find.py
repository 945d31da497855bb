"""Where the target is: along the axis by a coarse scan, in the field by where detail is sharp."""

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.axis.bench import Bench
from calibration.measure import luminance
from calibration.peak import find_peak
from hw.errors import StackError
from hw.frame import Box, Frame

__all__ = ["coarse_scan", "find_box", "find_target", "still_enough"]

COARSE_DOF = 0.5
FINE_DOF = 0.25
FINE_REACH_DOF = 1.5
TILES_ACROSS = 24
# Tiles with this share of the strongest tile's detail belong to the target.
TARGET_SHARE = 0.15
# How much a still target's sharpness may change within a second, as a share.
LARGEST_CHANGE = 0.05


def coarse_scan(
    bench: Bench,
    score: Callable[[Frame], float],
    centre_um: float | None = None,
    span_um: float | None = None,
) -> float:
    """Return the lens position of the highest score among positions half a depth of field apart, steps.

    Parameters
    ----------
    score : of a frame, higher where it is sharper
    centre_um : where to look; the middle of the travel when absent
    span_um : how far to look in all; `control.search_span_um` when absent

    Raises
    ------
    StackError
        There is no room to look within the axis's limits.
    """
    config, (low, high) = bench.rig.config, bench.limits_steps
    scale = config.axis.um_per_step
    centre = (low + high) / 2 if centre_um is None else centre_um / scale
    reach = (config.control.search_span_um if span_um is None else span_um) / scale / 2
    first = max(centre - reach, low + bench.run_up_steps)
    last = min(centre + reach, high - bench.run_up_steps)
    step = COARSE_DOF * bench.dof_steps
    if not last - first > 4 * step:
        raise StackError(
            f"no room to look for the target about {centre * scale:g} um; name another place with --centre-um"
        )
    bench.say("looking for the target")
    bench.creep(first - bench.run_up_steps)
    best, best_score = first, -math.inf
    for position in np.linspace(first, last, math.ceil((last - first) / step) + 1):
        bench.creep(float(position))
        (frame,) = bench.look()
        if (found := score(frame)) > best_score:
            best, best_score = float(position), found
    return best


def find_target(bench: Bench, centre_um: float | None = None, span_um: float | None = None) -> float:
    """Find a still target, note its box in the bench, and return the lens position of its focus in steps.

    Parameters
    ----------
    bench : its box is set
    centre_um, span_um : as `coarse_scan`

    Raises
    ------
    StackError
        There is no room to look, or no focus peak.
    """
    # The strongest tiles, not the whole frame: noise is everywhere.
    sharpest = coarse_scan(
        bench, lambda frame: float(np.sort(_detail(frame.pixels), axis=None)[-20:].mean()), centre_um, span_um
    )
    find_box(bench, sharpest)
    bench.say("focusing on it")
    low, high = bench.limits_steps
    reach = np.arange(-FINE_REACH_DOF, FINE_REACH_DOF + FINE_DOF / 2, FINE_DOF)
    near = np.clip(sharpest + bench.dof_steps * reach, low + bench.run_up_steps, high - bench.run_up_steps)
    sweep = bench.visit(np.unique(near))
    return find_peak(sweep.position_steps, sweep.luminance).position


def find_box(bench: Bench, focus_steps: float) -> None:
    """Note anew where in the field the target is, after somebody has touched it."""
    bench.creep(focus_steps)
    (frame,) = bench.look()
    height, width = frame.pixels.shape[:2]
    bench.box = _box(_detail(frame.pixels), (width, height))


def still_enough(bench: Bench) -> None:
    """Refuse a target that moves or changes.

    Raises
    ------
    StackError
        Its sharpness changes within a second although the lens stands still.
    """
    camera = bench.rig.config.camera
    count = max(4, round(camera.fps))
    seen = bench.look(count, extra_rest_s=1.0)
    thrice = (seen[0], seen[len(seen) // 2], seen[-1])
    values = np.array([bench.sharpness(bench.target(frame)) for frame in thrice])
    first, second, last = (bench.halved(frame) for frame in (seen[0], seen[1], seen[-1]))
    noise = float(np.square(second - first).mean())
    change = float(np.square(last - first).mean())
    if np.ptp(values) > LARGEST_CHANGE * values.max() or change > 4 * noise + 0.05:
        raise StackError(
            "the target moves or changes while the lens stands still; put something that keeps still under "
            "the lens, such as a slide with a scratch or dried cells, and wait until the plate has settled"
        )


def _detail(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean squared gradient in tiles of the frame, (rows, columns)."""
    grey = np.asarray(cv2.GaussianBlur(luminance(pixels).astype(np.float32), (0, 0), 1.5))
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    side = max(8, max(grey.shape) // TILES_ACROSS)
    rows, columns = grey.shape[0] // side, grey.shape[1] // side
    energy = (across * across + down * down)[: rows * side, : columns * side]
    tiles: NDArray[np.float64] = energy.reshape(rows, side, columns, side).mean(axis=(1, 3)).astype(float)
    return tiles


def _box(detail: NDArray[np.float64], size: tuple[int, int]) -> Box:
    """Bounding box of the tiles that hang together with the one of most detail."""
    side = max(8, max(size) // TILES_ACROSS)
    floor = float(np.median(detail))
    strong = detail - floor >= TARGET_SHARE * (detail.max() - floor)
    _, labels = cv2.connectedComponents(strong.astype(np.uint8), connectivity=8)
    top = np.unravel_index(int(detail.argmax()), detail.shape)
    rows, columns = np.nonzero(labels == labels[top])
    x, y = int(columns.min()) * side, int(rows.min()) * side
    right, bottom = (int(columns.max()) + 1) * side, (int(rows.max()) + 1) * side
    return Box(x, y, min(right, size[0]) - x, min(bottom, size[1]) - y)

"""How unlike the two flanks of a focus curve are."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Flanks", "compare_flanks"]

SAMPLES = 401


@dataclass(frozen=True)
class Flanks:
    """The extremum of a focus curve and its two sides. Lengths are in the unit of the curve's positions.

    Attributes
    ----------
    kind : what the curve has at focus
    position : of the extremum
    left, right : distance from the extremum to where the curve has gone half way to its shallower flank
    reach : distance on either side that `asymmetry` looks at, in half widths (left + right) / 2
    asymmetry : (fall on the left - fall on the right) / their sum, where the fall is the mean distance of a
        flank from the extremum's value. 0 for equal flanks, towards 1 where the curve holds up on the right
    """

    kind: Literal["peak", "minimum"]
    position: float
    left: float
    right: float
    reach: float
    asymmetry: float


def compare_flanks(positions: NDArray[np.float64], values: NDArray[np.float64]) -> Flanks:
    """Find the extremum of a focus curve and compare its flanks over two half widths.

    The curve is taken to be linear between its points, and a parabola through the three highest (lowest)
    ones. It is a peak or a minimum, whichever is deeper on its shallower flank. Scale and offset of the
    values, and the scale of the positions, do not matter.

    Parameters
    ----------
    positions : (Z,) ascending
    values : (Z,)

    Raises
    ------
    ValueError
        The curve has no extremum inside its range.
    """
    depth = {sign: _depth(sign * values) for sign in (1, -1)}
    sign = max(depth, key=lambda s: depth[s])
    if depth[sign] <= 0:
        raise ValueError("the focus curve has no extremum inside its range")
    curve = sign * values
    top = int(curve.argmax())
    position, peak = _vertex(positions[top - 1 : top + 2], curve[top - 1 : top + 2])
    half = peak - depth[sign] / 2
    right = _crossing(positions[top:], curve[top:], half) - position
    left = position - _crossing(positions[top::-1], curve[top::-1], half)
    width = (left + right) / 2
    reach = min(2 * width, position - positions[0], positions[-1] - position)
    away = np.linspace(0, reach, SAMPLES)
    fall_left = float(np.mean(peak - np.interp(position - away, positions, curve)))
    fall_right = float(np.mean(peak - np.interp(position + away, positions, curve)))
    return Flanks(
        "peak" if sign > 0 else "minimum",
        position,
        left,
        right,
        reach / width,
        (fall_left - fall_right) / (fall_left + fall_right),
    )


def _depth(curve: NDArray[np.float64]) -> float:
    top = int(curve.argmax())
    return float(curve[top] - max(curve[: top + 1].min(), curve[top:].min()))


def _vertex(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Vertex of the parabola through three points, the middle one the highest."""
    a, b, c = np.polyfit(x - x[1], y, 2)
    return float(x[1] - b / (2 * a)), float(c - b * b / (4 * a))


def _crossing(x: NDArray[np.float64], y: NDArray[np.float64], level: float) -> float:
    """Where the curve, followed from its highest point, first falls to a level."""
    below = int(np.argmax(y <= level))
    share = (y[below - 1] - level) / (y[below - 1] - y[below])
    return float(x[below - 1] + share * (x[below] - x[below - 1]))

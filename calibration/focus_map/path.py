"""The points of a focus map, in the order in which the stage visits them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from calibration.boustrophedon import boustrophedon
from hw.errors import ConfigError
from hw.stage import StageConfig

__all__ = ["GridPoint", "places", "plan_path"]


@dataclass(frozen=True)
class GridPoint:
    """A point of the grid: its column and row from the top left, and its place on the specimen, um."""

    column: int
    row: int
    x_um: float
    y_um: float


def plan_path(
    stage: StageConfig,
    columns: int,
    rows: int,
    *,
    width_um: float | None = None,
    height_um: float | None = None,
    centre_um: tuple[float, float] | None = None,
) -> list[GridPoint]:
    """Return the points of a grid on a boustrophedon path: every other row is visited backwards.

    Neighbours on the path are neighbours on the slide, so that the plane of focus changes little from one to
    the next, and the next field stays within what a network can judge (paper 2, figure 4b).

    Parameters
    ----------
    stage : the rig file's `stage`
    columns, rows : of the grid, at least 2 each
    width_um, height_um : from the first to the last column and row; the stage's travel when absent, as far
        as it is centred
    centre_um : middle of the grid, um; that of the travel when absent

    Raises
    ------
    ConfigError
        A grid of fewer than 2 x 2 points, without extent, or past the stage's limits.
    """
    if min(columns, rows) < 2:
        raise ConfigError(f"a grid of {columns}x{rows} spans no surface; give at least --grid 2x2")
    limits = ((stage.min_x_um, stage.max_x_um), (stage.min_y_um, stage.max_y_um))
    middle = centre_um or tuple((low + high) / 2 for low, high in limits)
    axes = []
    for name, count, wanted, centre, (low, high) in (
        ("width", columns, width_um, middle[0], limits[0]),
        ("height", rows, height_um, middle[1], limits[1]),
    ):
        fits = 2 * min(centre - low, high - centre)
        length = fits if wanted is None else wanted
        if not (math.isfinite(length) and 0 < length <= fits * (1 + 1e-9)):
            raise ConfigError(
                f"a grid {length:g} um of {name} about {centre:g} um does not fit the stage's travel "
                f"{low:g} to {high:g} um; choose a smaller --{name}-um or another centre"
            )
        axes.append([centre + length * (n / (count - 1) - 0.5) for n in range(count)])
    return [
        GridPoint(column, row, axes[0][column], axes[1][row]) for row, column in boustrophedon(rows, columns)
    ]


def places(path: Sequence[GridPoint]) -> list[list[float]]:
    """Return the points of a path as `map.json` tells them, [column, row, x, y] each: what makes a grid."""
    return [[point.column, point.row, point.x_um, point.y_um] for point in path]

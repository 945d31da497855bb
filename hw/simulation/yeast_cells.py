"""Yeast cells in a chamber without an end: where they are, and what they do to light slice by slice."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.simulation.config import draw
from hw.simulation.squares import Squares, square_rng
from hw.simulation.yeast_config import ChamberConfig, YeastCellConfig

__all__ = ["Ellipsoid", "YeastCells", "slice_of"]

SQUARE_UM = 60.0
STREAM = 21
TRIES = 20


@dataclass(frozen=True)
class Ellipsoid:
    """A body with a vertical axis: middle and half-axes (along, across, up) in um, and what it is made of.

    Attributes
    ----------
    turn_rad : direction of the axis along, from x towards y
    index_contrast : refractive index minus that of what it lies in
    absorbance_per_um : e-folds of intensity
    """

    middle_um: tuple[float, float, float]
    half_um: tuple[float, float, float]
    turn_rad: float
    index_contrast: float
    absorbance_per_um: float

    @property
    def place_um(self) -> tuple[float, float]:
        """Where its middle is in the chamber, (x, y) in um."""
        return self.middle_um[:2]


class YeastCells:
    """The cells of a chamber, found by place.

    Parameters
    ----------
    config, chamber : the rig file's ranges
    seed : of everything drawn
    """

    def __init__(self, config: YeastCellConfig, chamber: ChamberConfig, seed: int) -> None:
        rng = np.random.default_rng([seed, STREAM])
        self._config = config
        self._seed = seed
        self._per_mm2 = draw(rng, config.per_mm2)
        self._index = draw(rng, config.index_contrast)
        self._absorbance = draw(rng, config.absorbance)
        self._seat_um = draw(rng, config.seat_um)
        self._buds = draw(rng, config.bud_share)
        self._ceiling = draw(rng, config.ceiling_share)
        self._ceiling_um = draw(rng, chamber.ceiling_um)
        self._squares = Squares(SQUARE_UM, self._draw_square)

    def near(self, place_um: tuple[float, float], reach_um: float) -> list[Ellipsoid]:
        """Cells, buds and vacuoles with their middle in a square about a place; heights from mid-plane."""
        return self._squares.near(place_um, (reach_um, reach_um))

    def _draw_square(self, column: int, row: int) -> list[Ellipsoid]:
        rng = square_rng(self._seed, STREAM, column, row)
        bodies: list[Ellipsoid] = []
        taken: list[tuple[float, float, float]] = []
        for _ in range(rng.poisson(self._per_mm2 * SQUARE_UM**2 / 1e6)):
            radius = draw(rng, self._config.diameter_um) / 2
            long = radius * draw(rng, self._config.length_ratio)
            for _ in range(TRIES):
                x = column * SQUARE_UM + rng.uniform(long, SQUARE_UM - long)
                y = row * SQUARE_UM + rng.uniform(long, SQUARE_UM - long)
                if all(math.hypot(x - a, y - b) > long + r for a, b, r in taken):
                    break
            else:
                continue
            taken.append((x, y, long))
            bodies += self._draw_cell(rng, x, y, radius, long)
        return bodies

    def _draw_cell(
        self, rng: np.random.Generator, x: float, y: float, radius: float, long: float
    ) -> list[Ellipsoid]:
        c, turn = self._config, rng.uniform(0, 2 * math.pi)
        height = self._seat_um * rng.standard_normal()
        if rng.random() < self._ceiling:
            height += self._ceiling_um
        dark = self._absorbance / (2 * radius)
        cell = Ellipsoid((x, y, height), (long, radius, radius), turn, self._index, dark)
        hole = radius * draw(rng, c.vacuole_size)
        # Somewhere inside, so that it stays inside.
        away, where = rng.uniform(0, 0.8) * (radius - hole), rng.uniform(0, 2 * math.pi)
        middle = (x + away * math.cos(where), y + away * math.sin(where), height)
        vacuole = Ellipsoid(middle, (hole,) * 3, 0.0, draw(rng, c.vacuole_contrast), 0.0)
        bodies = [cell, vacuole]
        if rng.random() < self._buds:
            small = radius * draw(rng, c.bud_size)
            far = long + 0.9 * small
            middle = (x + far * math.cos(turn), y + far * math.sin(turn), height - (radius - small) / 2)
            bodies.append(Ellipsoid(middle, (small,) * 3, 0.0, self._index, dark))
        return bodies


def slice_of(
    bodies: list[Ellipsoid],
    heights_um: tuple[float, float],
    origin_um: tuple[float, float],
    side: int,
    grid_um: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Optical path in um and absorbance between two heights, each (side, side).

    Parameters
    ----------
    bodies : what is there
    heights_um : lower and upper
    origin_um : of the grid's first point, (x, y)
    side, grid_um : points and their spacing
    """
    path = np.zeros((side, side), np.float32)
    dark = np.zeros((side, side), np.float32)
    for body in bodies:
        reach = max(body.half_um[:2])
        column = (body.middle_um[0] - origin_um[0]) / grid_um
        row = (body.middle_um[1] - origin_um[1]) / grid_um
        x0, y0 = (max(0, math.floor(middle - reach / grid_um)) for middle in (column, row))
        x1, y1 = (min(side, math.ceil(middle + reach / grid_um) + 1) for middle in (column, row))
        if x0 >= x1 or y0 >= y1:
            continue
        dx = (np.arange(x0, x1) - column)[None, :] * grid_um
        dy = (np.arange(y0, y1) - row)[:, None] * grid_um
        along = (dx * math.cos(body.turn_rad) + dy * math.sin(body.turn_rad)) / body.half_um[0]
        across = (dy * math.cos(body.turn_rad) - dx * math.sin(body.turn_rad)) / body.half_um[1]
        half = body.half_um[2] * np.sqrt(np.clip(1 - along**2 - across**2, 0, None))
        low = np.maximum(body.middle_um[2] - half, heights_um[0])
        high = np.minimum(body.middle_um[2] + half, heights_um[1])
        thick = np.clip(high - low, 0, None).astype(np.float32)
        path[y0:y1, x0:x1] += thick * np.float32(body.index_contrast)
        dark[y0:y1, x0:x1] += thick * np.float32(body.absorbance_per_um)
    return path, dark

"""Specimens without an end."""

from dataclasses import dataclass

import numpy as np
import pytest

from hw.simulation.field import draw_slope, uneven_light
from hw.simulation.squares import Squares, square_rng


@dataclass(frozen=True)
class Dot:
    place_um: tuple[float, float]


def test_what_is_near_is_found_in_all_squares_and_each_is_drawn_once() -> None:
    drawn = []

    def draw_square(column: int, row: int) -> list[Dot]:
        drawn.append((column, row))
        x, y = square_rng(4, 1, column, row).uniform(0, 10, 2)
        return [Dot((10 * column + x, 10 * row + y))]

    squares = Squares(10.0, draw_square)
    everything = squares.near((0, 0), (100, 100))
    assert len(drawn) == len(set(drawn)) == 21 * 21
    places = np.array([dot.place_um for dot in everything])
    inside = (np.abs(places - (-12, 7)) <= (30, 8)).all(axis=1)
    found = squares.near((-12, 7), (30, 8))
    assert sorted(dot.place_um for dot in found) == sorted(map(tuple, places[inside].tolist()))
    assert 5 < len(found) < len(everything)


def test_squares_and_streams_have_seeds_of_their_own() -> None:
    asked = [
        (seed, stream, c, r) for seed in (0, 1) for stream in (1, 2) for c in (-2, 0, 3) for r in (-1, 1)
    ]
    values = [square_rng(*each).uniform() for each in asked]
    assert len(set(values)) == len(asked)
    assert values == [square_rng(*each).uniform() for each in asked]


def test_a_slope_is_as_steep_as_the_tilt_and_light_falls_to_the_corners() -> None:
    slopes = np.array([draw_slope(np.random.default_rng(seed), 0.02) for seed in range(50)])
    np.testing.assert_allclose(np.hypot(*slopes.T), 0.02)
    assert len(np.unique(np.sign(slopes), axis=0)) == 4
    light = uneven_light((41, 21), 0.3)
    assert light.shape == (21, 41)
    assert light[10, 20] == light.max() == 1
    assert light[0, 0] == light[-1, -1] == pytest.approx(0.7)

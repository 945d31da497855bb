"""Specimens without an end: drawn square by square, each square from a seed of its own.

So a place looks the same whichever way the stage came to it, and nothing is drawn that nobody looks at.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

import numpy as np

__all__ = ["Placed", "Squares", "square_rng"]

KEPT = 64


class Placed(Protocol):
    """Something with its middle at a place."""

    @property
    def place_um(self) -> tuple[float, float]:
        """Where its middle is, (x, y) in um."""


Thing = TypeVar("Thing", bound=Placed)


class Squares(Generic[Thing]):
    """Everything on a plane without an end, found by place.

    Parameters
    ----------
    side_um : of a square
    draw_square : draws what has its home in one, given its column and row
    """

    def __init__(self, side_um: float, draw_square: Callable[[int, int], list[Thing]]) -> None:
        self._side_um = side_um
        self._square = lru_cache(KEPT)(draw_square)

    def near(self, place_um: tuple[float, float], reach_um: tuple[float, float]) -> list[Thing]:
        """Things whose middle lies within a reach of a place, along x and along y, um; by column and row."""
        around = tuple(zip(place_um, reach_um, strict=True))
        columns, rows = (
            range(math.floor((p - r) / self._side_um), math.floor((p + r) / self._side_um) + 1)
            for p, r in around
        )
        return [
            thing
            for column in columns
            for row in rows
            for thing in self._square(column, row)
            if all(abs(at - p) <= r for at, (p, r) in zip(thing.place_um, around, strict=True))
        ]


def square_rng(seed: int, stream: int, column: int, row: int) -> np.random.Generator:
    """Return what a square is drawn from; every stream of a seed has its own."""
    # Seeds are not negative: squares left of and above the origin take the odd numbers.
    return np.random.default_rng([seed, stream, *(2 * n if n >= 0 else -2 * n - 1 for n in (column, row))])

"""Multiwell plates: wells, their names and places, and the way over them."""

import re
from dataclasses import dataclass
from typing import Literal

from calibration.boustrophedon import boustrophedon
from hw.errors import ConfigError

__all__ = ["PlateLayout", "Snake", "Well", "well_named"]

Snake = Literal["horizontal", "vertical"]

_NAME = re.compile(r"^([A-Z])0*([1-9]\d*)$")
MOST_ROWS = 26


@dataclass(frozen=True, order=True)
class Well:
    """A well by its row and column, both from 0."""

    row: int
    column: int

    @property
    def name(self) -> str:
        """Name as on the plate: a letter for the row, the column from 1 in two digits; A01 is the first."""
        return f"{chr(ord('A') + self.row)}{self.column + 1:02d}"


def well_named(name: str) -> Well | None:
    """Return the well of a name such as A1 or A01; None for anything else."""
    found = _NAME.match(name.upper())
    return Well(ord(found[1]) - ord("A"), int(found[2]) - 1) if found else None


@dataclass(frozen=True)
class PlateLayout:
    """A grid of wells whose middle lies at `middle_um`.

    Attributes
    ----------
    rows, columns : of the wells that are visited
    pitch_um : from well to well, um
    middle_um : place of the grid's middle on the stage, (x, y) in um

    Raises
    ------
    ConfigError
        No wells, or more rows than letters.
    """

    rows: int = 8
    columns: int = 12
    pitch_um: float = 9000.0
    middle_um: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not (1 <= self.rows <= MOST_ROWS and self.columns >= 1 and self.pitch_um > 0):
            raise ConfigError(
                f"a plate of {self.rows} rows and {self.columns} columns, {self.pitch_um:g} um apart, cannot "
                f"be; give 1 to {MOST_ROWS} rows, columns and a pitch"
            )

    def place_um(self, well: Well) -> tuple[float, float]:
        """Place of a well's middle on the stage, (x, y) in um."""
        return (
            self.middle_um[0] + (well.column - (self.columns - 1) / 2) * self.pitch_um,
            self.middle_um[1] + (well.row - (self.rows - 1) / 2) * self.pitch_um,
        )

    def way(self, snake: Snake) -> list[Well]:
        """All wells in the order of a snake (paper 4, figures S4 and S5): along rows, or along columns."""
        if snake == "horizontal":
            return [Well(row, column) for row, column in boustrophedon(self.rows, self.columns)]
        return [Well(row, column) for column, row in boustrophedon(self.columns, self.rows)]

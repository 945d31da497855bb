"""The `simulation` section of a rig that looks at yeast cells in a growth chamber, in brightfield."""

from typing import Annotated, Literal

from pydantic import Field

from hw.section import Section
from hw.simulation.config import (
    NonNegativeSpread,
    PositiveSpread,
    SensorConfig,
    ShareSpread,
    SimulatedAxisConfig,
    SimulatedOpticsConfig,
    Spread,
)

__all__ = ["ChamberConfig", "YeastCellConfig", "YeastConfig"]

Positive = Annotated[float, Field(gt=0)]


class YeastCellConfig(Section):
    """Cells. Refractive index and absorption are relative to the medium around them."""

    per_mm2: NonNegativeSpread
    diameter_um: PositiveSpread
    length_ratio: PositiveSpread = Field(description="Length over diameter: 1 is round, 2 or more a rod.")
    index_contrast: Spread = Field(description="Refractive index of the cell minus that of the medium.")
    absorbance: NonNegativeSpread = Field(description="Absorbance through a cell's middle, in e-folds.")
    bud_share: ShareSpread = Field(description="Share of cells that have a bud.")
    bud_size: PositiveSpread = Field(description="Diameter of a bud as a share of its mother's.")
    vacuole_size: PositiveSpread = Field(description="Diameter of the vacuole as a share of the cell's.")
    vacuole_contrast: Spread = Field(description="Refractive index of the vacuole minus that of the cell.")
    seat_um: NonNegativeSpread = Field(description="How much the heights of cells' middles differ, RMS.")
    ceiling_share: ShareSpread = Field(description="Share of cells at the chamber's ceiling.")


class ChamberConfig(Section):
    """What the cells lie in, and how it moves along the axis."""

    medium_index: Annotated[float, Field(ge=1)] = Field(description="Refractive index of the medium.")
    ceiling_um: PositiveSpread = Field(description="How much higher cells at the ceiling lie.")
    tilt_rad: NonNegativeSpread = Field(description="Slope of the chamber, in a random direction.")
    drift_um_day: Spread = Field(description="Steady drift along the axis in a day; its sign is drawn.")
    sway_um: NonNegativeSpread = Field(description="Amplitude of its slow sway, as of a room's temperature.")
    sway_period_s: PositiveSpread
    unevenness: ShareSpread = Field(
        description="Fall of the illumination from the centre to the corners, as a share."
    )


class YeastConfig(Section):
    """The whole section of a rig that looks at yeast."""

    specimen: Literal["yeast"]
    optics: SimulatedOpticsConfig
    cells: YeastCellConfig
    chamber: ChamberConfig
    sensor: SensorConfig
    axis: SimulatedAxisConfig
    slice_um: Positive = Field(description="Thickness of the slices that light is sent through.")
    margin_um: Annotated[float, Field(ge=0)] = Field(
        description="Around the field, for cells that blur into it; the rendering repeats beyond."
    )
    oversampling: Annotated[int, Field(gt=0)] = Field(
        1, description="Points of the grid per camera pixel, along each side."
    )

"""The `simulation` section of a rig that looks at control beads on a slide, in brightfield."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

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

__all__ = ["BeadConfig", "BeadSlideConfig", "BeadsConfig"]


class BeadConfig(Section):
    """A lot of polymer beads. Refractive index and absorption are relative to the medium around them."""

    per_mm2: NonNegativeSpread = Field(description="Beads, pairs counted as one.")
    diameter_um: PositiveSpread = Field(description="Mean diameter of the lot.")
    diameter_variation: NonNegativeSpread = Field(
        description="How much beads of one lot differ in diameter, RMS, as a share."
    )
    index_contrast: Spread = Field(description="Refractive index of the polymer minus that of the medium.")
    absorbance: NonNegativeSpread = Field(description="Absorbance through a bead's middle, in e-folds.")
    seat_um: NonNegativeSpread = Field(description="How far beads lie above or below where they should, RMS.")
    pair_share: ShareSpread = Field(description="Share of beads that touch another one.")
    stray_share: ShareSpread = Field(description="Share of beads that hang at another height.")
    stray_um: PositiveSpread = Field(description="How high above the others those hang.")


class BeadSlideConfig(Section):
    """What the beads lie on, and what lies between them."""

    tilt_rad: NonNegativeSpread = Field(description="Slope of the slide, in a random direction.")
    drift_um_s: Spread = Field(description="Steady drift of the slide along the axis; its sign is drawn.")
    unevenness: ShareSpread = Field(
        description="Fall of the illumination from the centre to the corners, as a share."
    )
    debris_per_mm2: NonNegativeSpread
    debris_um: PositiveSpread = Field(description="Half-axes of a speck of debris.")
    debris_absorbance: NonNegativeSpread = Field(description="Absorbance of a speck, in e-folds.")
    debris_opd_um: Spread = Field(description="Optical path of a speck.")
    cells_per_mm2: NonNegativeSpread
    cell_um: PositiveSpread = Field(description="Half-axes of a cell.")
    cell_absorbance: NonNegativeSpread = Field(
        description="Absorbance of a cell, stained or not, in e-folds."
    )
    cell_opd_um: Spread = Field(description="Optical path through a cell's middle.")


class BeadsConfig(Section):
    """The whole section of a rig that looks at beads."""

    specimen: Literal["beads"]
    optics: SimulatedOpticsConfig
    beads: BeadConfig
    slide: BeadSlideConfig
    sensor: SensorConfig
    axis: SimulatedAxisConfig
    background_exposure_s: Annotated[float, Field(gt=0)] = Field(
        description="Exposure that gives the empty field `sensor.background_level`; the brightness goes with "
        "`camera.exposure_s`, and saturates."
    )
    window_px: Annotated[int, Field(gt=0)] = Field(
        description="Side of the window that each thing on the slide is rendered in, camera pixels."
    )

    @model_validator(mode="after")
    def _on_camera_pixels(self) -> "BeadsConfig":
        if self.optics.grid_px != 1:
            raise ValueError("optics.grid_px must be 1: beads are rendered on camera pixels; leave it out")
        return self

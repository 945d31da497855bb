"""The `simulation` section of a rig whose autofocus watches a laser beam that the cover glass reflects.

The rig of paper 4: a slit in the beam gives it two confocal parameters, and a multiwell plate of
sub-resolution beads lies on the stage. One seed is one day of one instrument, with one plate on it.
"""

from typing import Annotated, Literal

from pydantic import Field

from hw.section import Section
from hw.simulation.config import (
    NonNegativeSpread,
    PositiveSpread,
    SensorConfig,
    ShareSpread,
    SimulatedAxisConfig,
    Spread,
)

__all__ = ["AlignmentConfig", "PlateBeadsConfig", "SlitBeamConfig", "SlitLaserConfig", "WellPlateConfig"]

PositiveInt = Annotated[int, Field(gt=0)]


class SlitBeamConfig(Section):
    """The laser beam behind its slit, in the pupil of the objective."""

    wavelength_um: Annotated[float, Field(gt=0)]
    na_long: PositiveSpread = Field(description="Aperture that the slit's long side leaves to the beam.")
    aspect: Annotated[float, Field(ge=1)] = Field(
        description="Long over short side of the slit; the confocal parameters' ratio is its square."
    )
    fill: PositiveSpread = Field(
        description="1/e radius of the beam's amplitude in units of half the slit's length."
    )
    roughness_waves: NonNegativeSpread = Field(
        description="Phase that dust and scratches leave in the beam, waves RMS; it makes the speckle."
    )
    ghost_share: ShareSpread = Field(
        description="Power that other surfaces reflect to the camera, as a share of the beam's."
    )
    ghost_um: PositiveSpread = Field(description="1/e radius of that light on the camera, um.")
    fringe_contrast: ShareSpread = Field(description="Of the fringes that the camera's window makes.")
    fringe_um: PositiveSpread = Field(description="Their period, um.")


class AlignmentConfig(Section):
    """How the beam is aligned.

    Used twice: for a day's alignment, and for how far each quantity drifts to either side of it. Aberrations
    are Zernike coefficients over the circle that the slit's long side spans, waves RMS.
    """

    pointing_um: Spread = Field(description="Of the spot on the camera, along x and along y, um.")
    lean: Spread = Field(
        description="Of the beam in the pupil, along x and along y, as a share of half the slit's length."
    )
    parfocal_um: Spread = Field(
        description="Lens position that focuses the beam minus that which focuses the beads, um."
    )
    spherical_waves: Spread
    astigmatism_waves: Spread = Field(description="Along the sides of the slit.")
    oblique_astigmatism_waves: Spread = Field(description="At 45 degrees to them.")
    coma_waves: Spread = Field(description="Along x and along y.")


class WellPlateConfig(Section):
    """A multiwell plate, its middle at place (0, 0): where its wells are, how high the cover glass lies."""

    rows: PositiveInt
    columns: PositiveInt
    pitch_um: Annotated[float, Field(gt=0)]
    tilt_x_um: Spread = Field(description="Height of the last column over the first, um.")
    tilt_y_um: Spread = Field(description="Height of the last row over the first, um.")
    bowl_um: Spread = Field(description="Height of the corners over the middle, um.")
    well_um: NonNegativeSpread = Field(description="Height of a well against its neighbours', um RMS.")
    creep_um: NonNegativeSpread = Field(description="Amplitude of the whole plate's slow creep, um.")
    creep_period_s: PositiveSpread


class PlateBeadsConfig(Section):
    """Sub-resolution fluorescent beads on the cover glass, and the light they send out."""

    number: PositiveSpread = Field(description="In a field, rounded.")
    height_um: NonNegativeSpread = Field(description="Of their middles about their mean, um RMS.")
    brightness: PositiveSpread = Field(description="Peak of a bead in focus, as a share of white.")
    wavelength_um: Annotated[float, Field(gt=0)]
    spherical_waves: Spread = Field(description="Zernike coefficient of the imaging path, waves RMS.")
    background: ShareSpread = Field(description="Light without beads, as a share of white.")


class SlitLaserConfig(Section):
    """The whole section of a rig with a slit laser."""

    specimen: Literal["slit_laser"]
    immersion_index: Annotated[float, Field(ge=1)]
    beam: SlitBeamConfig
    alignment: AlignmentConfig
    drift: AlignmentConfig = Field(
        description="Amplitude of each quantity's slow drift about the day's alignment."
    )
    drift_period_s: PositiveSpread = Field(description="Period of each quantity's drift.")
    plate: WellPlateConfig
    beads: PlateBeadsConfig
    sensor: SensorConfig = Field(
        description="Of the autofocus camera; its exposure brings the brightest pixel to background_level."
    )
    imaging_sensor: SensorConfig = Field(description="Of the imaging camera; its exposure is locked.")
    axis: SimulatedAxisConfig

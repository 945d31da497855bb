"""The `simulation` section of a rig that surveys a tissue section on a slide."""

from typing import Annotated, Literal

from pydantic import Field

from hw.section import Section
from hw.simulation.config import (
    BandConfig,
    NonNegativeSpread,
    PositiveSpread,
    SensorConfig,
    ShareSpread,
    SimulatedAxisConfig,
    Spread,
)

__all__ = ["NucleiConfig", "ReliefConfig", "SlideConfig", "SlideOpticsConfig", "TissueConfig"]

PerChannel = tuple[float, float, float]
Positive = Annotated[float, Field(gt=0)]


class SlideOpticsConfig(Section):
    """Objective and condenser of the linear model in `hw.simulation.slide_transfer`; in air."""

    na: Annotated[PositiveSpread, Field(description="Below 1.")]
    coherence: NonNegativeSpread = Field(description="Condenser aperture as a share of the objective's.")
    spherical_waves: Spread = Field(description="Primary spherical aberration W040 at 0.55 um, waves.")
    bands: Annotated[tuple[BandConfig, ...], Field(min_length=3, max_length=3)] = Field(
        description="Red, green, blue."
    )
    colour_mixing: ShareSpread = Field(
        0.0, description="Share of each band that each of the other two channels sees."
    )


class ReliefConfig(Section):
    """Height of the section over the slide, um along the optical axis.

    Every part is drawn for the whole slide; only the folds are confined to some places.
    """

    tilt_rad: NonNegativeSpread = Field(description="Slope of the slide, in a random direction.")
    warp_um: NonNegativeSpread = Field(description="Bend of the slide, um RMS.")
    warp_grain_um: Positive = Field(description="Length over which it bends.")
    wave_um: NonNegativeSpread = Field(description="Unevenness of the section, um RMS.")
    wave_grain_um: Positive = Field(description="Length over which it changes.")
    fold_um: NonNegativeSpread = Field(description="Height of a fold.")
    fold_width_um: Positive = Field(description="Width of a fold at 1/e of its height.")
    fold_share: ShareSpread = Field(description="Share of the slide's area where folds run.")
    fold_grain_um: Positive = Field(description="Distance over which folds and their area turn.")


class NucleiConfig(Section):
    """Cell nuclei: the dark bodies of a stained section."""

    per_mm2: NonNegativeSpread = Field(description="In tissue.")
    radius_um: PositiveSpread
    stoutness: PositiveSpread = Field(description="Short over long axis.")
    absorbance: PerChannel = Field(description="Of red, green, blue at full stain, e-folds.")
    mottling: NonNegativeSpread = Field(description="RMS of their texture as a share of absorbance.")
    opd_um: Spread = Field(description="Optical path through their middle.")


class TissueConfig(Section):
    """What the section is made of, at several scales."""

    thickness_um: NonNegativeSpread = Field(description="Of the section; its layers lie within.")
    layers: Annotated[int, Field(gt=0)] = Field(description="Thin layers that stand for the thickness.")
    cover: ShareSpread = Field(description="Share of the slide that tissue covers.")
    patch_um: Positive = Field(description="Size of the pieces of tissue and of the gaps.")
    stain: NonNegativeSpread = Field(description="Strength of the stain: 0 unstained, 1 full.")
    absorbance: PerChannel = Field(description="Of red, green, blue of the matrix at full stain, e-folds.")
    density_grain_um: Positive = Field(description="Length over which its density changes.")
    density_spread: NonNegativeSpread = Field(description="RMS of that as a share.")
    fibre_um: PositiveSpread = Field(description="Width of its fibres.")
    fibre_weight: ShareSpread = Field(description="Share of the matrix that is fibres, not even ground.")
    grain_um: PositiveSpread = Field(description="Size of its finest grains.")
    grain_spread: NonNegativeSpread = Field(description="RMS of their absorbance as a share.")
    opd_um: NonNegativeSpread = Field(description="Optical path of the texture, um RMS.")
    hole_um: Positive = Field(description="Size of holes in the tissue: vessels, fat.")
    hole_share: ShareSpread = Field(description="Share of the tissue that is holes.")
    nuclei: NucleiConfig


class SlideConfig(Section):
    """The whole section of a rig that surveys a slide."""

    specimen: Literal["slide"]
    optics: SlideOpticsConfig
    relief: ReliefConfig
    tissue: TissueConfig
    sensor: SensorConfig
    axis: SimulatedAxisConfig
    extent_um: Positive = Field(description="Side of the slide's area that is drawn; beyond, it repeats.")
    plane_step_um: Positive = Field(
        description="Uneven fields are imaged at heights this far apart and interpolated between."
    )

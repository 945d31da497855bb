"""The `simulation` section of a rig file: every quantity of the simulated microscope and its specimen.

A value given as `[low, high]` is drawn anew, uniformly, for every seed: the section describes a family of
rigs and specimens, one seed one of them.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from hw.section import Section

__all__ = [
    "BandConfig",
    "BulbConfig",
    "NonNegativeSpread",
    "PlateConfig",
    "PositiveSpread",
    "SensorConfig",
    "ShareSpread",
    "SimulatedAxisConfig",
    "SimulatedOpticsConfig",
    "SimulationConfig",
    "Spread",
    "ValueOrRange",
    "WormConfig",
    "WormEggsConfig",
    "draw",
]


ValueOrRange = float | tuple[float, float]


def _form(value: object) -> str:
    """Tell a range from a value, so that only what was meant is complained about."""
    return "range" if isinstance(value, (list, tuple)) else "value"


def _ordered(value: ValueOrRange) -> ValueOrRange:
    if isinstance(value, tuple) and value[0] > value[1]:
        raise ValueError(f"a range is [low, high], not [{value[0]:g}, {value[1]:g}]")
    return value


def _positive(value: ValueOrRange) -> ValueOrRange:
    if np.min(value) <= 0:
        raise ValueError("must be greater than 0, at both ends of a range")
    return value


def _not_negative(value: ValueOrRange) -> ValueOrRange:
    if np.min(value) < 0:
        raise ValueError("must not be less than 0, at either end of a range")
    return value


def _a_share(value: ValueOrRange) -> ValueOrRange:
    if np.min(value) < 0 or np.max(value) > 1:
        raise ValueError("must be a share from 0 to 1, at both ends of a range")
    return value


Spread = Annotated[
    Annotated[float, Tag("value")] | Annotated[tuple[float, float], Tag("range")],
    Discriminator(_form),
    AfterValidator(_ordered),
]
PositiveSpread = Annotated[Spread, AfterValidator(_positive)]
NonNegativeSpread = Annotated[Spread, AfterValidator(_not_negative)]
ShareSpread = Annotated[Spread, AfterValidator(_a_share)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]


def draw(rng: np.random.Generator, spread: ValueOrRange) -> float:
    """Draw a value: itself, or uniformly from its range, both ends included."""
    if isinstance(spread, tuple):
        return float(rng.uniform(*spread))
    return float(spread)


class BandConfig(Section):
    """One colour band of light and sensor."""

    wavelength_um: Annotated[float, Field(gt=0)]
    shift_um: Spread = Field(description="Longitudinal chromatic shift of the band's focus, um.")
    gain: PositiveSpread = Field(1.0, description="Brightness of the band relative to the others.")


class SimulatedOpticsConfig(Section):
    """Objective and condenser."""

    immersion_index: Annotated[float, Field(ge=1)] = Field(
        1.0, description="Refractive index between specimen and objective: 1 for air, 1.515 for oil."
    )
    na: PositiveSpread
    coherence: NonNegativeSpread = Field(description="Condenser aperture as a share of the objective's.")
    source_points: PositiveInt = Field(
        description="Fewest points that the condenser aperture is sampled with."
    )
    source_points_per_mm: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Points for each mm of defocus, where that is more."
    )
    spherical_waves: Spread = Field(description="Primary spherical aberration W040 at 0.55 um, waves.")
    magnification: PositiveSpread = Field(1.0, description="True over nominal magnification.")
    bands: Annotated[tuple[BandConfig, ...], Field(min_length=3, max_length=3)] = Field(
        description="Red, green, blue."
    )
    colour_mixing: ShareSpread = Field(
        0.0, description="Share of each band that each of the other two channels sees."
    )
    grid_px: PositiveInt = Field(1, description="Camera pixels per point of the grid fields are computed on.")

    @field_validator("na")
    @classmethod
    def _within_the_medium(cls, value: ValueOrRange, info: ValidationInfo) -> ValueOrRange:
        index = info.data.get("immersion_index", 1.0)
        if np.max(value) >= index:
            raise ValueError(
                f"must be less than immersion_index, {index:g}: no aperture in that medium is wider"
            )
        return value


class BulbConfig(Section):
    """One bulb of the pharynx: Gaussian in optical path."""

    place: Spread = Field(description="Of its middle along the body, from 0 at the head to 1.")
    half_length: PositiveSpread = Field(description="To 1/e, as a share of the body's length.")
    half_width: PositiveSpread = Field(description="To 1/e, as a share of the body's radius.")


class WormEggsConfig(Section):
    """Eggs inside the worm."""

    number: tuple[NonNegativeInt, NonNegativeInt] = Field(description="Fewest and most, both inclusive.")
    place: Spread = Field(description="Along the body, from 0 at the head to 1.")
    side: Spread = Field(description="Across the body, from -1 to 1.")
    half_length: PositiveSpread = Field(description="To 1/e, as a share of the body's length.")
    half_width: PositiveSpread = Field(description="To 1/e, as a share of the body's radius.")
    opd_of_pharynx: Spread = Field(description="Optical path as a share of that of the pharynx's bulbs.")

    @field_validator("number")
    @classmethod
    def _fewest_first(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] > value[1]:
            raise ValueError(f"a range is [fewest, most], not [{value[0]}, {value[1]}]")
        return value


class WormConfig(Section):
    """A 3-D worm. Refractive index and absorption are relative to its surroundings."""

    length_um: PositiveSpread
    diameter_um: PositiveSpread = Field(description="At the thickest place.")
    index_contrast: Spread = Field(
        description="Refractive index of the body minus that of the film around it."
    )
    body_absorbance: NonNegativeSpread = Field(
        description="Absorbance through the thickest part of the body, in e-folds."
    )
    gut_absorbance: NonNegativeSpread = Field(description="Absorbance of the gut's granules, in e-folds.")
    gut_blue_excess: Spread = Field(description="Blue absorbance of the gut over its red one, minus 1.")
    granule_um: PositiveSpread = Field(description="Size of gut granules, um.")
    granule_opd_um: NonNegativeSpread = Field(description="Optical path of granules, um RMS.")
    pharynx_opd_um: Spread = Field(description="Optical path of the pharynx's bulbs, um.")
    rim_absorbance: NonNegativeSpread = Field(description="Absorbance along the cuticle, in e-folds.")
    cuticle_um: PositiveSpread = Field(description="Depth at which the rim's absorbance falls to 1/e, um.")
    head_taper: PositiveSpread = Field(description="Share of the body over which the head widens.")
    tail_taper: PositiveSpread = Field(description="Share of the body over which the tail narrows.")
    gut_start: ShareSpread = Field(description="Where the gut begins, from 0 at the head to 1.")
    gut_end: ShareSpread = Field(description="Where the gut ends, from 0 at the head to 1.")
    gut_width: PositiveSpread = Field(description="Half-width of the gut, as a share of the body's radius.")
    gut_wander: NonNegativeSpread = Field(
        description="How far the gut strays from the midline, RMS, as a share of the body's radius."
    )
    pharynx_bulbs: tuple[BulbConfig, ...]
    eggs: WormEggsConfig
    bend_rad: NonNegativeSpread = Field(
        description="Amplitude of the body's undulation, rad of tangent angle."
    )
    curl_rad: NonNegativeSpread = Field(
        description="Lasting bend from head to tail, rad; normal with this standard deviation."
    )
    waves: PositiveSpread = Field(description="Undulations along the body.")
    frequency_hz: NonNegativeSpread = Field(description="Undulations per second.")
    slip: ShareSpread = Field(description="Share of the wave's speed that does not become forward speed.")
    turn_rad_s: NonNegativeSpread = Field(
        description="Random change of heading, rad per square root of a second."
    )
    reversal_s: PositiveSpread = Field(description="Mean time of crawling forwards until a reversal, s.")
    backwards_s: PositiveSpread = Field(description="Mean time of crawling backwards, s.")
    roam_um: PositiveSpread = Field(
        description="Distance from the field's centre at which the worm turns back, um."
    )
    roam_return_per_s: NonNegativeSpread = Field(
        description="How fast it then turns: share per second of the angle left, at that distance."
    )


class PlateConfig(Section):
    """What the worm lies on, and what lies around it."""

    agar_opd_um: NonNegativeSpread = Field(description="Optical path of the agar's texture, um RMS.")
    agar_grain_um: PositiveSpread = Field(description="Size of that texture's grains, um.")
    lawn_opd_um: NonNegativeSpread = Field(description="Optical path of the bacterial lawn, um RMS.")
    lawn_grain_um: PositiveSpread = Field(description="Size of the lawn's grains, um.")
    lawn_absorbance: NonNegativeSpread = Field(description="Absorbance of the lawn, in e-folds.")
    lawn_cover: ShareSpread = Field(description="Share of the field that the lawn covers.")
    lawn_patch_um: PositiveSpread = Field(description="Size of the lawn's patches, um.")
    lawn_edge_steepness: PositiveSpread = Field(
        description="Rise of the lawn from none to full at its border, per RMS of the field that shapes it."
    )
    lawn_mottling: NonNegativeSpread = Field(
        description="How much the lawn's absorbance varies with its grains, RMS, as a share."
    )
    dust_per_mm2: NonNegativeSpread
    dust_um: PositiveSpread = Field(description="Longest half-axis that a speck of dust may have, um.")
    dust_stoutness: PositiveSpread = Field(
        description="Half-axes of a speck as shares of the longest; drawn for each of the two."
    )
    dust_absorbance: NonNegativeSpread = Field(description="Absorbance of a speck, in e-folds.")
    dust_opd_um: NonNegativeSpread = Field(
        description="Optical path of a speck, um; normal with this standard deviation."
    )
    eggs_per_mm2: NonNegativeSpread = Field(description="Eggs on the plate.")
    egg_length_um: PositiveSpread
    egg_width_um: PositiveSpread
    egg_opd_um: Spread = Field(description="Optical path through an egg's middle, um.")
    egg_absorbance: NonNegativeSpread = Field(description="Absorbance of an egg, in e-folds.")
    egg_rim_absorbance: NonNegativeSpread = Field(description="What its shell adds at the rim, in e-folds.")
    other_worms: NonNegativeSpread = Field(description="Other worms in the field, rounded.")
    clear_lengths: NonNegativeSpread = Field(
        description="Distance from the field's centre within which no other worm's centre lies, in lengths "
        "of the worm; a field too small for that has them anywhere."
    )
    unevenness: ShareSpread = Field(
        description="Fall of the illumination from the centre to the corners, as a share."
    )
    tilt_rad: NonNegativeSpread = Field(description="Slope of the plate, in a random direction.")
    drift_um_s: Spread = Field(
        description="Steady drift of the plate along the axis, um/s; its sign is drawn."
    )
    drift_reach_um: Annotated[float, Field(gt=0)] = Field(
        description="How far it drifts until it drifts back, um."
    )
    sway_um: Spread = Field(description="Amplitude of its slow sway, um.")
    sway_period_s: PositiveSpread = Field(description="Period of that sway, s.")


class SensorConfig(Section):
    """The camera's sensor and image pipeline."""

    electrons_at_white: PositiveSpread = Field(
        description="Electrons of a pixel at white; sets photon noise."
    )
    read_noise_e: NonNegativeSpread = Field(description="Read noise of a pixel, electrons RMS.")
    background_level: ShareSpread = Field(
        description="Brightness of the empty field in the middle, as a share of white before the tone curve."
    )
    gamma: PositiveSpread = Field(description="Exponent of the tone curve.")
    drop_probability: ShareSpread = Field(description="Chance that a frame is lost.")


class SimulatedAxisConfig(Section):
    """What the focus axis really does, which the rig file's `axis` only believes."""

    start_offset_steps: NonNegativeSpread = Field(
        description="Distance at the start from home to the lens position that focuses the worm's "
        "mid-height; its sign is drawn."
    )
    backlash_steps: NonNegativeSpread = Field(
        description="Lost motion that is really taken up at each reversal, steps."
    )
    safe_speed_steps_s: PositiveSpread = Field(
        description="Steps that follow each other faster than this are missed in part."
    )
    missed_share: ShareSpread = Field(
        description="Mean share of such steps that is missed; each run's is drawn from 0 to twice it."
    )
    shake_um: NonNegativeSpread = Field(
        description="Sideways shake of the worm in the image while the motor turns or settles, um RMS along "
        "x and along y."
    )
    inverted: bool = Field(False, description="Whether a DIR level that asks for up really turns down.")
    um_per_step: PositiveSpread | None = Field(
        None, description="True lens travel per motor step, um; what the rig file's `axis` says when absent."
    )
    settle_s: NonNegativeSpread | None = Field(
        None,
        description="True time after a move until the lens stands still, s; what `axis` says when absent.",
    )


class SimulationConfig(Section):
    """The whole section of a rig that follows a worm."""

    specimen: Literal["worm"] = "worm"
    optics: SimulatedOpticsConfig
    worm: WormConfig
    plate: PlateConfig
    sensor: SensorConfig
    axis: SimulatedAxisConfig
    background_step_um: Annotated[float, Field(gt=0)] = Field(
        description="Full frames reuse renderings of the surroundings at lens positions this far apart, um; "
        "the worm and all within its window are rendered for every frame."
    )

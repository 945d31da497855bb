"""The `simulation` section of a rig file: every quantity of the simulated microscope and its specimen.

A value given as `[low, high]` is drawn anew, uniformly, for every seed: the section describes a family of
rigs and specimens, one seed one of them.
"""

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from hw.section import Section

__all__ = [
    "BandConfig",
    "PlateConfig",
    "SensorConfig",
    "SimulatedAxisConfig",
    "SimulatedOpticsConfig",
    "SimulationConfig",
    "Spread",
    "WormConfig",
    "draw",
]


def _ordered(value: float | tuple[float, float]) -> float | tuple[float, float]:
    if isinstance(value, tuple) and value[0] > value[1]:
        raise ValueError(f"a range is [low, high], not [{value[0]}, {value[1]}]")
    return value


Spread = Annotated[float | tuple[float, float], AfterValidator(_ordered)]
PositiveInt = Annotated[int, Field(gt=0)]


def draw(rng: np.random.Generator, spread: float | tuple[float, float]) -> float:
    """Draw a value: itself, or uniformly from its range, both ends included."""
    if isinstance(spread, tuple):
        return float(rng.uniform(*spread))
    return float(spread)


class BandConfig(Section):
    """One colour band of light and sensor."""

    wavelength_um: Annotated[float, Field(gt=0)]
    shift_um: Spread = Field(description="Longitudinal chromatic shift of the band's focus, um.")
    gain: Spread = Field(1.0, description="Brightness of the band relative to the others.")


class SimulatedOpticsConfig(Section):
    """Objective and condenser."""

    na: Spread
    coherence: Spread = Field(description="Condenser aperture as a share of the objective's.")
    source_points: PositiveInt = Field(description="Points that the condenser aperture is sampled with.")
    spherical_waves: Spread = Field(description="Primary spherical aberration W040 at 0.55 um, waves.")
    magnification: Spread = Field(1.0, description="True over nominal magnification.")
    bands: Annotated[tuple[BandConfig, ...], Field(min_length=3, max_length=3)] = Field(
        description="Red, green, blue."
    )
    colour_mixing: Spread = Field(0.0, description="Share of each band that the other two channels see.")
    grid_px: PositiveInt = Field(1, description="Camera pixels per point of the grid fields are computed on.")


class WormConfig(Section):
    """A 3-D worm. Refractive index and absorption are relative to its surroundings."""

    length_um: Spread
    diameter_um: Spread
    index_contrast: Spread = Field(
        description="Refractive index of the body minus that of the film around it."
    )
    body_absorbance: Spread = Field(
        description="Absorbance through the thickest part of the body, in e-folds."
    )
    gut_absorbance: Spread = Field(description="Absorbance of the gut's granules, in e-folds.")
    gut_blue_excess: Spread = Field(description="Blue absorbance of the gut over its red one, minus 1.")
    granule_um: Spread = Field(description="Size of gut granules, um.")
    granule_opd_um: Spread = Field(description="Optical path of granules, um RMS.")
    pharynx_opd_um: Spread = Field(description="Optical path of the pharynx's bulbs, um.")
    rim_absorbance: Spread = Field(description="Absorbance along the cuticle, in e-folds.")
    bend_rad: Spread = Field(description="Amplitude of the body's undulation, rad of tangent angle.")
    waves: Spread = Field(description="Undulations along the body.")
    frequency_hz: Spread = Field(description="Undulations per second.")
    slip: Spread = Field(description="Share of the wave's speed that does not become forward speed.")
    turn_rad_s: Spread = Field(description="Random change of heading, rad per square root of a second.")
    reversal_s: Spread = Field(description="Mean time between reversals, s.")
    roam_um: Spread = Field(description="Distance from the field's centre at which the worm turns back, um.")


class PlateConfig(Section):
    """What the worm lies on, and what lies around it."""

    agar_opd_um: Spread = Field(description="Optical path of the agar's texture, um RMS.")
    agar_grain_um: Spread
    lawn_opd_um: Spread = Field(description="Optical path of the bacterial lawn, um RMS.")
    lawn_grain_um: Spread
    lawn_absorbance: Spread
    lawn_cover: Spread = Field(description="Share of the field that the lawn covers.")
    dust_per_mm2: Spread
    dust_um: Spread
    eggs_per_mm2: Spread
    other_worms: Spread = Field(description="Other worms in the field.")
    unevenness: Spread = Field(
        description="Fall of the illumination from the centre to the corners, as a share."
    )
    tilt_rad: Spread = Field(description="Slope of the plate, in a random direction.")
    drift_um_s: Spread = Field(description="Steady drift of the plate along the axis, um/s.")
    sway_um: Spread = Field(description="Amplitude of its slow sway, um.")
    sway_period_s: Spread


class SensorConfig(Section):
    """The camera's sensor and image pipeline."""

    electrons_at_white: Spread
    read_noise_e: Spread
    background_level: Spread = Field(description="Brightness of the empty field, share of white.")
    gamma: Spread = Field(description="Exponent of the tone curve.")
    drop_probability: Spread = Field(description="Chance that a frame is lost.")


class SimulatedAxisConfig(Section):
    """What the focus axis really does, which the rig file's `axis` only believes."""

    start_offset_steps: Spread = Field(
        description="Distance from home to focus at the start; its sign is drawn."
    )
    backlash_steps: Spread
    safe_speed_steps_s: Spread = Field(description="Above this speed the motor misses steps.")
    missed_share: Spread = Field(description="Share of a move's steps missed above the safe speed.")
    shake_um: Spread = Field(description="Sideways shake of the image while the motor turns, um RMS.")


class SimulationConfig(Section):
    """The whole section."""

    optics: SimulatedOpticsConfig
    worm: WormConfig
    plate: PlateConfig
    sensor: SensorConfig
    axis: SimulatedAxisConfig
    background_step_um: Annotated[float, Field(gt=0)] = Field(
        description="Full frames reuse renderings of the surroundings at lens positions this far apart, um; "
        "the worm and all within its window are rendered for every frame."
    )

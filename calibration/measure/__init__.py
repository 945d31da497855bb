"""Focus measures: one number per image, which is extreme where the image is in focus.

`registry` says what they have in common; they stand in modules by kind.
"""

from calibration.measure.autocorrelation import vollath_f4, vollath_f5
from calibration.measure.content import jpeg_size, normalised_variance, perceived_sharpness
from calibration.measure.gradient import brenner, laplacian_energy, laplacian_variance, tenengrad
from calibration.measure.registry import DEFAULT_MEASURE, MEASURES, FocusMeasure, focus_measure, luminance
from calibration.measure.spectrum import mid_band_power, power_spectrum_std

__all__ = [
    "DEFAULT_MEASURE",
    "MEASURES",
    "FocusMeasure",
    "brenner",
    "focus_measure",
    "jpeg_size",
    "laplacian_energy",
    "laplacian_variance",
    "luminance",
    "mid_band_power",
    "normalised_variance",
    "perceived_sharpness",
    "power_spectrum_std",
    "tenengrad",
    "vollath_f4",
    "vollath_f5",
]

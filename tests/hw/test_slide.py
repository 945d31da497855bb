"""The simulated slide: its optics against Abbe's sum, its sign, its place-bound texture and relief."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hw.simulation.config import BandConfig, SimulatedOpticsConfig
from hw.simulation.optics import Lens
from hw.simulation.optics import Slice as ThinSlice
from hw.simulation.slide_config import SlideOpticsConfig
from hw.simulation.slide_noise import RepeatingNoise
from hw.simulation.slide_transfer import Layer, SectionLens

GRID_UM = 0.25
BANDS = tuple(
    BandConfig(wavelength_um=wavelength, shift_um=shift)
    for wavelength, shift in ((0.62, 0.4), (0.53, 0.0), (0.46, -0.4))
)


def weak_section(strength: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Absorbance and optical path (um) of some smooth texture."""
    rng = np.random.default_rng(0)
    absorbance = strength * (2 + RepeatingNoise(rng, 128, GRID_UM, 2.0).values)
    opd = 0.02 * strength * RepeatingNoise(rng, 128, GRID_UM, 2.0).values
    return np.asarray(absorbance, np.float32), np.asarray(opd, np.float32)


@pytest.mark.parametrize("defocus_um", [-4.0, -1.0, 0.0, 1.5, 4.0])
def test_a_weak_section_looks_as_in_abbes_sum(defocus_um: float) -> None:
    absorbance, opd = weak_section(0.03)
    optics = SimulatedOpticsConfig(
        na=0.75, coherence=0.5, source_points=600, spherical_waves=0.3, bands=BANDS
    )
    abbe = Lens(optics, GRID_UM, np.random.default_rng(0))
    wave = abbe.exit_wave([ThinSlice(0.0, opd, absorbance[None])])
    expected = abbe.image(wave, defocus_um)

    linear = SectionLens(
        SlideOpticsConfig(na=0.75, coherence=0.5, spherical_waves=0.3, bands=BANDS),
        GRID_UM,
        np.random.default_rng(0),
    )
    transmission = np.fft.rfft2(np.exp(-absorbance) - 1).astype(np.complex64)
    layer = Layer(0.0, np.stack([transmission] * 3), np.fft.rfft2(opd).astype(np.complex64))
    seen = linear.image([layer], absorbance.shape, defocus_um)

    contrast = expected.std(axis=(0, 1))
    assert (np.abs(seen - expected).std(axis=(0, 1)) < 0.12 * contrast).all()
    for channel in range(3):
        assert np.corrcoef(seen[..., channel].ravel(), expected[..., channel].ravel())[0, 1] > 0.99

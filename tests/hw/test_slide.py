"""The simulated slide: its optics against Abbe's sum, its sign, its place-bound texture and relief."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.measure import DEFAULT_MEASURE, MEASURES
from calibration.truth import sharpest_position
from hw.config import RigConfig, load_rig
from hw.errors import ConfigError
from hw.rig import open_rig
from hw.simulation.config import BandConfig, SimulatedOpticsConfig
from hw.simulation.optics import Lens
from hw.simulation.optics import Slice as ThinSlice
from hw.simulation.rig import sample_of
from hw.simulation.slide import Slide
from hw.simulation.slide_config import SlideConfig, SlideOpticsConfig
from hw.simulation.slide_noise import RepeatingNoise
from hw.simulation.slide_tissue import Tissue
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
    seen = linear.mixed(linear.image([layer], (128, 128), defocus_um))

    contrast = expected.std(axis=(0, 1))
    assert (np.abs(seen - expected).std(axis=(0, 1)) < 0.12 * contrast).all()
    for channel in range(3):
        assert np.corrcoef(seen[..., channel].ravel(), expected[..., channel].ravel())[0, 1] > 0.99


def small_rig(**relief: float) -> RigConfig:
    """The shipped rig with a small camera, so that it is quick, and another relief."""
    rig = load_rig("slide_sim")
    assert isinstance(rig.simulation, SlideConfig)
    camera = rig.camera.model_copy(update={"width_px": 240, "height_px": 160})
    shape = rig.simulation.relief.model_copy(update=relief)
    simulation = rig.simulation.model_copy(update={"relief": shape})
    return rig.model_copy(update={"camera": camera, "simulation": simulation})


def slide(rig: RigConfig, seed: int) -> Slide:
    found = sample_of(rig, seed=seed)
    assert isinstance(found, Slide)
    return found


def place_with_tissue(sample: Slide) -> tuple[float, float]:
    """The first of some places that is all tissue."""
    places = [(float(x), float(y)) for x in range(-4000, 4001, 800) for y in range(-4000, 4001, 800)]
    return next(place for place in places if sample.cover(place) > 0.9)


def sharpest_um(sample: Slide, place: tuple[float, float], columns: slice = slice(None)) -> float:
    measure = MEASURES[DEFAULT_MEASURE]
    return sharpest_position(
        lambda z: measure(sample.intensity(0.0, place, z)[:, columns]), sample.plane_um(0.0, place), 1.0
    )


def test_a_slide_is_that_of_its_seed() -> None:
    rig = small_rig()
    place = place_with_tissue(slide(rig, 5))
    first, again, other = (slide(rig, seed).intensity(0.0, place, 1.0) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.02


def test_fields_that_overlap_show_the_same_tissue() -> None:
    config = load_rig("slide_sim").simulation
    assert isinstance(config, SlideConfig)
    tissue = Tissue(config.tissue.model_copy(update={"cover": 1.0}), 0.5, config.extent_um, [4, 3])
    whole = tissue.layers(-60, -40, (200, 220))
    part = tissue.layers(-20, 30, (90, 80))
    assert max(layer.absorbance.max() for layer in part) > 0.1
    for outer, inner in zip(whole, part, strict=True):
        np.testing.assert_allclose(outer.absorbance[:, 70:160, 40:120], inner.absorbance, atol=1e-5)
        np.testing.assert_allclose(outer.opd_um[70:160, 40:120], inner.opd_um, atol=1e-6)


def test_sharpest_lies_near_the_plane_and_the_two_sides_differ() -> None:
    sample = slide(small_rig(fold_um=0.0), 3)
    place = place_with_tissue(sample)
    plane = sample.plane_um(0.0, place)
    peak = sharpest_um(sample, place)
    assert abs(peak - plane) < 1.5
    below, above = (sample.intensity(0.0, place, peak + z) for z in (-2.5, 2.5))
    # Equally far out, so equally blurred; aberration, colour and phase tell the sides apart.
    assert (below - above).std() > 0.2 * above.std()


def test_the_two_ends_of_a_tilted_field_are_sharp_at_their_own_heights() -> None:
    sample = slide(small_rig(tilt_rad=0.03, warp_um=0.0, wave_um=0.0, fold_um=0.0), 3)
    place = place_with_tissue(sample)
    heights = sample.heights_um(place)
    left, right = slice(0, 100), slice(140, 240)
    expected = float(heights[:, right].mean() - heights[:, left].mean())
    assert abs(expected) > 0.5
    found = sharpest_um(sample, place, right) - sharpest_um(sample, place, left)
    assert found == pytest.approx(expected, abs=0.5)


def test_heights_are_tens_of_um_over_the_slide_and_smooth_between_neighbours() -> None:
    # The relief is the slide's, whatever the camera.
    sample = slide(small_rig(), 2)
    places = np.linspace(-5000, 5000, 16)
    planes = np.array([[sample.plane_um(0.0, (float(x), float(y))) for x in places] for y in places])
    assert 10 < np.ptp(planes) < 60
    assert np.abs(np.diff(planes, axis=1)).max() < 6


def test_an_open_rig_has_a_stage_and_says_simulated() -> None:
    with open_rig(small_rig(), seed=3) as rig:
        assert rig.notice == "SIMULATED"
        assert rig.stage is not None
        rig.stage.move_to(1000.0, -500.0)
        rig.clock.sleep(1.0)
        frame = next(rig.camera.frames())
        assert rig.stage.position_um == (1000.0, -500.0)
        assert frame.pixels.shape == (160, 240, 3)


def test_an_unknown_specimen_names_the_valid_ones(tmp_path: Path) -> None:
    text = Path("hw/rigs/slide_sim.yaml").read_text(encoding="utf-8")
    file = tmp_path / "rig.yaml"
    file.write_text(text.replace("specimen: slide", "specimen: brick"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"rig\.yaml:\d+: 'simulation.*brick.*'worm', 'slide'"):
        load_rig(file)
    file.write_text(text.replace("stoutness:", "stoutnes:"), encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"rig\.yaml:\d+: unknown key 'simulation\.tissue\.nuclei\.stoutnes'; did you mean"
    ):
        load_rig(file)

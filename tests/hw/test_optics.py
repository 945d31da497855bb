import math
from dataclasses import replace

import numpy as np
import pytest

from hw.config import load_rig
from hw.errors import ConfigError
from hw.simulation.config import SimulatedOpticsConfig
from hw.simulation.optics import Lens, Slice, propagate

SIZE = 128


@pytest.fixture
def optics() -> SimulatedOpticsConfig:
    simulation = load_rig("worm_tracker_sim").simulation
    assert simulation is not None
    return simulation.optics


def a_lens(optics: SimulatedOpticsConfig, grid_um: float = 3.1) -> Lens:
    return Lens(optics, grid_um, np.random.default_rng(5))


def a_specimen(opd: float = 0.05, dark: float = 0.5) -> Slice:
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    disc = ((x**2 + y**2) < 8**2).astype(np.float32)
    return Slice(0.0, disc * np.float32(opd), (disc * np.float32(dark))[None])


def test_an_empty_field_is_evenly_lit_at_every_lens_position(optics: SimulatedOpticsConfig) -> None:
    nothing = np.zeros((SIZE, SIZE), np.float32)
    plain = optics.model_copy(
        update={"bands": tuple(b.model_copy(update={"gain": 1.0}) for b in optics.bands)}
    )
    lens = a_lens(plain)
    for z in (-1500.0, 0.0, 700.0):
        image = lens.image(lens.exit_wave([Slice(0.0, nothing, nothing[None])]), z)
        np.testing.assert_allclose(image, 1.0, atol=1e-4)


def test_image_is_abbes_sum_over_source_points(optics: SimulatedOpticsConfig) -> None:
    lens = a_lens(optics)
    wave = lens.exit_wave([a_specimen()])
    z = -640.0
    expected = np.zeros((SIZE, SIZE, 3))
    for number, band in enumerate(lens.bands):
        spectrum = np.fft.fft2(a_specimen().transmission(number, band.wavelength_um))
        f = np.fft.fftfreq(SIZE, lens.grid_um)
        for sx, sy in lens.source(z) * lens.na / band.wavelength_um:
            # The lens moves source points to the grid's frequencies; so does this.
            sx, sy = (round(s * SIZE * lens.grid_um) / (SIZE * lens.grid_um) for s in (sx, sy))
            sine2 = ((f[None, :] - sx) ** 2 + (f[:, None] - sy) ** 2) * band.wavelength_um**2
            inside = sine2 <= lens.na**2
            k = 2 * math.pi / band.wavelength_um
            axial = np.sqrt(1 - np.where(inside, sine2, 0)) - 1
            phase = k * (axial * (z - band.shift_um) + lens.spherical_um * (sine2 / lens.na**2) ** 2)
            field = np.fft.ifft2(spectrum * inside * np.exp(1j * phase))
            expected[..., number] += np.abs(field) ** 2 * band.gain / len(lens.source(z))
    np.testing.assert_allclose(lens.image(wave, z), expected @ lens._mixing.T, atol=2e-4)


def test_more_source_points_the_farther_from_focus(optics: SimulatedOpticsConfig) -> None:
    lens = a_lens(optics.model_copy(update={"source_points": 9, "source_points_per_mm": 20}))
    assert [len(lens.source(z)) for z in (0, 400, -500, 1000, -1500)] == [9, 9, 12, 20, 32]
    assert np.hypot(*lens.source(1000).T).max() <= lens.coherence


def test_the_rig_files_source_points_are_close_to_the_integral(optics: SimulatedOpticsConfig) -> None:
    lens = a_lens(optics)
    fine = a_lens(optics.model_copy(update={"source_points": 200}))
    wave = lens.exit_wave([a_specimen()])
    for z in (0.0, 300.0, -500.0, 1000.0, -1500.0):
        few, many = lens.image(wave, z), fine.image(wave, z)
        assert np.square(few - many).mean() < 0.15**2 * many.var()


def test_the_two_sides_of_focus_look_different(optics: SimulatedOpticsConfig) -> None:
    lens = a_lens(optics)
    wave = lens.exit_wave([a_specimen()])
    before, after = lens.image(wave, -400.0), lens.image(wave, 400.0)
    assert np.abs(before - after).max() > 0.05


def test_without_aberrations_and_phase_the_two_sides_are_the_same(optics: SimulatedOpticsConfig) -> None:
    ideal = optics.model_copy(
        update={
            "spherical_waves": 0.0,
            "bands": tuple(b.model_copy(update={"shift_um": 0.0}) for b in optics.bands),
        }
    )
    lens = a_lens(ideal)
    wave = lens.exit_wave([a_specimen(opd=0.0)])
    # A real object seen through a symmetric source is symmetric; ten points are that only nearly.
    np.testing.assert_allclose(
        lens.image(wave, -400.0).mean(axis=2), lens.image(wave, 400.0).mean(axis=2), atol=0.08
    )


def test_pure_phase_vanishes_at_focus(optics: SimulatedOpticsConfig) -> None:
    lens = a_lens(optics.model_copy(update={"spherical_waves": 0.0}))
    wave = lens.exit_wave([a_specimen(opd=0.01, dark=0.0)])
    green = [float(lens.image(wave, z)[..., 1].std()) for z in (-300.0, 0.0, 300.0)]
    assert green[1] < 0.4 * min(green[0], green[2])


def test_a_grating_images_itself_at_the_talbot_distance() -> None:
    period, wavelength, grid = 32.0, 0.5, 1.0
    x = np.arange(256) * grid
    grating = np.tile(1 + 0.5 * np.cos(2 * math.pi * x / period), (64, 1)).astype(np.complex64)
    talbot = 2 * period**2 / wavelength
    whole = np.abs(propagate(grating, talbot, wavelength, grid)) ** 2
    quarter = np.abs(propagate(grating, talbot / 4, wavelength, grid)) ** 2
    original = np.abs(grating) ** 2
    assert np.corrcoef(whole.ravel(), original.ravel())[0, 1] > 0.999
    assert quarter.std() < 0.35 * original.std()


def test_propagation_can_be_undone() -> None:
    rng = np.random.default_rng(0)
    # Propagation acts on the field's own plane wave spectrum, so smooth noise comes back as it was.
    noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(64, 64))) * (np.abs(np.fft.fftfreq(64))[:, None] < 0.2))
    wave = noise.astype(np.complex64)
    there_and_back = propagate(propagate(wave, 300.0, 0.5, 3.0), -300.0, 0.5, 3.0)
    np.testing.assert_allclose(there_and_back, wave, atol=1e-5)


def test_a_thick_specimen_is_not_its_slices_in_one_plane(optics: SimulatedOpticsConfig) -> None:
    lens = a_lens(optics)
    lower, upper = a_specimen(), replace(a_specimen(), height_um=200.0)
    thick = lens.image(lens.exit_wave([lower, upper]), 0.0)
    thin = lens.image(lens.exit_wave([lower, replace(upper, height_um=0.0)]), 0.0)
    assert np.abs(thick - thin).max() > 0.01


def test_defocus_counts_from_the_top_slice_along_the_light(optics: SimulatedOpticsConfig) -> None:
    # Under one axial source point, the empty slice does nothing but say where the top is.
    lens = a_lens(optics.model_copy(update={"source_points": 1, "coherence": 0.0}))
    alone, height, nothing = a_specimen(), 150.0, np.zeros((SIZE, SIZE), np.float32)
    below = lens.exit_wave([alone, Slice(height, nothing, nothing[None])])
    for z in (-400.0, -height, 0.0, 250.0):
        image = lens.image(below, z)
        np.testing.assert_allclose(image, lens.image(lens.exit_wave([alone]), z + height), atol=2e-4)
        assert np.abs(image - lens.image(lens.exit_wave([alone]), z - height)).max() > 0.02


def test_a_grid_too_coarse_for_the_pupil_is_refused(optics: SimulatedOpticsConfig) -> None:
    lens = a_lens(optics, grid_um=12.0)
    with pytest.raises(ConfigError, match="too coarse"):
        lens.image(lens.exit_wave([a_specimen()]), 0.0)

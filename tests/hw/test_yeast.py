"""The simulated chamber of yeast."""

import numpy as np
import pytest

from calibration.simulate import StackPlan, simulate_stack
from hw.config import RigConfig, load_rig
from hw.errors import ConfigError
from hw.rig import open_rig
from hw.simulation.config import BandConfig, SimulatedOpticsConfig
from hw.simulation.oblique import image_of, send_through
from hw.simulation.optics import Lens, Slice
from hw.simulation.rig import sample_of, worm_section
from hw.simulation.yeast import YeastChamber
from hw.simulation.yeast_cells import Ellipsoid, slice_of
from hw.simulation.yeast_config import YeastConfig


def a_rig(*, size_px: int = 128, points: int = 8, oversampling: int = 1, **cells: object) -> RigConfig:
    """The shipped rig with a small field, few source points, and cells on the floor only."""
    rig = load_rig("yeast_sim")
    section = rig.simulation
    assert isinstance(section, YeastConfig)
    section = section.model_copy(
        update={
            "optics": section.optics.model_copy(update={"source_points": points}),
            "cells": section.cells.model_copy(update={"ceiling_share": 0.0, **cells}),
            "margin_um": 6.0,
            "oversampling": oversampling,
        }
    )
    camera = rig.camera.model_copy(update={"width_px": size_px, "height_px": size_px})
    return rig.model_copy(update={"camera": camera, "simulation": section})


def a_chamber(rig: RigConfig, seed: int) -> YeastChamber:
    sample = sample_of(rig, seed=seed)
    assert isinstance(sample, YeastChamber)
    return sample


def test_cells_fade_at_focus_and_turn_from_dark_to_bright_through_it() -> None:
    chamber = a_chamber(a_rig(size_px=192, seat_um=0.0, absorbance=0.0, vacuole_contrast=0.0), 2)
    focus = chamber.focus_um(0, (0, 0))
    away = np.array([-3.0, -2, -1, -0.5, 0, 0.5, 1, 2, 3])
    images = [chamber.intensity(0, (0, 0), focus + float(z))[..., 0] for z in away]
    contrast = np.array([image.std() for image in images])
    assert abs(away[contrast.argmin()]) <= 0.5, "phase objects: contrast is least at focus"
    assert min(contrast[0], contrast[-1]) > 1.3 * contrast.min()
    cell = chamber.cells.near((0, 0), 12)[0]
    grid = chamber.lens.grid_um
    column, row = (96 + round(m / grid) for m in cell.middle_um[:2])
    inside = [image[row - 3 : row + 4, column - 3 : column + 4].mean() for image in images]
    assert inside[1] < inside[4] < inside[-2]


def test_oblique_light_agrees_with_tilted_axial_light_on_a_thin_specimen() -> None:
    # Under a low aperture and for one thin slice the two ways to form an image are one.
    bands = (BandConfig(wavelength_um=0.5, shift_um=0),) * 3
    optics = SimulatedOpticsConfig(na=0.2, coherence=0.5, source_points=10, spherical_waves=0.2, bands=bands)
    lens = Lens(optics, 0.5, np.random.default_rng(0))
    x = np.arange(96) - 48
    bump = np.exp(-(x[None] ** 2 + x[:, None] ** 2) / 50).astype(np.float32)
    thin = Slice(0.0, 0.15 * bump, (0.3 * bump)[None])
    waves = send_through(lens, [thin], 1.0, 0.0, 0.0)
    for defocus in (-8.0, 0.0, 12.0):
        expected = lens.image(lens.exit_wave([thin]), defocus)[..., 0]
        np.testing.assert_allclose(image_of(lens, waves, defocus), expected, atol=5e-3)
    # The plane that focus counts from moves the image along, whatever the specimen.
    higher = send_through(lens, [thin], 1.0, 5.0, 0.0)
    np.testing.assert_allclose(image_of(lens, higher, 3.0), image_of(lens, waves, 8.0), atol=1e-3)


def test_slices_hold_the_whole_ellipsoid() -> None:
    body = Ellipsoid((10.0, 12.0, 1.0), (4.0, 3.0, 2.0), 0.4, 0.05, 0.02)
    path = dark = 0.0
    for bottom in np.arange(-1.0, 3.0, 0.5):
        opd, absorbance = slice_of([body], (bottom, bottom + 0.5), (0.0, 0.0), 250, 0.1)
        path += float(opd.sum()) * 0.01
        dark += float(absorbance.sum()) * 0.01
    assert path == pytest.approx(0.05 * 4 / 3 * np.pi * 24, rel=0.01)
    assert dark == pytest.approx(0.02 * 4 / 3 * np.pi * 24, rel=0.01)


def test_the_focus_drifts_over_a_day_as_the_file_says() -> None:
    rig = load_rig("yeast_sim")
    for seed in range(5):
        chamber = a_chamber(rig, seed)
        times = np.linspace(0, 86400, 400)
        plane = np.array([chamber.plane_um(float(t), (0, 0)) for t in times])
        assert plane[0] == 0
        assert 3 < np.ptp(plane) <= 40
        assert np.abs(np.diff(plane)).max() < 1
    assert chamber.focus_um(500.0, (100, 0)) == chamber.plane_um(500.0, (100, 0))


def test_the_image_moves_with_the_drift() -> None:
    chamber = a_chamber(a_rig(), 1)
    later = 40000.0
    drift = chamber.plane_um(later, (0, 0))
    assert abs(drift) > 0.5
    np.testing.assert_allclose(
        chamber.intensity(later, (0, 0), 2.0 + drift), chamber.intensity(0, (0, 0), 2.0), atol=1e-4
    )


def test_a_finer_grid_gives_nearly_the_same_image() -> None:
    coarse, fine = (a_chamber(a_rig(size_px=96, oversampling=n), 3) for n in (1, 2))
    one, other = (chamber.intensity(0, (0, 0), 1.5)[..., 0] for chamber in (coarse, fine))
    assert one.shape == other.shape == (96, 96)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.97


def test_labelled_stacks_and_the_rig() -> None:
    rig = a_rig()
    stack, label = simulate_stack(rig, StackPlan(3, 15, None, binned=False), 7)
    assert stack.images.shape[:3] == (3, 128, 128)
    assert label.method == "known by construction"
    assert stack.um_per_px == pytest.approx(0.1625)
    with open_rig(rig, seed=7) as opened:
        frame = next(iter(opened.camera.frames()))
        assert frame.pixels.shape == (128, 128, 3)
        assert 20 < frame.pixels.mean() < 230
        assert opened.ideal is not None
        assert opened.ideal.focus_um(0.0) == pytest.approx(opened.ideal.plane_um(0.0))
        assert abs(opened.ideal.focus_um(0.0) or 0.0) == pytest.approx(100 * 0.05)
    with pytest.raises(ConfigError, match="simulates a yeast"):
        worm_section(rig)

"""The simulated slide of control beads."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from calibration.simulate import StackPlan, simulate_stack
from hw.config import RigConfig, load_rig
from hw.errors import ConfigError
from hw.simulation.bead_things import Bead, Things, bead_wave
from hw.simulation.bead_wave import ball_spectrum, lay_out
from hw.simulation.beads import BeadSlide
from hw.simulation.beads_config import BeadsConfig
from hw.simulation.optics import ExitWave
from hw.simulation.rig import sample_of


def a_rig(**changed: object) -> RigConfig:
    """The shipped rig with a small field; keys `part__key` change the section's parts."""
    rig = load_rig("beads_sim")
    section = rig.simulation
    assert isinstance(section, BeadsConfig)
    parts: dict[str, dict[str, object]] = {}
    for key, value in changed.items():
        part, _, name = key.partition("__")
        parts.setdefault(part, {})[name] = value
    section = section.model_copy(
        update={part: getattr(section, part).model_copy(update=values) for part, values in parts.items()}
    )
    camera = rig.camera.model_copy(update={"width_px": 192, "height_px": 160})
    return rig.model_copy(update={"camera": camera, "simulation": section})


def a_slide(rig: RigConfig, seed: int) -> BeadSlide:
    sample = sample_of(rig, seed=seed)
    assert isinstance(sample, BeadSlide)
    return sample


def alone(slide: BeadSlide) -> tuple[Bead, tuple[float, float]]:
    """A bead with nothing near it, and its place."""
    things = slide.things.near((0, 0), (1500, 1500))
    for thing in things:
        others = [np.hypot(o.x_um - thing.x_um, o.y_um - thing.y_um) for o in things if o is not thing]
        if isinstance(thing, Bead) and thing.twin_um is None and min(others) > 110:
            return thing, (thing.x_um, thing.y_um)
    raise AssertionError("no bead is alone")


def centre(image: NDArray[np.float32]) -> float:
    height, width = image.shape[:2]
    return float(image[height // 2, width // 2, 0])


def test_a_balls_spectrum_is_that_of_its_transmission() -> None:
    # Weak enough for a grid to hold, and small: the transform of a thin ball by brute force.
    radius, contrast, absorbance, wavelength, grid, side = 4.0, 0.02, 0.3, 0.5, 0.1, 512
    frequencies = np.fft.fftfreq(side, grid)[:20]
    table = ball_spectrum(radius, contrast, absorbance, wavelength, float(frequencies[-1]) * 1.5)
    away = (np.arange(side) - side // 2) * grid
    depth = np.sqrt(np.clip(1 - (away[None] ** 2 + away[:, None] ** 2) / radius**2, 0, None))
    added = np.exp((2j * np.pi / wavelength * contrast * 2 * radius - absorbance / 2) * depth) - 1
    spectrum = np.fft.fft2(added)[:20, :20] * grid**2
    middle = (side // 2 * grid,) * 2
    np.testing.assert_allclose(lay_out(table, frequencies, middle), spectrum, atol=2e-3 * abs(spectrum).max())


def test_bands_of_one_colour_are_rendered_once_and_the_same() -> None:
    slide = a_slide(a_rig(), 1)
    lot = slide.things.lot
    shared = bead_wave(slide.lens, lot, lot.diameter_um, [(1.0, -2.0)], 96)
    assert shared.spectra[0] is shared.spectra[2]
    apart = ExitWave(shared.shape, [spectrum.copy() for spectrum in shared.spectra], shared.pad)
    np.testing.assert_allclose(slide.lens.image(shared, 20.0), slide.lens.image(apart, 20.0), rtol=1e-6)


def test_a_bead_is_a_dark_ring_about_a_bright_centre_that_is_brightest_at_focus() -> None:
    steady = {"beads__seat_um": 0, "beads__stray_share": 0, "beads__diameter_variation": 0}
    slide = a_slide(a_rig(**steady, slide__debris_per_mm2=5, slide__cells_per_mm2=0), 1)
    _, place = alone(slide)
    focus = slide.focus_um(0, place)
    assert 30 < focus - slide.plane_um(0, place) < 80
    image = slide.intensity(0, place, focus)
    row = image[80, 96:, 0]
    assert row[0] > 1.1
    assert row[3:8].max() < 0.2
    assert row[20:40].mean() == pytest.approx(1, abs=0.1)
    near = [centre(slide.intensity(0, place, focus + z)) for z in (-25, -5, 0, 5, 25)]
    assert near[2] > 0.99 * max(near)
    assert max(near[0], near[4]) < 0.9 * near[2]


def test_a_bead_that_lies_higher_is_in_focus_higher() -> None:
    slide = a_slide(a_rig(slide__tilt_rad=0), 3)
    bead, place = alone(slide)
    raised = a_slide(a_rig(slide__tilt_rad=0), 3)
    near = raised.things.near
    up = 30.0

    def lifted(*where: tuple[float, float]) -> list[Bead]:
        return [
            Bead(b.x_um, b.y_um, b.height_um + up, b.diameter_um, b.twin_um)
            for b in near(*where)
            if b == bead
        ]

    raised.things.near = lifted  # type: ignore[method-assign, assignment]
    slide.things.near = lambda *where: [b for b in near(*where) if b == bead]  # type: ignore[method-assign]
    np.testing.assert_allclose(raised.intensity(0, place, 20 + up), slide.intensity(0, place, 20), atol=1e-5)


def test_a_place_is_the_same_whichever_way_the_stage_came() -> None:
    rig = load_rig("beads_sim")
    section = rig.simulation
    assert isinstance(section, BeadsConfig)
    one, other = (Things(section.beads, section.slide, 5) for _ in range(2))
    other.near((3000, -2000), (900, 900))
    assert one.near((-150, 90), (400, 300)) == other.near((-150, 90), (400, 300))
    assert len(one.near((-150, 90), (400, 300))) > 10
    found = one.near((0, 0), (100, 50))
    assert all(abs(thing.x_um) <= 100 and abs(thing.y_um) <= 50 for thing in found)


def test_a_longer_exposure_is_brighter_and_clips() -> None:
    levels = []
    # One bead or two: the background is what counts.
    for exposure in (0.006, 0.012, 0.036):
        rig = a_rig(beads__per_mm2=10, slide__debris_per_mm2=0, slide__cells_per_mm2=0)
        rig = rig.model_copy(update={"camera": rig.camera.model_copy(update={"exposure_s": exposure})})
        slide = a_slide(rig, 2)
        levels.append(float(np.median(slide.sensor.develop(slide.intensity(0, (0, 0), 0), 1, binned=False))))
    assert levels[1] == pytest.approx(2 * levels[0], rel=0.05)
    assert levels[2] == 255


def test_simulate_labels_stacks_with_the_plane_known_by_construction() -> None:
    stack, label = simulate_stack(a_rig(), StackPlan(2, 300, None, binned=False), 4)
    assert stack.images.shape == (2, 160, 192)
    assert label.method == "known by construction"


def test_an_unknown_specimen_and_a_wrong_key_are_told(tmp_path: Path) -> None:
    text = yaml.safe_load((Path(__file__).parents[2] / "hw/rigs/beads_sim.yaml").read_text("utf-8"))
    path = tmp_path / "rig.yaml"

    def told(change: dict[str, object]) -> str:
        simulation = {**text["simulation"], **change}
        path.write_text(yaml.safe_dump({**text, "simulation": simulation}), "utf-8")
        with pytest.raises(ConfigError) as error:
            load_rig(path)
        return str(error.value)

    said = told({"specimen": "peas"})
    assert "simulation" in said
    assert "'worm'" in said
    assert "'beads'" in said
    said = told({"beads": {**text["simulation"]["beads"], "per_mm": 3}})
    assert "simulation.beads.per_mm" in said
    assert "did you mean 'per_mm2'" in said
    assert "grid_px" in told({"optics": {**text["simulation"]["optics"], "grid_px": 2}})

"""The rig of paper 4: what its laser camera sees, what its imaging camera sees, and that they agree."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hw.config import RigConfig, load_rig
from hw.errors import ConfigError
from hw.rig import open_rig
from hw.simulation.fluorescent_beads import PointSpread
from hw.simulation.rig import sample_of
from hw.simulation.slit_beam import SlitBeam
from hw.simulation.slit_config import SlitLaserConfig
from hw.simulation.well_plate import WellPlate

RIG = load_rig("slit_laser_sim")
SECTION = RIG.simulation
assert isinstance(SECTION, SlitLaserConfig)


def ideal_beam(*, fill: float = 1.0, **alignment: float) -> SlitBeam:
    """A beam without aberrations, roughness, ghosts and fringes, but for the alignment that is asked for."""
    assert isinstance(SECTION, SlitLaserConfig)
    nothing = dict.fromkeys(type(SECTION.alignment).model_fields, 0.0)
    beam = SECTION.beam.model_copy(
        update={"na_long": 0.6, "fill": fill, "roughness_waves": 0, "ghost_share": 0, "fringe_contrast": 0}
    )
    still = SECTION.alignment.model_copy(update=nothing)
    section = SECTION.model_copy(
        update={"beam": beam, "drift": still, "alignment": still.model_copy(update=alignment)}
    )
    return SlitBeam(section, 0.35, (192, 192), np.random.default_rng(0))


def width(image: NDArray[np.float32], axis: int) -> float:
    """Width in pixels of the image's profile: (sum I)^2 / sum I^2."""
    profile = image.sum(axis=axis, dtype=np.float64)
    return float(profile.sum() ** 2 / np.square(profile).sum())


def test_a_slit_of_three_to_one_gives_confocal_parameters_of_nine_to_one() -> None:
    # As laser beams fill a slit, the profiles across differ in shape too; an even beam's do not.
    beam = ideal_beam(fill=100)

    def doubled_at(axis: int) -> float:
        """Defocus at which the profile across is twice as wide as in focus, um."""
        narrow = width(beam.image(0, 0.0), axis)
        depths = np.linspace(0.5, 60, 240)
        return float(
            depths[next(i for i, d in enumerate(depths) if width(beam.image(0, d), axis) > 2 * narrow)]
        )

    short_um, long_um = doubled_at(1), doubled_at(0)
    assert long_um / short_um == pytest.approx(9, rel=0.1)
    # The paper's short range: precise to a fraction of a um.
    assert 0.5 < short_um < 4


def test_without_aberrations_the_two_sides_of_focus_look_the_same_and_with_them_they_do_not() -> None:
    for d in (3.0, 60.0):
        plain, spherical = ideal_beam(), ideal_beam(spherical_waves=0.15)
        above, below = plain.image(0, d), plain.image(0, -d)
        # The defocus phase of high apertures is odd in d, the image even, as the beam is.
        np.testing.assert_allclose(above, below, atol=1e-3 * above.max())
        above, below = spherical.image(0, d), spherical.image(0, -d)
        assert np.abs(above - below).max() > 0.1 * above.max()


def test_no_light_is_lost_near_focus_and_the_camera_is_overfilled_far_from_it() -> None:
    beam = ideal_beam()
    assert float(beam.image(0, 0.0).sum()) == pytest.approx(1, abs=0.06)
    assert float(beam.image(0, 10.0).sum()) == pytest.approx(1, abs=0.06)
    assert float(beam.image(0, 100.0).sum()) < 0.7


def test_pointing_moves_the_spot_and_lean_moves_it_with_defocus() -> None:
    def middle_px(beam: SlitBeam, d: float) -> float:
        image = beam.image(0, d)
        return float((image.sum(axis=0) * np.arange(192)).sum() / image.sum())

    straight = middle_px(ideal_beam(), 0.0)
    assert abs(middle_px(ideal_beam(pointing_um=1.4), 0.0) - straight) == pytest.approx(4, abs=0.3)
    leaning = ideal_beam(lean=0.1)
    moved = middle_px(leaning, 20.0) - middle_px(leaning, -20.0)
    # Rays at a direction sine of 0.1 * 0.6 walk 2 * 40 um * 0.06 / 1.515 sideways.
    assert abs(moved) == pytest.approx(2 * 40 * 0.06 / 1.515 / 0.35, rel=0.15)


def test_alignment_drifts_over_hours_and_is_the_same_for_the_same_seed() -> None:
    sample, again, other = (sample_of(RIG, seed=seed) for seed in (4, 4, 5))
    assert sample is not None
    assert again is not None
    assert other is not None
    place = (0.0, 0.0)
    focus = sample.focus_um(0.0, place)
    assert focus is not None
    first = sample.intensity(0.0, place, focus)
    np.testing.assert_array_equal(first, again.intensity(0.0, place, focus))
    assert np.abs(sample.intensity(1.0, place, focus) - first).max() < 0.01 * first.max()
    later = sample.focus_um(5400.0, place)
    assert later is not None
    assert np.abs(sample.intensity(5400.0, place, later) - first).max() > 0.02 * first.max()
    assert other.focus_um(0.0, place) != focus


def test_both_cameras_look_at_one_plate_through_one_lens() -> None:
    with open_rig(RIG, seed=3) as rig:
        assert rig.ideal is not None
        assert rig.stage is not None
        assert rig.notice == "SIMULATED"
        frame = next(rig.camera.frames())
        assert frame.pixels.shape == (192, 192, 3)
        assert (frame.pixels == frame.pixels[..., :1]).all()
        # The exposure follows the beam: its peak is where background_level says, whatever the defocus.
        assert 0.7 * 255 < frame.pixels.max() < 0.95 * 255
        rig.axis.home()
        imaged = rig.imaged()
        assert imaged.config.optics.um_per_px == 0.13
        brightest = []
        focus_um = rig.ideal.focus_um(0.0)
        assert focus_um is not None
        places = focus_um + np.arange(-1.0, 1.01, 0.25)
        for place in places:
            rig.axis.move_to(place / rig.axis.um_per_step)
            rig.clock.sleep(1.0)
            brightest.append(int(next(imaged.camera.frames()).pixels.max()))
        assert abs(places[int(np.argmax(brightest))] - focus_um) <= 0.25
        assert max(brightest) > 3 * brightest[0]


def test_a_rig_without_an_imaging_camera_says_so() -> None:
    with (
        open_rig(RIG.model_copy(update={"imaging": None})) as rig,
        pytest.raises(ConfigError, match="imaging"),
    ):
        rig.imaged()


def test_beads_are_as_deep_as_the_depth_of_field_says_and_brightest_at_0() -> None:
    spread = PointSpread(1.3, 1.515, 0.515, 0.03, 5.0)
    depths = np.arange(-1.5, 1.51, 0.05)
    axial = np.array([spread.profile(d)[0] for d in depths])
    assert abs(depths[axial.argmax()]) <= 0.05
    half = depths[axial > axial.max() / 2]
    # The paper's depth of field: 0.6 um.
    assert half[-1] - half[0] == pytest.approx(0.6, abs=0.1)
    in_focus = spread.profile(0.0)
    # Airy's disc: first dark ring at 0.61 wavelengths over NA.
    dark = in_focus[:30].argmin() * 0.02
    assert dark == pytest.approx(0.61 * 0.515 / 1.3, abs=0.04)
    assert spread.profile(50.0).max() == 0


def test_a_plate_has_tilt_bowl_and_one_step_for_each_well() -> None:
    assert isinstance(SECTION, SlitLaserConfig)
    config = SECTION.plate.model_copy(update={"tilt_x_um": 110.0, "bowl_um": 40.0, "well_um": 0.0})
    flat = config.model_copy(update={"tilt_y_um": 0.0, "creep_um": 0.0})
    plate = WellPlate(flat, np.random.default_rng(0))
    assert plate.height_um(0, (49500, 0)) - plate.height_um(0, (-49500, 0)) == pytest.approx(110)
    corner = (plate.height_um(0, (49500, 31500)) + plate.height_um(0, (-49500, -31500))) / 2
    assert corner - plate.height_um(0, (0, 0)) == pytest.approx(40)
    assert plate.well((-49500, -31500)) == (0, 0)
    assert plate.well((-49500 + 4400, -31500)) == (0, 0)
    assert plate.well((-49500 + 4600, -31500)) == (0, 1)
    assert plate.well((1e6, 1e6)) == (7, 11)
    stepped = WellPlate(flat.model_copy(update={"well_um": 2.0}), np.random.default_rng(0))
    inside = stepped.height_um(0, (100, 100)) - plate.height_um(0, (100, 100))
    assert inside == pytest.approx(stepped.height_um(0, (900, 900)) - plate.height_um(0, (900, 900)))
    assert inside != pytest.approx(stepped.height_um(0, (9100, 100)) - plate.height_um(0, (9100, 100)))


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (
            "specimen: slit_laser",
            "specimen: slit_lasr",
            ["simulation.specimen", "'slit_lasr'", "'slit_laser'"],
        ),
        ("    aspect: 3", "    aspekt: 3", ["'simulation.beam.aspekt'", "did you mean 'aspect'?"]),
        ("    aspect: 3", "    aspect: 0.3", ["'simulation.beam.aspect'", "greater than or equal to 1"]),
        ("    well_um: 1.5", "    well_um: -1", ["'simulation.plate.well_um'", "less than 0"]),
        ("  drift_period_s: [7200, 28800]\n", "", ["'simulation.drift_period_s'", "required"]),
    ],
)
def test_a_wrong_key_is_told_as_it_stands_in_the_file(
    tmp_path: Path, old: str, new: str, parts: list[str]
) -> None:
    shipped = (resources.files("hw") / "rigs" / "slit_laser_sim.yaml").read_text(encoding="utf-8")
    assert old in shipped
    path = tmp_path / "slit.yaml"
    path.write_text(shipped.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_rig(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert all(part in message for part in parts), message


def test_an_imaging_camera_of_a_real_rig_is_refused() -> None:
    real = load_rig("worm_tracker")
    config = RigConfig.model_validate({**real.model_dump(), "imaging": RIG.imaging})
    with pytest.raises(ConfigError, match="simulated rigs only"):
        open_rig(config)

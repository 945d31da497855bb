"""Rig files: what is read, and what is said about a wrong one."""

from importlib import resources
from pathlib import Path

import pytest
from pydantic import ValidationError

from hw.config import load_rig, shipped_rigs
from hw.errors import ConfigError

RIG = """\
name: bench
kind: pi
optics:
  um_per_px: 1.55
  na: 0.05
  dof_um: 220
camera:
  width_px: 2028
  height_px: 1520
  fps: 20
  exposure_s: 0.004
  latency_frames: 2
axis:
  um_per_step: 5
  min_steps: -1000
  max_steps: 1000
  max_speed_steps_s: 400
  acceleration_steps_s2: 4000
  backlash_steps: 6
  settle_s: 0.03
"""


@pytest.fixture
def rig_file(tmp_path: Path) -> Path:
    path = tmp_path / "bench.yaml"
    path.write_text(RIG)
    return path


def refusal(rig: str | Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_rig(rig)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", shipped_rigs())
def test_every_shipped_rig_loads_under_its_own_name(name: str) -> None:
    assert load_rig(name).name == name


def test_the_reference_rig_is_the_worm_tracker_of_paper_1() -> None:
    rig = load_rig("worm_tracker")
    assert rig.axis.um_per_step == 5
    assert (rig.axis.min_steps, rig.axis.max_steps) == (-1000, 1000)
    assert rig.camera.width_px * rig.optics.um_per_px == pytest.approx(3143, abs=1)
    assert rig.optics.dof_um == 220


def test_a_rig_file_is_read_by_its_path_and_defaults_fill_what_it_leaves_out(rig_file: Path) -> None:
    rig = load_rig(rig_file)
    assert rig.name == "bench"
    assert rig.camera.stall_timeout_s == 2.0
    assert rig.tracking.worm_length_um == 1000.0
    assert not rig.axis.invert_direction


def test_a_rig_does_not_change_once_read(rig_file: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_rig(rig_file).optics.na = 0.1  # type: ignore[misc]


def test_a_config_error_is_also_a_value_error() -> None:
    assert issubclass(ConfigError, ValueError)


def test_an_unknown_rig_names_the_nearest_shipped_one() -> None:
    assert "did you mean 'worm_tracker'?" in refusal("worm_traker")


def test_an_unknown_rig_like_no_other_lists_the_shipped_ones() -> None:
    message = refusal("xyzzy")
    assert "'xyzzy'" in message
    assert all(name in message for name in shipped_rigs())


def test_a_missing_file_is_named_with_the_reason(tmp_path: Path) -> None:
    message = refusal(tmp_path / "absent.yaml")
    assert "absent.yaml" in message
    assert "No such file" in message


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("  settle_s: 0.03", "  setle_s: 0.03", ["'axis.setle_s'", "did you mean 'settle_s'?"]),
        ("axis:", "focus_axis:", ["'focus_axis'"]),
        ("  na: 0.05", "  na: 0.05\n  colour: blue", ["bench.yaml:6", "'optics.colour'", "remove it"]),
        ("fps: 20", "fps: fast", ["bench.yaml:10", "'camera.fps'", "valid number"]),
        ("fps: 20", "fps: 0", ["bench.yaml:10", "'camera.fps'", "greater than 0"]),
        ("  fps: 20\n", "", ["bench.yaml:7", "'camera.fps'", "required"]),
        ("kind: pi", "kind: arduino", ["bench.yaml:2", "'kind'", "'simulated'"]),
        ("min_steps: -1000", "min_steps: 1000", ["'axis'", "must be below max_steps"]),
        (
            "  settle_s: 0.03",
            "  settle_s: 0.03\n  drive:\n    idle_of_s: 5",
            ["bench.yaml:22", "'axis.drive.idle_of_s'", "did you mean 'idle_off_s'?"],
        ),
        (
            "  settle_s: 0.03",
            "  settle_s: 0.03\n  drive: {homing: {end_stop: low}}",
            ["'axis'", "end_stop_steps is missing"],
        ),
    ],
)
def test_a_wrong_value_names_the_line_the_key_and_what_is_right(
    rig_file: Path, old: str, new: str, parts: list[str]
) -> None:
    assert old in RIG
    rig_file.write_text(RIG.replace(old, new, 1))
    message = refusal(rig_file)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("fps: 20", "fps: .inf", [":11: 'camera.fps'", "finite"]),
        ("na: [0.045, 0.055]", "na: .nan", [":25: 'simulation.optics.na'", "finite"]),
        ("na: [0.045, 0.055]", "na: [.nan, 0.05]", [":25: 'simulation.optics.na.0'", "finite"]),
        ("na: [0.045, 0.055]", "na: [0.045]", [":25: 'simulation.optics.na.1'", "required"]),
        ("na: [0.045, 0.055]", "na: wide", [":25: 'simulation.optics.na'", "valid number"]),
        ("na: [0.045, 0.055]", "na: 0", ["'simulation.optics.na'", "greater than 0"]),
        ("na: [0.045, 0.055]", "na: [0.05, 1.3]", ["'simulation.optics.na'", "immersion_index"]),
        ("na: [0.045, 0.055]", "na: [0.055, 0.045]", ["a range is [low, high]"]),
        ("wavelength_um: 0.53", "wavelength_um: 0", ["'simulation.optics.bands.1.wavelength_um'"]),
        ("length_um: [800, 1200]", "length_um: [0, 1200]", ["'simulation.worm.length_um'", "greater than 0"]),
        ("number: [0, 8]", "number: [8, 0]", ["'simulation.worm.eggs.number'", "[fewest, most]"]),
        (
            "place: 0.145",
            "plaec: 0.145",
            ["'simulation.worm.pharynx_bulbs.1.plaec'", "did you mean 'place'?"],
        ),
        # The family's name, worm, is that of a section too, which must not hide the others.
        (
            "spherical_waves: [0.1, 0.5]",
            "sphericalwaves: [0.1, 0.5]",
            ["'simulation.optics.sphericalwaves'", "did you mean 'spherical_waves'?"],
        ),
        ("0.62, shift_um:", "0.62, shif_um:", ["bands.0.shif_um'", "did you mean 'shift_um'?"]),
        ("dust_um: [3, 12]", "dst_um: [3, 12]", ["'simulation.plate.dst_um'", "did you mean 'dust_um'?"]),
        ("    bend_rad:", "    bendrad:", ["'simulation.worm.bendrad'", "did you mean 'bend_rad'?"]),
        ("  sensor:\n", "  senser:\n", ["'simulation.senser'", "did you mean 'sensor'?"]),
        ("dust_per_mm2: [0, 4]", "dust_per_mm2: [-1, 4]", ["'simulation.plate.dust_per_mm2'", "less than 0"]),
        ("lawn_cover: [0.0, 1.0]", "lawn_cover: 1.1", ["'simulation.plate.lawn_cover'", "share"]),
        ("safe_speed_steps_s: 800", "safe_speed_steps_s: 0", ["'simulation.axis.safe_speed_steps_s'"]),
    ],
)
def test_a_wrong_number_of_the_simulation_is_told_as_it_stands_in_the_file(
    tmp_path: Path, old: str, new: str, parts: list[str]
) -> None:
    shipped = (resources.files("hw") / "rigs" / "worm_tracker_sim.yaml").read_text(encoding="utf-8")
    assert old in shipped
    path = tmp_path / "sim.yaml"
    path.write_text(shipped.replace(old, new, 1))
    message = refusal(path)
    assert message.startswith(str(path))
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (RIG.replace("fps: 20", "fps: 20\n  fps: 30"), "11: key 'camera.fps'"),
        (RIG + "name: again\n", "21: key 'name'"),
        (RIG + "replay: {stack: a, stack: b}\n", "21: key 'replay.stack'"),
        ("a: &all\n  - {b: 1}\n  - {c: *all, c: 2}\n", "3: key 'a.1.c'"),
    ],
)
def test_a_key_given_twice_is_refused_where_it_stands_again(rig_file: Path, text: str, place: str) -> None:
    rig_file.write_text(text)
    assert refusal(rig_file).startswith(f"{rig_file}:{place}")


def test_a_misspelt_key_is_reported_at_its_own_line(rig_file: Path) -> None:
    rig_file.write_text(RIG.replace("  settle_s", "  setle_s"))
    line = RIG.splitlines().index("  settle_s: 0.03") + 1
    assert refusal(rig_file).startswith(f"{rig_file}:{line}: unknown key")


def test_broken_yaml_names_the_line(rig_file: Path) -> None:
    rig_file.write_text("name: bench\noptics: [1, 2\nkind: pi\n")
    assert "bench.yaml:3" in refusal(rig_file)


def test_a_file_in_another_encoding_is_refused(rig_file: Path) -> None:
    rig_file.write_bytes(RIG.replace("bench", "Münster").encode("latin-1"))
    assert "save it as UTF-8" in refusal(rig_file)


def test_an_impossible_date_is_refused(rig_file: Path) -> None:
    rig_file.write_text(RIG.replace("bench", "2026-13-45"))
    assert "put quotes around" in refusal(rig_file)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n"])
def test_a_file_that_is_no_mapping_is_refused(rig_file: Path, text: str) -> None:
    rig_file.write_text(text)
    assert "expected a mapping" in refusal(rig_file)

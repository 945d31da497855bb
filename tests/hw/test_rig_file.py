from pathlib import Path

import pytest

from hw.config import load_rig
from hw.errors import ConfigError
from hw.rig_file import check_writable, record_calibration, rig_text

RIG = """\
# My rig, built in spring.
name: bench
kind: pi
optics: {um_per_px: 1.55, na: 0.05, dof_um: 220}   # zoom at 2x
camera:
  width_px: 2028
  height_px: 1520
  fps: 20
  exposure_s: 0.004
  latency_frames: 2
axis:
  # from the screw's data sheet
  um_per_step: 5
  min_steps: -1000
  max_steps: 1000
  max_speed_steps_s: 400
  acceleration_steps_s2: 4000
  backlash_steps: 6  # guessed
  settle_s: 0.03
  drive:
    position_file: ~/axis.json
# An A4988.
gpio:
  step_pin: 17
  dir_pin: 27
  enable_pin: 22
"""


@pytest.fixture
def rig_file(tmp_path: Path) -> Path:
    path = tmp_path / "bench.yaml"
    path.write_text(RIG, encoding="utf-8")
    return path


def test_values_are_replaced_where_they_stand_and_all_else_stays(rig_file: Path) -> None:
    record_calibration(
        str(rig_file), rig_file, "calibrate axis", {"axis.backlash_steps": 6.83, "axis.settle_s": 0.041}, {}
    )
    text = rig_file.read_text(encoding="utf-8")
    expected = RIG.replace("backlash_steps: 6 ", "backlash_steps: 6.83 ").replace(
        "settle_s: 0.03", "settle_s: 0.041"
    )
    assert text.startswith(expected)
    assert text.removeprefix(expected).startswith("calibration:\n")
    rig = load_rig(rig_file)
    assert (rig.axis.backlash_steps, rig.axis.settle_s) == (6.83, 0.041)


def test_date_and_old_values_are_kept_one_record_after_the_other(rig_file: Path) -> None:
    for value in (6.5, 7.0):
        record_calibration(
            str(rig_file), rig_file, "calibrate axis", {"axis.backlash_steps": value},
            {"backlash_sigma_steps": 0.1, "note": "a: b # c"}, "SIMULATED",
        )  # fmt: skip
    first, second = load_rig(rig_file).calibration
    assert (first.changed["axis.backlash_steps"].before, second.changed["axis.backlash_steps"].before) == (
        6,
        6.5,
    )
    assert second.changed["axis.backlash_steps"].now == 7.0
    assert second.found == {"backlash_sigma_steps": 0.1, "note": "a: b # c"}
    assert (second.by, second.notice) == ("calibrate axis", "SIMULATED")
    assert first.date.tzinfo is not None
    assert first.date <= second.date


def test_a_key_that_was_absent_becomes_the_last_of_its_section(rig_file: Path) -> None:
    record = record_calibration(
        str(rig_file), rig_file, "calibrate sign", {"axis.invert_direction": True}, {}
    )
    assert record.changed["axis.invert_direction"].before is None
    text = rig_file.read_text(encoding="utf-8")
    assert "    position_file: ~/axis.json\n  invert_direction: true\n# An A4988.\n" in text
    assert load_rig(rig_file).axis.invert_direction


def test_a_key_may_be_added_to_a_section_on_one_line(rig_file: Path) -> None:
    record_calibration(str(rig_file), rig_file, "calibrate sign", {"optics.red_minus_blue_um": 61.5}, {})
    assert load_rig(rig_file).optics.red_minus_blue_um == 61.5
    assert "dof_um: 220}   # zoom at 2x\n" in rig_file.read_text(encoding="utf-8")


def test_line_ends_and_a_missing_last_one_are_coped_with(tmp_path: Path) -> None:
    path = tmp_path / "windows.yaml"
    path.write_bytes(RIG.rstrip("\n").replace("\n", "\r\n").encode())
    record_calibration(
        str(path), path, "calibrate sign", {"axis.invert_direction": True, "axis.settle_s": 0.05}, {}
    )
    content = path.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n")
    assert load_rig(path).axis.settle_s == 0.05


def test_another_file_may_take_the_results(rig_file: Path, tmp_path: Path) -> None:
    out = check_writable(str(rig_file), tmp_path / "new.yaml")
    record_calibration(str(rig_file), out, "calibrate axis", {"axis.settle_s": 0.05}, {})
    assert rig_file.read_text(encoding="utf-8") == RIG
    assert load_rig(out).axis.settle_s == 0.05


def test_a_shipped_rig_is_copied_never_changed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ships with the program.*--out"):
        check_writable("worm_tracker", None)
    before = rig_text("worm_tracker")
    out = check_writable("worm_tracker", tmp_path / "mine.yaml")
    record_calibration("worm_tracker", out, "calibrate axis", {"axis.backlash_steps": 5.5}, {})
    assert rig_text("worm_tracker") == before
    assert load_rig(out).axis.backlash_steps == 5.5
    assert "# No end stop: the operator confirms" in out.read_text(encoding="utf-8")


def test_a_file_that_is_there_is_not_overwritten(rig_file: Path) -> None:
    with pytest.raises(ConfigError, match="is there already"):
        check_writable("worm_tracker", rig_file)
    with pytest.raises(ConfigError, match=r"ends in \.yaml"):
        check_writable("worm_tracker", rig_file.with_suffix(".txt"))


def test_a_layout_that_cannot_be_edited_is_left_alone(rig_file: Path) -> None:
    shared = RIG.replace("settle_s: 0.03", "settle_s: &t 0.03").replace(
        "    position_file: ~/axis.json", "    keep_after_s: *t"
    )
    rig_file.write_text(shared, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"by hand: axis\.settle_s: 0\.05"):
        record_calibration(str(rig_file), rig_file, "calibrate axis", {"axis.settle_s": 0.05}, {})
    assert rig_file.read_text(encoding="utf-8") == shared
    assert [path.name for path in rig_file.parent.iterdir()] == ["bench.yaml"]


def test_a_value_that_no_rig_may_have_is_refused_and_nothing_written(rig_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"axis\.backlash_steps"):
        record_calibration(str(rig_file), rig_file, "calibrate axis", {"axis.backlash_steps": -1.0}, {})
    assert rig_file.read_text(encoding="utf-8") == RIG


def test_a_folder_that_cannot_be_written_is_named(rig_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        record_calibration(str(rig_file), tmp_path / "no" / "x.yaml", "calibrate axis", {}, {})


def test_a_section_that_is_merged_in_from_elsewhere_is_left_to_a_person(rig_file: Path) -> None:
    begin, end = RIG.index("axis:"), RIG.index("# An A4988.")
    merged = "<<:\n" + "".join(f"  {line}\n" for line in RIG[begin:end].splitlines())
    rig_file.write_text(RIG[:begin] + merged + RIG[end:], encoding="utf-8")
    assert load_rig(rig_file).axis.backlash_steps == 6
    before = rig_file.read_bytes()
    with pytest.raises(ConfigError, match=r"by hand: axis\.backlash_steps: 7"):
        record_calibration(str(rig_file), rig_file, "calibrate axis", {"axis.backlash_steps": 7.0}, {})
    assert rig_file.read_bytes() == before

"""`wormfocus calibrate sign` and `axis`, on a small simulated rig."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hw.config import RigConfig, load_rig
from hw.errors import ConfigError
from hw.position_file import KeptPosition, PositionFile
from hw.rig import Rig, open_rig
from hw.rig_file import rig_text
from wormfocus.calibrate import open_for_calibration
from wormfocus.command import main


@pytest.fixture
def rig_file(tmp_path: Path) -> Path:
    """A small rig over a still target, inverted, with a comment."""
    data: dict[str, Any] = yaml.safe_load(rig_text("target_sim"))
    data["camera"] |= {"width_px": 320, "height_px": 320}
    data["control"] = {"search_span_um": 1600}
    simulation = data["simulation"]
    simulation["optics"] |= {"source_points": 6, "source_points_per_mm": 0}
    simulation["worm"] |= {"length_um": 260, "diameter_um": 60}
    simulation["axis"] |= {
        "start_offset_steps": 30, "backlash_steps": 9.0, "settle_s": 0.06, "inverted": True, "shake_um": 2,
    }  # fmt: skip
    path = tmp_path / "rig.yaml"
    path.write_text("# Mine.\n" + yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["calibrate", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return captured.err


def test_sign_finds_an_inverted_axis_turns_it_round_and_finds_it_right_afterwards(
    rig_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, picture = tmp_path / "sign.json", tmp_path / "sign.png"
    arguments = ["calibrate", "sign", "--rig", str(rig_file), "--seed", "1"]
    assert main([*arguments, "--dry-run", "--json", str(figures), "--picture", str(picture)]) == 0
    assert "would set axis.invert_direction: True" in capsys.readouterr().out
    assert not load_rig(rig_file).axis.invert_direction
    found = json.loads(figures.read_text())
    assert (found["verdict"], found["invert_direction"]) == ("inverted", True)
    assert found["evidence"][0]["method"] == "colours"
    assert picture.read_bytes().startswith(b"\x89PNG")

    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "SIMULATED" in said
    assert "PROVEN INVERTED" in said
    assert "home the axis" in said
    assert load_rig(rig_file).axis.invert_direction
    assert rig_file.read_text(encoding="utf-8").startswith("# Mine.\n")

    assert main(arguments) == 0
    assert "PROVEN RIGHT" in capsys.readouterr().out
    rig = load_rig(rig_file)
    assert rig.axis.invert_direction
    assert [record.found["verdict"] for record in rig.calibration] == ["inverted", "right"]


def test_sign_that_is_not_proven_changes_nothing_and_fails(
    rig_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rig_file.read_text()
    arguments = ["calibrate", "sign", "--rig", str(rig_file), "--red-minus-blue-um", "900"]
    assert main(arguments) == 1
    assert "NOT PROVEN" in capsys.readouterr().out
    assert rig_file.read_text() == before


def test_sign_by_the_shipped_network_over_a_crawling_worm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data: dict[str, Any] = yaml.safe_load(rig_text("worm_tracker_sim"))
    data["camera"] |= {"width_px": 1014, "height_px": 1014}
    data["control"] = {"search_span_um": 1400}
    data["simulation"]["optics"] |= {"source_points": 8, "source_points_per_mm": 12}
    data["simulation"]["axis"] |= {"start_offset_steps": 40, "inverted": True}
    rig = tmp_path / "rig.yaml"
    rig.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    picture = tmp_path / "sign.png"
    arguments = ["calibrate", "sign", "--rig", str(rig), "--bundle", "default", "--picture", str(picture)]
    assert main(arguments) == 0
    assert "by network: inverted" in capsys.readouterr().out
    assert load_rig(rig).axis.invert_direction
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_axis_writes_what_it_measured_with_the_old_values(
    rig_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, picture, out = tmp_path / "axis.json", tmp_path / "axis.png", tmp_path / "new.yaml"
    arguments = [
        "calibrate", "axis", "--rig", str(rig_file), "--out", str(out), "--json", str(figures),
        "--picture", str(picture), "--pairs", "2", "--moves", "15", "--trips", "1", "--far-steps", "200",
    ]  # fmt: skip
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "SIMULATED target_sim: backlash " in said
    assert "(rig file: 6)" in said
    assert not load_rig(rig_file).calibration
    rig = load_rig(out)
    assert rig.axis.backlash_steps == pytest.approx(9.0, abs=0.4)
    assert 0.06 <= rig.axis.settle_s <= 0.075
    (record,) = rig.calibration
    assert record.changed["axis.backlash_steps"].before == 6
    found = json.loads(figures.read_text())
    assert found["values"]["axis.backlash_steps"] == rig.axis.backlash_steps
    assert found["missed_steps_at_speed"] is False
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_missed_steps_are_told_and_the_position_is_no_longer_kept(
    rig_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "position.json"
    PositionFile(kept).write(KeptPosition(um_per_step=5, motor_steps=0, lens_steps=0, trusted=True))
    data = yaml.safe_load(rig_file.read_text(encoding="utf-8"))
    data["axis"]["drive"] = {"position_file": str(kept)}
    data["simulation"]["axis"] |= {"safe_speed_steps_s": 60, "missed_share": 0.05}
    rig_file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    before, picture = rig_file.read_text(encoding="utf-8"), tmp_path / "axis.png"
    arguments = ["calibrate", "axis", "--rig", str(rig_file), "--dry-run", "--picture", str(picture)]
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert "TROUBLE: missed steps even in small hops" in said
    assert "would set" not in said
    assert not kept.exists()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert rig_file.read_text(encoding="utf-8") == before
    # Neither where the report cannot be written.
    PositionFile(kept).write(KeptPosition(um_per_step=5, motor_steps=0, lens_steps=0, trusted=True))
    assert main([*arguments, "--json", str(tmp_path / "none" / "axis.json")]) == 2
    assert not kept.exists()


class Terminal:
    """Standard input that a person sits at."""

    def isatty(self) -> bool:
        return True


def test_where_no_machine_puts_the_spacer_in_a_person_is_asked(
    rig_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_hand(config: RigConfig, *, seed: int) -> Rig:
        rig = open_rig(config, seed=seed)
        rig.raise_specimen = None
        return rig

    asked: list[str] = []
    monkeypatch.setattr("hw.rig.open_rig", by_hand)
    config = load_rig(rig_file)
    with (
        pytest.raises(ConfigError, match="from a terminal"),
        open_for_calibration(config, 0, spacer=True),
    ):
        pass
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or "")
    with open_for_calibration(config, 0, spacer=True) as (rig, _):
        assert rig.raise_specimen is not None
        rig.raise_specimen(500.0)
        rig.raise_specimen(-500.0)
    assert [text.split(",")[0] for text in asked] == [
        "put the spacer of 500 um under the specimen",
        "take the spacer of 500 um out again",
    ]

    def nobody(text: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    with open_for_calibration(config, 0, spacer=True) as (rig, _):
        assert rig.raise_specimen is not None
        with pytest.raises(ConfigError, match="nobody is there to put the spacer of 500 um"):
            rig.raise_specimen(500.0)


def test_bad_input_is_refused_in_one_line_before_anything_moves(
    rig_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = ["--rig", str(rig_file)]
    assert "ships with the program" in refused(["axis", "--rig", "target_sim"], capsys)
    assert "has no motor" in refused(["axis", "--rig", "replay", "--dry-run"], capsys)
    assert "ends in .png" in refused(["axis", *rig, "--picture", str(tmp_path / "a.jpg")], capsys)
    assert "is there already" in refused(["axis", *rig, "--out", str(rig_file)], capsys)
    assert "red_minus_blue_um" in refused(
        ["sign", "--rig", "worm_tracker_sim", "--by", "colours", "--dry-run"], capsys
    )
    assert "nothing to prove" in refused(["sign", "--rig", "worm_tracker_sim", "--dry-run"], capsys)
    assert "--spacer-um" in refused(["sign", *rig, "--by", "spacer"], capsys)

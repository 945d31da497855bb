"""`wormfocus calibrate plane` from the command line."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from calibration.label import read_label
from calibration.stack import ZStack, find_stacks, read_stack, write_stack
from wormfocus.command import main


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped rig with a small field full of beads and a little less light to sum."""
    source = Path(__file__).parents[2] / "hw/rigs/beads_sim.yaml"
    text = yaml.safe_load(source.read_text("utf-8"))
    text["camera"] |= {"width_px": 240, "height_px": 240}
    text["simulation"]["beads"] |= {"per_mm2": 90, "pair_share": 0.05}
    text["simulation"]["optics"] |= {"source_points": 8, "source_points_per_mm": 40}
    text["simulation"]["slide"] |= {"debris_per_mm2": 10, "cells_per_mm2": 0}
    path = tmp_path_factory.mktemp("rig") / "beads.yaml"
    path.write_text(yaml.safe_dump(text), "utf-8")
    return path


def test_from_the_rig_to_the_plane_its_picture_labels_and_crops(
    rig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, picture, kept, crops = (tmp_path / name for name in ("f.json", "p.png", "kept", "crops"))
    command = ["calibrate", "plane", "--rig", str(rig), "--seed", "1", "--centre-um", "95"]
    command += ["--span-um", "152", "--step-um", "19", "--exposure-ms", "10"]
    command += ["--picture", str(picture), "--json", str(figures), "--out", str(kept), "--crops", str(crops)]
    command += ["--specimen", "slide_a"]
    assert main(command) == 0
    assert "SIMULATED" in capsys.readouterr().out
    (found,) = json.loads(figures.read_text("utf-8"))["stacks"]
    assert found["beads"] >= 2
    assert abs(found["reference_um"] - found["true_um"]) < max(3 * found["sigma_um"], 3.0)
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert drawn.std() > 10
    (stack,) = find_stacks(kept)
    assert stack.name == "slide_a_10ms.ome.tif"
    label = read_label(stack)
    assert label is not None
    assert label.focus_um == pytest.approx(found["reference_um"])
    cut = find_stacks(crops)
    assert len(cut) == found["beads"]
    assert read_stack(cut[0]).images.shape == (9, 64, 64)
    assert read_label(cut[0]) == label
    assert {read_stack(path).specimen for path in cut} == {"slide_a"}, "a split never divides a slide"

    # What was recorded is not written over, nor anything recorded in vain.
    recorded_ns = stack.stat().st_mtime_ns
    assert f"{stack.name}: is there already" in refusal(command[2:], capsys)
    assert stack.stat().st_mtime_ns == recorded_ns
    elsewhere = [*command[2:], "--out", str(tmp_path / "elsewhere")]
    assert f"{cut[0].name}: is there already; name this slide" in refusal(elsewhere, capsys)

    # The same stack, read back, tells the same plane; and gets its label only when asked.
    stack.with_name(stack.name.replace(".ome.tif", ".label.json")).unlink()
    assert main(["calibrate", "plane", "--stacks", str(kept), "--seed", "1", "--json", str(figures)]) == 0
    (again,) = json.loads(figures.read_text("utf-8"))["stacks"]
    assert again["reference_um"] == pytest.approx(found["reference_um"])
    assert again["true_um"] is None
    assert read_label(stack) is None


def refusal(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["calibrate", "plane", *command]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_bad_input_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "either --rig" in refusal([], capsys)
    assert "either --rig" in refusal(["--rig", "beads_sim", "--stacks", str(tmp_path)], capsys)
    assert "--exposure-ms" in refusal(["--stacks", str(tmp_path), "--exposure-ms", "3"], capsys)
    assert "--out are labelled" in refusal(["--rig", "beads_sim", "--label"], capsys)
    assert "not a finite number" in refusal(["--rig", "beads_sim", "--exposure-ms", "inf"], capsys)
    twice = ["--exposure-ms", "3", "--exposure-ms", "3.0"]
    assert "given twice" in refusal(["--rig", "beads_sim", *twice], capsys)
    assert "part of file names" in refusal(["--rig", "beads_sim", "--specimen", "a/b"], capsys)
    assert "--specimen are for" in refusal(["--stacks", str(tmp_path), "--specimen", "a"], capsys)
    assert "PNG" in refusal(["--rig", "beads_sim", "--picture", "plane.xyz"], capsys)
    assert "--fields" in refusal(["--stacks", str(tmp_path), "--fields", "2"], capsys)
    assert "has no stage" in refusal(["--rig", "worm_tracker_sim", "--fields", "2"], capsys)
    told = refusal(["--rig", "worm_tracker_sim", "--out", str(tmp_path / "none")], capsys)
    assert "'worm_tracker_sim' simulates a worm" in told
    assert "beads_sim" in told
    assert not (tmp_path / "none").exists()
    blank = ZStack(np.full((5, 128, 128), 90, np.uint8), np.arange(5) * 10.0)
    write_stack(tmp_path / "blank.ome.tif", blank)
    assert "--um-per-px" in refusal(["--stacks", str(tmp_path)], capsys)
    assert "no beads of 19.0 px" in refusal(["--stacks", str(tmp_path), "--um-per-px", "1.5"], capsys)
    assert "--crop-px" in refusal(["--stacks", str(tmp_path), "--um-per-px", "0.5"], capsys)

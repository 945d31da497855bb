"""`wormfocus beads` from the command line, on drawn beads and networks of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from calibration.label import Label, write_label
from calibration.stack import ZStack, write_stack
from hw.config import load_rig
from training.heads import build
from training.recipe import load_recipe
from training.run import WEIGHTS, RunRecord, write_record
from wormfocus.command import main


def make_run(folder: Path, seed: int, learnt: str = "another slide") -> str:
    torch.manual_seed(seed)
    recipe = load_recipe("bead_crops").model_copy(update={"seed": seed})
    rig = load_rig("beads_sim")
    folder.mkdir()
    record = RunRecord(
        recipe=recipe,
        normalisation=recipe.normalisation,
        optics=rig.optics,
        um_per_step=rig.axis.um_per_step,
        trained_range_um=150,
        stacks=("crops",),
        fingerprint="x",
        split={"train": (learnt,), "validation": (), "test": ()},
        planes=4,
        versions={},
        finished=True,
    )
    write_record(folder, record)
    torch.save(build(recipe).state_dict(), folder / WEIGHTS)
    return str(folder)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """A stack with six beads in two planes and none in the last."""
    rows, columns = np.mgrid[:300, :240]
    planes = np.full((3, 300, 240), 120.0)
    for number in range(6):
        x, y = 60 + 110 * (number % 2), 60 + 90 * (number // 2)
        away = np.hypot(columns - x, rows - y)
        for plane, glow in zip(planes, (60, 100, 0), strict=True):
            if glow:
                plane *= 1 - 0.9 / (1 + np.exp(2 * (away - 9.5)))
                plane += glow * np.exp(-np.square(away) / 8)
    folder = tmp_path / "slides"
    folder.mkdir()
    images = planes.round().astype(np.uint8)
    write_stack(folder / "a.ome.tif", ZStack(images, np.array([-30.0, 0.0, 200.0]), 1.5, "slide_a"))
    write_label(folder / "a.ome.tif", Label(5.0, 0.0, "known"))
    return folder


def test_each_image_is_judged_by_its_beads_and_networks_are_averaged(slides: Path, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, seed) for seed, name in enumerate("pq")]
    told = {}
    for name, given in (("p", runs[:1]), ("q", runs[1:]), ("both", runs)):
        out = tmp_path / f"{name}.json"
        assert main(["beads", *given, "--stacks", str(slides), "--json", str(out)]) == 0
        told[name] = json.loads(out.read_text("utf-8"))
    both = told["both"]
    assert both["networks"] == ["p", "q"]
    assert (both["images"], both["without_beads"], both["judged"]) == (3, 1, 2)
    assert both["too_few_beads"] == 0
    near, far = both["rows"][1], both["rows"][2]
    assert near["found"] == 6
    assert near["error_um"] == pytest.approx(near["offset_um"] - 5.0)
    means = [told[name]["rows"][1]["offset_um"] for name in ("p", "q")]
    assert near["offset_um"] == pytest.approx(np.mean(means), abs=1e-4)
    assert far == {**far, "beads": 0, "offset_um": None, "error_um": None}


def test_a_slide_that_was_learnt_from_tells_no_errors(
    slides: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "p", 0, learnt="slide_a")
    assert main(["beads", run, "--stacks", str(slides), "--json", str(tmp_path / "f.json")]) == 0
    assert "learnt from, so no errors" in capsys.readouterr().out
    assert json.loads((tmp_path / "f.json").read_text("utf-8"))["judged"] == 0


def test_bad_input_is_told_in_a_line(
    slides: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "p", 0)
    write_stack(slides / "b.ome.tif", ZStack(np.zeros((2, 200, 200), np.uint8), np.array([0.0, 1.0])))
    assert main(["beads", run, "--stacks", str(slides)]) == 2
    assert "b: does not say its pixel size" in capsys.readouterr().err
    assert main(["beads", run, "--stacks", str(slides), "--bead-um", "300"]) == 2
    assert "--bead-um" in capsys.readouterr().err
    assert main(["beads", str(tmp_path / "none"), "--stacks", str(slides)]) == 2

import json
from pathlib import Path

import numpy as np
import pytest

from calibration.simulate import StackPlan, simulate_stack
from edge.bundle import check_fits, load_bundle
from hw.config import load_rig
from wormfocus.command import main
from wormfocus.map import BundleJudge


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    """The slide scanner with a small camera, all tissue, and near focus from the start: quick to render."""
    text = Path("hw/rigs/slide_sim.yaml").read_text(encoding="utf-8")
    for shipped, here in (
        ("width_px: 640", "width_px: 160"),
        ("height_px: 480", "height_px: 120"),
        ("search_span_um: 120", "search_span_um: 16"),
        ("start_offset_steps: 150", "start_offset_steps: 10"),
        ("cover: [0.75, 0.95]", "cover: 1"),
        ("hole_share: [0.0, 0.2]", "hole_share: 0"),
        ("tilt_rad: [0.001, 0.0025]", "tilt_rad: 0.001"),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    file = tmp_path / "rig.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_map_is_surveyed_drawn_and_compared(
    rig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, figures = tmp_path / "map", tmp_path / "figures.json"
    arguments = ["map", "--rig", str(rig), "--method", "contrast", "--grid", "3x2", "--seed", "3"]
    arguments += ["--width-um", "1200", "--height-um", "600"]
    assert main([*arguments, "--out", str(out), "--json", str(figures)]) == 0
    assert "SIMULATED 6 points: 0 by one shot, 6 scanned (0 uneven), 0 failed" in capsys.readouterr().out
    result = json.loads(figures.read_text(encoding="utf-8"))
    assert result["notice"] == "SIMULATED"
    assert result["surface"]["loo_rms_um"] < 5
    assert result["seconds"]["scan"] > 5 * result["seconds"]["move"] > 0
    assert (out / "map.png").stat().st_size > 20_000
    # The same command again measures nothing anew.
    before = (out / "points.jsonl").read_bytes()
    assert main([*arguments, "--out", str(out), "--against", str(out / "map.json")]) == 0
    assert (out / "points.jsonl").read_bytes() == before
    assert "against contrast: |error| 0.000 +- 0.000 um at 6 points, 100.0% of its time" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rig", "worm_tracker_sim"], "rig 'worm_tracker_sim' has no stage"),
        (["--rig", "slide_sim", "--grid", "16"], "--grid 16: is no grid"),
        (["--rig", "slide_sim", "--span-dof", "inf"], "not a finite number"),
        (["--rig", "slide_sim", "--width-um", "20000"], "does not fit the stage's travel"),
        (["--rig", "slide_sim", "--bundle", "default"], "does not fit rig 'slide_sim': NA 0.75"),
        (["--rig", "slide_sim", "--against", "nothing.json"], "nothing.json: cannot be read"),
    ],
)
def test_what_cannot_be_surveyed_is_told_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["map", *arguments, "--out", str(tmp_path / "map")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "map").exists()


def test_a_map_of_another_grid_is_told_before_anything_moves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.json"
    other.write_text(
        json.dumps({"rig": "slide_sim", "seed": 0, "places": [[0, 0, -5000.0, -5000.0]], "points": []}),
        encoding="utf-8",
    )
    arguments = ["map", "--rig", "slide_sim", "--method", "contrast", "--grid", "3x2"]
    assert main([*arguments, "--out", str(tmp_path / "map"), "--against", str(other)]) == 2
    assert "the two maps differ in places; compare maps of one slide and one grid" in capsys.readouterr().err
    assert main([*arguments, "--seed", "1", "--out", str(tmp_path / "map"), "--against", str(other)]) == 2
    assert "the two maps differ in seed" in capsys.readouterr().err
    assert not (tmp_path / "map").exists()


def test_the_shipped_bundle_tells_focus_of_slides_it_never_saw() -> None:
    rig = load_rig("slide_sim")
    bundle = load_bundle("slide")
    check_fits(bundle.card, rig)
    judge = BundleJudge(bundle, rig)
    width, height = judge.patch_px
    plan = StackPlan(planes=8, range_um=4.0, window_um=72.0, binned=False)
    true, told = [], []
    for seed in range(900_000, 900_004):
        stack, label = simulate_stack(rig, plan, seed)
        top, left = (stack.images.shape[1] - height) // 2, (stack.images.shape[2] - width) // 2
        for image, position in zip(stack.images, stack.positions_um, strict=True):
            patch = np.ascontiguousarray(image[top : top + height, left : left + width]).astype(np.uint8)
            true.append(label.focus_um - position)
            told.append(judge.judge(patch).offset_um)
    out = np.abs(true) > 1.5
    assert np.mean(np.sign(told)[out] == np.sign(true)[out]) > 0.85
    assert np.median(np.abs(np.array(told) - true)) < 0.8

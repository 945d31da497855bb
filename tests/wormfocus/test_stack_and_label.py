import json

import numpy as np
import pytest

from calibration.stack import ZStack, read_stack, write_stack
from wormfocus.command import main


@pytest.fixture
def recording(tmp_path):
    """Vertical contrast that peaks at 6 um."""
    positions = np.arange(0.0, 21.0, 1.0)
    stripes = np.where(np.arange(32) // 4 % 2, 1.0, -1.0)[:, None] * np.ones(24)
    images = [120 + 100 * np.exp(-((z - 6) ** 2) / 18) * stripes for z in positions]
    path = tmp_path / "recording.ome.tif"
    write_stack(path, ZStack(np.stack(images).astype(np.uint8), positions, 2.0))
    return path


def test_record_label_and_look(recording, tmp_path, capsys):
    out, figures = tmp_path / "stacks", tmp_path / "figures.json"
    arguments = ["stack", "--rig", "replay", "--stack", str(recording), "--out", str(out), "--step-um", "1"]
    assert main([*arguments, "-n", "2", "--json", str(figures)]) == 0
    assert "REPLAYED" in capsys.readouterr().out
    assert main([*arguments, "--specimen", "ann"]) == 0
    names = sorted(p.name for p in out.glob("*.ome.tif"))
    assert names == [f"replay_000{n}.ome.tif" for n in (1, 2, 3)], "numbers go on, nothing is replaced"
    assert [stack["planes"] for stack in json.loads(figures.read_text())["stacks"]] == [21, 21]
    np.testing.assert_array_equal(read_stack(out / names[0]).images, read_stack(recording).images)
    assert read_stack(out / names[0]).specimen == "replay_0001"
    assert read_stack(out / names[2]).specimen == "ann"

    (out / "cut.ome.tif").write_bytes((out / names[0]).read_bytes()[:3000])
    assert main(["label", str(out), "--json", str(figures)]) == 0
    text = capsys.readouterr().out
    assert "3 labelled, 0 kept, 1 refused" in text
    assert "truncated" in text
    result = json.loads(figures.read_text())
    assert (result["labelled"], result["refused"]) == (3, 1)
    assert result["results"][1]["focus_um"] == pytest.approx(6, abs=0.2)
    assert main(["label", str(out)]) == 0
    assert "0 labelled, 3 kept, 1 refused" in capsys.readouterr().out


def test_correct_one_stack_by_hand(recording, tmp_path, capsys):
    figures, picture = tmp_path / "figures.json", tmp_path / "labels.png"
    assert main(["label", str(recording), "--patches", "1x1", "--picture", str(picture)]) == 0
    assert picture.stat().st_size > 5000
    by_hand = ["--set-um", "7.5", "--who", "Ann", "--why", "by eye"]
    assert main(["label", str(recording), *by_hand, "--json", str(figures)]) == 0
    assert "corrected by Ann" in capsys.readouterr().out
    assert json.loads(figures.read_text())["results"][0]["focus_um"] == 7.5
    assert main(["label", str(recording), "--relabel"]) == 0
    assert "1 corrected" in capsys.readouterr().out
    assert main(["label", str(recording), "--leave-out", "--who", "Ann", "--why", "torn"]) == 0
    assert "left out by hand" in capsys.readouterr().out
    assert main(["label", str(recording)]) == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["label", "nowhere"], "no such file or folder"),
        (["label", "{tmp}/cut.ome.tif"], "truncated"),
        (["label", "{tmp}", "--measure", "volath_f5"], "did you mean 'vollath_f5'"),
        (["label", "{tmp}", "--witness", "volath_f4"], "did you mean 'vollath_f4'"),
        (["label", "{tmp}", "--patches", "3"], "rows and columns"),
        (["label", "{tmp}", "--region", "left"], "x,y,width,height"),
        (["label", "{stack}", "--region", "0,0,99,9"], "not inside planes of 24 x 32"),
        (["label", "{stack}", "--set-um", "3"], "give --who and --why"),
        (["label", "{tmp}", "--leave-out", "--who", "a", "--why", "b"], "of one stack"),
        (["label", "{stack}", "--leave-out", "--set-um", "1", "--who", "a", "--why", "b"], "contradict"),
        (["stack", "--rig", "replay", "--out", "{tmp}/o"], "--stack"),
        (["stack", "--rig", "worm_tracker", "--out", "{tmp}/o", "--spacing-um", "3"], "replayed rig only"),
        (["stack", "--rig", "replay", "--stack", "{tmp}/cut.ome.tif", "--out", "{tmp}/o"], "truncated"),
        (["stack", "--rig", "replay", "--stack", "{stack}", "--out", "{tmp}/o", "--span-um", "99"], "limits"),
        (["stack", "--rig", "worm_tracker_sim", "--out", "{tmp}/o", "--centre-um", "nan"], "--centre-um nan"),
        (["stack", "--rig", "worm_tracker_sim", "--out", "{tmp}/o", "--step-um", "inf"], "--step-um inf"),
        (["stack", "--rig", "replay", "--stack", "{stack}", "--out", "{stack}"], "folder"),
    ],
)
def test_bad_input_is_one_line_and_status_2(recording, tmp_path, capsys, arguments, reason):
    (tmp_path / "cut.ome.tif").write_bytes(recording.read_bytes()[:3000])
    filled = [a.format(tmp=tmp_path, stack=recording) for a in arguments]
    assert main(filled) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert reason in lines[0]


def test_a_correction_far_from_the_planes_or_of_a_folder_is_refused_and_a_second_one_names_the_first(
    tmp_path, capsys
):
    stack = tmp_path / "a.ome.tif"
    positions = np.arange(0.0, 50.0, 10.0)
    write_stack(stack, ZStack(np.zeros((5, 8, 8), np.uint8), positions, 1.0))
    said = ["--who", "ann", "--why", "by eye"]
    assert main(["label", str(stack), "--set-um", "100000", *said]) == 2
    assert "far from its planes, 0 to 40 um" in capsys.readouterr().err
    assert main(["label", str(tmp_path), "--set-um", "20", *said]) == 2
    assert "give its file instead of the folder" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.correction.json"))
    assert main(["label", str(stack), "--set-um", "20", *said]) == 0
    assert main(["label", str(stack), "--set-um", "30", "--who", "bob", "--why", "dust"]) == 0
    assert "corrected by bob, instead of ann on " in capsys.readouterr().out

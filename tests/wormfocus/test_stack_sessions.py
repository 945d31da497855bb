"""`wormfocus stack` and `wormfocus dataset` as an operator uses them, and as they are killed."""

import json
import multiprocessing
import signal

import numpy as np
import pytest
import yaml

from calibration.dataset import require_dataset
from calibration.dataset_check import check_stacks
from calibration.stack import ZStack, read_stack, write_stack
from hw.config import load_rig
from wormfocus.command import main

STACKS = 5


@pytest.fixture
def small_rig(tmp_path):
    """The reference rig with a field of 300 by 220 um, lit from one direction."""
    data = load_rig("worm_tracker_sim").model_dump(mode="json", exclude_none=True)
    data["name"] = "small"
    data["camera"] |= {"width_px": 96, "height_px": 72}
    data["optics"]["um_per_px"] = 3.1
    data["simulation"]["optics"] |= {"grid_px": 1, "source_points": 1, "source_points_per_mm": 0}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def small_session(rig, out, *more):
    planes = ["--span-um", "800", "--step-um", "400", "--settle-s", "0.03"]
    return ["stack", "--rig", str(rig), "--out", str(out), "-n", str(STACKS), *planes, *more]


def test_kills_at_random_moments_lose_no_stack_halve_none_and_repeat_none(small_rig, tmp_path, capfd):
    assert main(small_session(small_rig, tmp_path / "whole")) == 0
    out, rng = tmp_path / "killed", np.random.default_rng()
    context = multiprocessing.get_context("forkserver")
    # So that a recording process begins to record at once.
    context.set_forkserver_preload(["wormfocus.command", "calibration.campaign", "hw.simulation.rig"])
    arguments, kills = small_session(small_rig, out), 0
    for _ in range(6):
        process = context.Process(target=main, args=(arguments,))
        process.start()
        process.join(float(rng.uniform(0.2, 1.0)))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        if not (out / "dataset.json").exists():
            continue
        arguments = small_session(small_rig, out, "--resume")
        assert {finding.state for finding in check_stacks(out, require_dataset(out))} <= {"good"}
        for path in out.glob("*.ome.tif"):
            assert len(read_stack(path).images) == 3, "what has the name is whole"
    assert kills >= 2
    assert main(arguments) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "whole").iterdir())
    for path in out.glob("*.ome.tif"):
        uninterrupted = read_stack(tmp_path / "whole" / path.name)
        np.testing.assert_array_equal(read_stack(path).images, uninterrupted.images)
    held = require_dataset(out)
    assert [session.done for session in held.sessions] == [STACKS]
    assert [finding.state for finding in check_stacks(out, held)] == ["good"] * STACKS


@pytest.fixture
def recording(tmp_path):
    positions = np.arange(0.0, 21.0)
    stripes = np.where(np.arange(32) // 4 % 2, 1.0, -1.0)[:, None] * np.ones(24)
    images = [120 + 100 * np.exp(-((z - 6) ** 2) / 18) * stripes for z in positions]
    path = tmp_path / "recording.ome.tif"
    write_stack(path, ZStack(np.stack(images).astype(np.uint8), positions, 2.0))
    return path


@pytest.fixture
def record(recording):
    def run(out, *more):
        return main(["stack", "--rig", "replay", "--stack", str(recording), "--out", str(out), *more])

    return run


def test_two_days_one_data_set_checked(record, tmp_path, capsys):
    out, figures = tmp_path / "data", tmp_path / "figures.json"
    first = ["-n", "3", "--step-um", "1", "--plate", "A", "--note", "fed"]
    assert record(out, *first, "--verify", "--json", str(figures)) == 0
    told = capsys.readouterr().out
    assert "3 stacks, 3 with a focus to be trusted" in told
    assert "3 of 3 stacks are as they were recorded" in told
    row = json.loads(figures.read_text())
    assert (row["with_focus"], row["settle"]["source"], row["verified"]["stacks"]) == (3, "measured", 3)
    assert record(out, "-n", "2", "--step-um", "1", "--plate", "B") == 0
    capsys.readouterr()
    assert record(out, "--resume") == 0
    assert "session 2 is finished, 2 of 2 stacks are there" in capsys.readouterr().out
    assert main(["dataset", str(out), "--json", str(figures)]) == 0
    told = capsys.readouterr().out
    assert "session 1: 3 of 3 stacks, REPLAYED" in told
    assert "plate A, fed, finished" in told
    assert "session 2: 2 of 2 stacks" in told
    assert json.loads(figures.read_text()) == {
        "stacks": 5,
        "sessions": 2,
        "unlisted": 0,
        "states": {"good": 5},
    }
    assert {path.name for path in out.glob("*.png")} == {"session_01.png", "session_02.png"}
    (out / "replay_0002.ome.tif").unlink()
    assert main(["dataset", str(out), "--json", str(figures)]) == 2
    assert json.loads(figures.read_text())["states"] == {"good": 4, "missing": 1}
    out_text, err = capsys.readouterr()
    assert "replay_0002.ome.tif: missing: not there; copy it" in out_text
    assert "1 of 5 stacks are not as they were recorded" in err
    assert len(err.strip().splitlines()) == 1


def test_stacks_beside_their_focus_are_told_apart(record, tmp_path, capsys):
    span = ["--span-um", "8", "--step-um", "1", "--settle-s", "0"]
    assert record(tmp_path / "a", "-n", "2", "--centre-um", "14", *span) == 0
    told = capsys.readouterr().out
    assert "2 stacks are sharpest in their lowest plane: focus is lower; change --centre-um" in told
    assert "2 stacks, 0 with a focus to be trusted" in told


def test_wait_between_stacks(record, tmp_path, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "")
    assert record(tmp_path / "a", "-n", "2", "--wait", "enter", "--settle-s", "0") == 0
    assert [question[:8] for question in asked] == ["stack 1:", "stack 2:"]
    assert record(tmp_path / "b", "-n", "2", "--wait", "5", "--settle-s", "0") == 0

    def nobody(question):
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    assert record(tmp_path / "c", "--wait", "enter", "--settle-s", "0") == 2
    assert "nobody is there to press it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["-n", "-3"], "'--number'"),
        (["--jitter", "0.7"], "'--jitter'"),
        (["--jitter", "-0.1"], "'--jitter'"),
        (["--starts", "0"], "'--starts'"),
        (["--settle-s", "-1"], "'--settle-s'"),
        (["--settle-s", "nan"], "'--settle-s'"),
        (["--span-um", "-5"], "no planes"),
        (["--centre-um", "inf"], "--centre-um inf"),
        (["--wait", "soon"], "neither 'enter' nor a number of seconds"),
        (["--wait", "-1"], "neither 'enter' nor a number of seconds"),
        (["--resume", "--new-session"], "opposites"),
        (["--resume"], "no session to go on with"),
        (["--stack", "nowhere.ome.tif"], "cannot be read"),
    ],
)
def test_what_is_mistyped_is_one_line_and_begins_nothing(record, tmp_path, capsys, more, reason):
    out = tmp_path / "data"
    out.mkdir()
    assert record(out, *more) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert reason in lines[0]
    assert not list(out.iterdir())


def test_folders_that_do_not_fit(record, recording, small_rig, tmp_path, capsys):
    out = tmp_path / "data"
    assert record(out, "--settle-s", "0") == 0
    capsys.readouterr()
    for arguments, reason in (
        (small_session(small_rig, out), "another rig, whose name is replay, not small"),
        (small_session(small_rig, tmp_path / "none", "--resume"), "no such folder"),
        (small_session(small_rig, recording), "cannot be made a folder"),
        (["dataset", str(tmp_path / "none")], "no folder of this name"),
        (["dataset", str(tmp_path)], "no dataset.json in it"),
        (["dataset", str(out), "--plate", "P"], "give --add too"),
        (["dataset", str(out), "--add", "--day", "21.11.26"], "as in 2026-11-21"),
        (["dataset", str(out), "--add"], "nothing to add"),
    ):
        assert main(arguments) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert reason in lines[0]


def test_an_old_folder_gets_a_manifest(recording, tmp_path, capsys):
    out = tmp_path / "old"
    out.mkdir()
    write_stack(out / "a.ome.tif", read_stack(recording))
    assert main(["dataset", str(out), "--add", "--plate", "P", "--day", "2026-11-20", "--note", "old"]) == 0
    assert "session 1: 1 of 1 stacks, 2026-11-20, plate P, old, finished" in capsys.readouterr().out


def test_an_unfinished_session_is_left_only_when_asked(record, tmp_path, capsys, monkeypatch):
    out = tmp_path / "data"
    start = ["-n", "3", "--step-um", "1", "--settle-s", "0"]

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("calibration.campaign.acquire_stack", interrupted)
        assert record(out, *start) not in (0, 2)
    assert require_dataset(out).sessions[0].done == 0
    assert "interrupted: 0 of 3 stacks are safe, the same command goes on" in capsys.readouterr().out
    assert record(out, "-n", "4") == 2
    assert "0 of 3 stacks and was planned with stacks 3, not 4" in capsys.readouterr().err
    assert record(out, "-n", "1", "--settle-s", "0", "--new-session") == 0
    assert [session.done for session in require_dataset(out).sessions] == [0, 1]
    capsys.readouterr()
    assert main(["dataset", str(out)]) == 0
    assert "session 1: 0 of 3 stacks, REPLAYED" in (told := capsys.readouterr().out)
    assert told.count("left unfinished") == told.count(", finished") == 1

"""Sessions of a long run: one after the other, and bounded on the disk."""

import csv
import json

import pytest

from edge import series as series_module
from edge.figures import MOST_TIMES, STAGES, Tally
from edge.focusers import StillFocuser
from edge.loop import run_autofocus
from edge.series import SHARES, SessionSeries
from hw.errors import CameraStalled, ConfigError

LIMIT = 400_000


def record(scene, root, seconds, limit_bytes=LIMIT, **options):
    config = scene.rig.config
    with SessionSeries(root, config, None, "SIMULATED", "none", limit_bytes=limit_bytes) as series:
        figures = run_autofocus(
            scene.rig, StillFocuser(), seconds=seconds, session=series, truth=scene.truth, **options
        )
        series.finish()
    return figures


def size(root):
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def parts(root):
    return sorted(path for path in root.iterdir() if path.is_dir())


def rows(folder):
    with (folder / "frames.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_frame_is_in_one_of_the_sessions_and_each_has_its_own_figures(
    make_scene, tmp_path, monkeypatch
):
    monkeypatch.setattr(series_module, "PART_S", 10.0)
    whole = record(make_scene(20), tmp_path, 35, limit_bytes=10**9)
    folders = parts(tmp_path)
    assert [int(folder.name.split("-")[0]) for folder in folders] == [1, 2, 3, 4]
    indices = [int(row["index"]) for folder in folders for row in rows(folder)]
    assert indices == list(range(whole.frames))
    figures = [json.loads((folder / "figures.json").read_text()) for folder in folders]
    assert sum(part["frames"] for part in figures) == whole.frames
    assert figures[1]["seconds"] == pytest.approx(10, abs=0.1)
    assert figures[1]["rms_error_um_all"] == pytest.approx(whole.rms_error_um_all)
    assert [(folder / "summary.png").exists() for folder in folders] == [False, False, False, True]
    ends = [json.loads((folder / "events.jsonl").read_text().splitlines()[-1]) for folder in folders]
    assert [end["reason"] for end in ends] == ["continued in the next"] * 3 + ["finished"]


def test_the_disk_holds_no_more_than_the_limit_at_any_frame(make_scene, tmp_path):
    sizes = []
    record(make_scene(20), tmp_path, 150, progress=lambda step: sizes.append(size(tmp_path)))
    assert max(sizes) <= LIMIT
    # It is used, too.
    assert max(sizes) > LIMIT * (SHARES - 3) // SHARES
    numbers = [int(folder.name.split("-")[0]) for folder in parts(tmp_path)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert numbers[0] > 1


def test_a_restart_counts_on_and_leaves_what_is_not_its_own(make_scene, tmp_path):
    mine = tmp_path / "monday"
    mine.mkdir()
    (mine / "frames.csv").write_bytes(b"x" * LIMIT)
    for _ in range(2):
        record(make_scene(20), tmp_path, 1)
    assert [folder.name.split("-")[0] for folder in parts(tmp_path)] == ["000001", "000002", "monday"]
    assert (mine / "frames.csv").stat().st_size == LIMIT


def test_a_crash_is_noted_in_the_session_that_was_being_written(make_scene, tmp_path):
    scene = make_scene(20)
    scene.camera.stalls_at_s = 0.4
    with pytest.raises(CameraStalled):
        record(scene, tmp_path, 3)
    (folder,) = parts(tmp_path)
    assert "CameraStalled" in (folder / "events.jsonl").read_text().splitlines()[-1]


def test_a_root_that_is_a_file_is_refused(make_scene, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="name another folder"):
        record(make_scene(20), tmp_path / "file", 1)


def test_the_tally_of_a_run_of_weeks_stays_small(make_scene):
    scene = make_scene(20)
    steps = []
    run_autofocus(scene.rig, scene.network(), seconds=1, truth=scene.truth, progress=steps.append)
    tally = Tally(scene.rig.config)
    for number in range(3 * MOST_TIMES):
        step = steps[number % len(steps)]
        tally.add(step)
    assert all(len(tally._stages[name]._kept) < MOST_TIMES for name in STAGES)
    figures = tally.figures("network", 0.0)
    assert figures.frames == 3 * MOST_TIMES
    short = Tally(scene.rig.config)
    for step in steps:
        short.add(step)
    wanted = short.figures("network", 0.0)
    assert figures.stage_ms["decide"]["median"] == pytest.approx(
        wanted.stage_ms["decide"]["median"], rel=0.05
    )
    assert figures.rms_error_um_all == pytest.approx(wanted.rms_error_um_all, rel=1e-3)
    assert figures.in_focus_fraction_all == pytest.approx(wanted.in_focus_fraction_all, rel=1e-3)

import csv
import json

import numpy as np
import pytest

from edge.focusers import StillFocuser
from edge.loop import run_autofocus
from edge.session import COLUMNS, Session
from edge.summary import draw_summary, read_history
from hw.config import load_rig
from hw.errors import CameraStalled, ConfigError


def rows_of(folder):
    with (folder / "frames.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def events_of(folder):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def recorded(make_scene, tmp_path_factory):
    """A finished session, its scene and its figures."""
    scene = make_scene(250)
    folder = tmp_path_factory.mktemp("recorded") / "session"
    with Session(folder, scene.rig.config, None, "SIMULATED") as session:
        figures = run_autofocus(scene.rig, scene.network(), seconds=3, session=session, truth=scene.truth)
        session.finish(figures)
    return folder, scene, figures


def test_a_row_per_frame_with_everything_that_was_decided(recorded):
    folder, scene, figures = recorded
    rows = rows_of(folder)
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == figures.frames
    assert [int(row["index"]) for row in rows] == list(range(len(rows)))
    assert float(rows[0]["lens_steps"]) == 250
    assert float(rows[0]["offset_um"]) == pytest.approx(-1250, abs=250)
    assert float(rows[0]["decided_s"]) == pytest.approx(0.104)
    assert sum(row["target_steps"] != "" for row in rows) == figures.moves == len(scene.axis.commands)
    assert {row["state"] for row in rows} == {"locking", "locked"}
    assert all(row["true_focus_steps"] == "0.000" for row in rows)


def test_events_are_the_changes_of_state(recorded):
    folder, _, figures = recorded
    events = events_of(folder)
    assert [e["event"] for e in events] == ["start", "state", "state", "end"]
    assert events[0]["notice"] == "SIMULATED"
    assert events[2]["state"] == "locked"
    assert events[2]["clock_s"] - events[0]["clock_s"] == pytest.approx(figures.time_to_lock_s)


def test_the_rig_file_in_it_opens_again(recorded):
    folder, scene, _ = recorded
    assert load_rig(folder / "rig.yaml") == scene.rig.config


def test_figures_and_picture(recorded):
    folder, scene, figures = recorded
    assert json.loads((folder / "figures.json").read_text()) == figures.as_dict()
    assert (folder / "summary.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    history = read_history(folder, scene.rig.config)
    assert figures.stage_ms["log"]["mean"] > 0
    assert history.lens_um[0] == 1250
    assert abs(history.lens_um[-1] - history.truth_um[-1]) < 110


def test_a_folder_in_use_is_refused(recorded):
    folder, scene, _ = recorded
    before = (folder / "frames.csv").read_bytes()
    with pytest.raises(ConfigError, match="never overwritten"):
        Session(folder, scene.rig.config, None)
    assert (folder / "frames.csv").read_bytes() == before


def test_an_empty_folder_will_do_and_a_file_will_not(make_config, tmp_path):
    Session(tmp_path, make_config(), None).close()
    with pytest.raises(ConfigError, match="cannot be made"):
        Session(tmp_path / "rig.yaml", make_config(), None)


def test_a_crash_leaves_every_frame_before_it(make_scene, tmp_path):
    scene = make_scene(250)
    scene.camera.stalls_at_s = 0.4
    folder = tmp_path / "session"
    seen = []
    with pytest.raises(CameraStalled), Session(folder, scene.rig.config, None) as session:
        run_autofocus(scene.rig, scene.network(), seconds=3, session=session, progress=seen.append)
    assert len(rows_of(folder)) == len(seen) > 5
    assert events_of(folder)[-1]["reason"].startswith("CameraStalled")


def test_lines_are_on_disk_while_it_runs(make_scene, tmp_path):
    scene = make_scene(250)
    folder = tmp_path / "session"
    lines = []
    with Session(folder, scene.rig.config, None) as session:
        run_autofocus(
            scene.rig,
            scene.network(),
            seconds=0.5,
            session=session,
            progress=lambda step: lines.append(len(rows_of(folder))),
        )
    assert lines == list(range(1, len(lines) + 1))


@pytest.mark.parametrize("known", [True, False])
def test_the_picture_copes_with_what_is_not_there(make_scene, tmp_path, known):
    scene = make_scene(30)
    folder = tmp_path / "session"
    with Session(folder, scene.rig.config, None) as session:
        truth = scene.truth if known else None
        figures = run_autofocus(scene.rig, StillFocuser(), seconds=0.3, session=session, truth=truth)
        picture = session.finish(figures)
    plain = tmp_path / "plain.png"
    draw_summary(plain, read_history(folder, scene.rig.config), scene.rig.config, figures)
    assert picture.stat().st_size > plain.stat().st_size > 10_000


def test_no_history_without_a_session(make_config, tmp_path):
    with pytest.raises(ConfigError, match="not a session"):
        read_history(tmp_path, make_config())
    Session(tmp_path, make_config(), None).close()
    with pytest.raises(ConfigError, match="no frames"):
        read_history(tmp_path, make_config())


def test_windows_are_copied_out_of_their_frames(make_scene, tmp_path):
    scene = make_scene(0)
    with Session(tmp_path, scene.rig.config, None) as session:

        def spoil(step):
            step.frame.pixels[:] = 0

        figures = run_autofocus(scene.rig, scene.network(), seconds=0.2, session=session, progress=spoil)
        assert figures.frames > 2
        assert session._first is not None
        assert np.ptp(session._first) > 0

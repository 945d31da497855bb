import json
import os
import resource
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from calibration.acquire import move_stage_and_rest
from calibration.campaign import Circumstances, begin, finish, go_on, record
from calibration.contact_sheet import draw_contact_sheet
from calibration.dataset import MANIFEST, Plan, locked, read_dataset, require_dataset, write_dataset
from calibration.dataset_check import adopt, check_stacks, unlisted
from calibration.judged import judge
from calibration.session_plan import draw_places, plan_stacks, stack_positions, start_shifts
from calibration.stack import ZStack, find_stacks, read_stack, write_stack
from hw.clock import VirtualClock
from hw.config import load_rig
from hw.errors import AxisFault, ConfigError, StackError
from hw.rig import open_rig
from hw.simulation.xy_stage import SimulatedXYStage
from hw.stage import StageConfig

SETTLED = Circumstances(plate="P1", note="a note", settle_s=0.03)


class Killed(BaseException):
    """What a program does not survive."""


@pytest.fixture
def recording(tmp_path):
    """Stripes whose contrast peaks at 6 um."""
    positions = np.arange(0.0, 21.0)
    stripes = np.where(np.arange(32) // 4 % 2, 1.0, -1.0)[:, None] * np.ones(24)
    images = [120 + 100 * np.exp(-((z - 6) ** 2) / 18) * stripes for z in positions]
    path = tmp_path / "recording.ome.tif"
    write_stack(path, ZStack(np.stack(images).astype(np.uint8), positions, 2.0))
    return path


@pytest.fixture
def rig(recording):
    with open_rig(load_rig("replay"), stack=recording) as opened:
        yield opened


@pytest.fixture
def config():
    return load_rig("replay")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "data"
    path.mkdir()
    return path


def plan(stacks=3, **other):
    return Plan(stacks=stacks, **({"starts": 1, "step_um": 1.0, "span_um": 12.0} | other))


def recorded(folder, config, rig, stacks=3, said=SETTLED, **other):
    return finish(record(begin(folder, config, rig, plan(stacks, **other), said), lambda n: nullcontext(rig)))


def states(folder):
    return [finding.state for finding in check_stacks(folder, require_dataset(folder))]


def test_a_session_is_written_down_and_every_stack_can_be_checked(folder, config, rig):
    session = recorded(folder, config, rig).session
    assert (session.plate, session.note, session.notice, session.done) == ("P1", "a note", "REPLAYED", 3)
    assert session.finished
    assert session.stacks[0].recorded.positions_um == tuple(np.arange(4.0, 17.0))
    assert int(np.argmax(session.stacks[0].recorded.focus_curve)) == 2
    assert states(folder) == ["good"] * 3
    assert judge(session)[1].focus_um == pytest.approx(6, abs=0.2)
    assert read_stack(folder / "replay_0002.ome.tif").notes["plate"] == "P1"


def test_another_day_is_another_session_of_the_same_data_set(folder, config, rig):
    recorded(folder, config, rig, 2)
    second = recorded(folder, config, rig, 1, Circumstances(plate="P2", settle_s=0.0))
    assert [len(session.stacks) for session in second.dataset.sessions] == [2, 1]
    assert second.session.stacks[0].file == "replay_0003.ome.tif"
    assert second.dataset.id == read_dataset(folder).id
    assert states(folder) == ["good"] * 3


@pytest.mark.parametrize("step", range(12))
def test_a_crash_at_any_step_to_the_disk_loses_nothing(folder, config, rig, monkeypatch, step):
    """Each stack is synced, renamed, its folder synced, and the same again for the manifest."""
    campaign = begin(folder, config, rig, plan(2), SETTLED)
    left = [step]

    def mortal(call):
        def may_die(*arguments):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return call(*arguments)

        return may_die

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", mortal(os.fsync))
        patched.setattr(Path, "replace", mortal(Path.replace))
        with pytest.raises(Killed):
            record(campaign, lambda n: nullcontext(rig))
    before = {path.name: path.stat().st_ino for path in folder.glob("*.ome.tif")}
    assert all(len(read_stack(folder / name).images) == 13 for name in before), "what has the name is whole"
    campaign = record(go_on(folder, config, {}), lambda n: nullcontext(rig))
    assert campaign.session.done == 2
    assert states(folder) == ["good"] * 2
    after = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert sorted(after) == [MANIFEST, "replay_0001.ome.tif", "replay_0002.ome.tif"]
    assert before.items() <= after.items(), "no stack is recorded twice"


def test_a_stack_that_was_finished_at_the_end_counts_in_a_session_that_is_left(
    folder, config, rig, monkeypatch
):
    campaign = begin(folder, config, rig, plan(2), SETTLED)
    with monkeypatch.context() as patched:
        patched.setattr("calibration.campaign.recorded_stack", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            record(campaign, lambda n: nullcontext(rig))
    assert read_dataset(folder).sessions[0].done == 0
    with pytest.raises(StackError, match="last session is unfinished; finish it first"):
        adopt(folder, read_dataset(folder))
    second = begin(folder, config, rig, plan(1), SETTLED)
    assert [session.done for session in second.dataset.sessions] == [1, 0]
    assert second.session.stacks[0].file == "replay_0003.ome.tif"


def test_a_full_disk_is_one_clear_error_and_nothing_is_lost(folder, config, rig):
    big = Plan(stacks=2, starts=1, step_um=1.0)
    campaign = begin(folder, config, rig, big, SETTLED)

    def fill(index, rig):
        if index == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (9000, limits[1]))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(StackError, match=r"0002.*cannot be written \(disk full, .*\); check folder"):
            record(campaign, lambda n: nullcontext(rig), ready=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    files = sorted(path.name for path in folder.iterdir())
    assert files == [MANIFEST, "replay_0001.ome.tif"], "no half a file takes up the room that is missing"
    assert require_dataset(folder).sessions[-1].done == 1
    assert record(go_on(folder, config, {}), lambda n: nullcontext(rig)).session.done == 2
    assert states(folder) == ["good"] * 2


def test_space_is_checked_before_anything_is_begun(folder, config, rig, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, 18 * 10**6))
    with pytest.raises(StackError, match=r"200 stacks of 0\.0303 MB do not fit, 18 MB are free; make space"):
        begin(folder, config, rig, plan(200), SETTLED)
    assert not list(folder.iterdir())


def test_a_session_goes_on_only_as_it_was_planned(folder, config, rig):
    begin(folder, config, rig, plan(4), SETTLED)
    assert go_on(folder, config, {"stacks": 4, "step_um": 1.0, "plate": "P1"}).session.done == 0
    with pytest.raises(ConfigError, match=r"0 of 4 stacks and was planned with step_um 1\.0, not 2\.0"):
        go_on(folder, config, {"step_um": 2.0})
    other = config.model_copy(update={"camera": config.camera.model_copy(update={"fps": 3.0})})
    with pytest.raises(StackError, match="rig file has changed since its last session began"):
        go_on(folder, other, {})


def test_a_folder_of_another_rig_is_refused(folder, config, rig):
    recorded(folder, config, rig, 1)
    other = config.model_copy(update={"optics": config.optics.model_copy(update={"na": 0.3})})
    with pytest.raises(ConfigError, match=r"another rig, whose na is .*, not 0\.3; choose"):
        begin(folder, other, rig, plan(), SETTLED)


def test_a_file_in_the_way_is_neither_taken_nor_replaced(folder, config, rig):
    campaign = begin(folder, config, rig, plan(1), SETTLED)
    foreign = folder / campaign.session.stacks[0].file
    write_stack(foreign, ZStack(np.zeros((3, 4, 4), np.uint8), np.arange(3.0)))
    with pytest.raises(StackError, match="in the way, this session did not record it"):
        go_on(folder, config, {})
    with pytest.raises(StackError, match="appeared while the session ran"):
        record(campaign, lambda n: nullcontext(rig))
    assert len(read_stack(foreign).images) == 3


def test_one_program_at_a_time(folder):
    with (
        locked(folder),
        pytest.raises(StackError, match="another 'wormfocus' works on this folder"),
        locked(folder),
    ):
        pass
    with locked(folder):
        assert read_dataset(folder) is None


def test_three_starts_are_those_of_the_paper():
    np.testing.assert_allclose(-36 + 3 * start_shifts(3), [-37, -36, -35])
    assert start_shifts(1).tolist() == [0.0]


def test_starts_alternate_and_stay_within_the_axis(folder):
    config = load_rig("worm_tracker")
    whole = Plan(stacks=7, step_um=60.0, span_um=9000.0, jitter=0.4)
    stacks = plan_stacks(config, whole, 5, 1)
    assert [entry.start_um for entry in stacks] == [-20.0, 0.0, 20.0, -20.0, 0.0, 20.0, -20.0]
    assert stacks[0].file == "worm_tracker_0005.ome.tif"
    positions = [stack_positions(config, whole, i, entry.start_um) for i, entry in enumerate(stacks)]
    low = config.axis.min_steps + 2 * config.axis.backlash_steps
    assert all(p.min() >= low and p.max() <= config.axis.max_steps for p in positions)
    assert all(np.diff(p).min() >= 1 for p in positions), "motor steps apart, so never two at one place"
    stray = positions[3] - positions[0]
    assert 2 < np.abs(stray).max() < 2 * 0.4 * 60 / 5
    np.testing.assert_array_equal(stack_positions(config, whole, 3, -20.0), positions[3])


def test_planes_closer_than_a_motor_step_are_refused():
    with pytest.raises(StackError, match="closer than a motor step of 5 um"):
        stack_positions(load_rig("worm_tracker"), Plan(stacks=1, span_um=100, step_um=2), 0, 0.0)


STAGE = StageConfig(
    min_x_um=-9000,
    max_x_um=9000,
    min_y_um=-5000,
    max_y_um=5000,
    max_speed_um_s=2000,
    acceleration_um_s2=20000,
    settle_s=0.1,
)


def test_places_do_not_overlap_and_repeat_with_the_seed():
    config = load_rig("worm_tracker").model_copy(update={"stage": STAGE})
    places = np.array(draw_places(config, 8, np.random.default_rng(3)))
    assert places.tolist() == [list(p) for p in draw_places(config, 8, np.random.default_rng(3))]
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))[~np.eye(8, dtype=bool)]
    assert apart.min() >= np.hypot(2028, 1520) * 1.55
    assert (np.abs(places) <= [9000, 5000]).all()
    more = np.array(draw_places(config, 3, np.random.default_rng(4), [tuple(p) for p in places[:4]]))
    assert (
        np.hypot(*(more[:, None] - places[None, :4]).transpose(2, 0, 1)).min() >= np.hypot(2028, 1520) * 1.55
    )
    assert len(draw_places(config, 60, np.random.default_rng(3))) == 60, "closer where they must be"
    with pytest.raises(StackError, match="has no stage"):
        draw_places(load_rig("worm_tracker"), 8, np.random.default_rng(3))


def test_every_stack_is_recorded_at_its_place(folder, config, rig):
    staged = config.model_copy(update={"stage": STAGE})
    rig.stage = SimulatedXYStage(STAGE, rig.clock)
    rig.config = rig.config.model_copy(update={"stage": STAGE})
    at = []
    campaign = begin(folder, staged, rig, plan(3, places=True), SETTLED)
    record(
        campaign,
        lambda n: nullcontext(rig),
        progress=lambda i, plane, planes: at.append((i, rig.stage.position_um, rig.stage.moving)),
    )
    entries = require_dataset(folder).sessions[0].stacks
    assert len({entry.place_um for entry in entries}) == 3
    assert all(not moving and place == pytest.approx(entries[i].place_um) for i, place, moving in at)
    with pytest.raises(AxisFault, match="past its limits"):
        move_stage_and_rest(rig, 1e6, 0)
    finish(campaign := go_on(folder, staged, {}))
    assert campaign.session.done == 3
    further = begin(folder, staged, rig, plan(3, places=True), SETTLED).session.stacks
    assert not {entry.place_um for entry in further} & {entry.place_um for entry in entries}


def test_settle_time_is_measured_once_and_remembered(folder, config, rig):
    said = Circumstances()
    lines = []
    campaign = begin(folder, config, rig, plan(1), said)
    assert campaign.session.settle is None
    campaign = finish(record(campaign, lambda n: nullcontext(rig), tell=lines.append))
    assert campaign.session.settle.source == "measured"
    assert lines[0].startswith("stacks to record: 1, of 13 planes and at most ")
    assert lines[-1].startswith("settle time measured on 5 moves: ")
    assert begin(folder, config, rig, plan(1), said).session.settle == campaign.session.settle
    again = begin(folder, config, rig, plan(1), Circumstances(measure_settle=True))
    assert again.session.settle is None


def test_a_stack_without_focus_is_told_at_once(folder, config, rig):
    """As when the worm has left the field since the stack before."""
    lines = []
    beside = plan(2, centre_um=14.0, span_um=10.0)
    campaign = record(
        begin(folder, config, rig, beside, SETTLED), lambda n: nullcontext(rig), tell=lines.append
    )
    told = [line for line in lines if "no focus to be trusted" in line]
    names = [entry.file for entry in campaign.session.stacks]
    assert [line.split(":")[0] for line in told] == names
    assert "peaks at the end of the range" in told[0]
    assert told[0].endswith("is the specimen still under the lens?")
    lines.clear()
    record(
        begin(folder, config, rig, plan(1), Circumstances(settle_s=0.03)),
        lambda n: nullcontext(rig),
        tell=lines.append,
    )
    assert not any("no focus" in line for line in lines)


def test_what_became_of_the_files_is_told(folder, config, rig):
    recorded(folder, config, rig, 5)
    names = [entry.file for entry in require_dataset(folder).sessions[0].stacks]
    (folder / names[0]).unlink()
    data = bytearray((folder / names[1]).read_bytes())
    data[-1] ^= 1
    (folder / names[1]).write_bytes(data)
    (folder / names[2]).write_bytes(data[:-5])
    shutil.copy(folder / names[4], folder / "more.ome.tif")
    assert states(folder) == ["missing", "changed", "changed", "good", "good"]
    assert [path.name for path in unlisted(folder, require_dataset(folder))] == ["more.ome.tif"]


def test_a_folder_without_a_manifest_can_be_given_one(folder):
    for name in "ab":
        stack = ZStack(np.zeros((3, 4, 4), np.uint8), np.arange(3.0), specimen=name.upper())
        write_stack(folder / f"{name}.ome.tif", stack)
    assert read_dataset(folder) is None
    write_dataset(folder, adopt(folder, None, plate="P", day="2026-01-02"))
    held = require_dataset(folder)
    assert [(s.plate, s.day, e.specimen) for s, e in held.stacks()] == [
        ("P", "2026-01-02", "A"),
        ("P", "2026-01-02", "B"),
    ]
    assert states(folder) == ["good"] * 2
    with pytest.raises(StackError, match="nothing to add"):
        adopt(folder, held)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d | {"version": 9}, "'version'"),
        (lambda d: d | {"colour": 1}, "'colour'"),
        (lambda d: {k: v for k, v in d.items() if k != "id"}, "'id'"),
    ],
)
def test_a_damaged_manifest_is_one_line_that_names_the_key(folder, config, rig, change, reason):
    recorded(folder, config, rig, 1)
    path = folder / MANIFEST
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(StackError, match=reason):
        read_dataset(folder)
    path.write_text("{")
    with pytest.raises(StackError, match="no JSON"):
        read_dataset(folder)


def test_the_picture_shows_every_stack(folder, config, rig):
    campaign = recorded(folder, config, rig, 3)
    path = folder / "session_01.png"
    judged = draw_contact_sheet(path, folder, campaign.session, "REPLAYED replay")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [one.entry.file for one in judged] == [p.name for p in find_stacks(folder)]
    (folder / judged[0].entry.file).write_bytes(b"")
    with pytest.raises(StackError, match="damaged"):
        draw_contact_sheet(path, folder, campaign.session, "")


def test_the_stage_of_no_rig(rig):
    assert isinstance(rig.clock, VirtualClock)
    with pytest.raises(AxisFault, match="has no stage"):
        move_stage_and_rest(rig, 0, 0)

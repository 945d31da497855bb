from pathlib import Path

import numpy as np
import pytest

from calibration.label import read_label
from calibration.measure import vollath_f5
from calibration.simulate import StackPlan, simulate_stack, simulate_stacks
from calibration.stack import find_stacks, read_stack
from hw.config import load_rig
from hw.errors import ConfigError

PLAN = StackPlan(planes=4, range_um=1500, window_um=496, binned=True)


def test_a_simulated_stack_is_sharpest_where_its_label_says() -> None:
    rig = load_rig("worm_tracker_sim")
    plan = StackPlan(planes=21, range_um=400, window_um=496, binned=True)
    for seed in (11, 12):
        stack, label = simulate_stack(rig, plan, seed)
        curve = np.array([vollath_f5(image) for image in stack.images])
        offsets = stack.positions_um - label.focus_um
        near = np.abs(offsets - offsets[curve.argmax()]) <= rig.optics.dof_um / 2
        bend, slope, _ = np.polyfit(offsets[near], curve[near], 2)
        # Noise and the skew of a real peak move the vertex by a few um; planes are about 38 um apart.
        assert -slope / (2 * bend) == pytest.approx(0, abs=10)
        assert stack.images.shape == (21, 160, 160, 3)
        assert stack.um_per_px == pytest.approx(3.1)


def test_offsets_cover_the_range_evenly() -> None:
    stack, label = simulate_stack(load_rig("worm_tracker_sim"), PLAN, 5)
    offsets = np.sort(label.focus_um - stack.positions_um)
    assert np.all(np.floor((offsets + 1500) / 750) == [0, 1, 2, 3])


def test_a_run_that_was_cut_short_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    rig = load_rig("worm_tracker_sim")
    results = simulate_stacks(rig, PLAN, range(3), tmp_path / "a")
    next(results)
    results.close()  # type: ignore[attr-defined]
    first = find_stacks(tmp_path / "a")
    assert len(first) == 1
    written = first[0].stat().st_mtime_ns
    list(simulate_stacks(rig, PLAN, range(3), tmp_path / "a"))
    assert first[0].stat().st_mtime_ns == written
    list(simulate_stacks(rig, PLAN, range(3), tmp_path / "b"))
    for one, other in zip(find_stacks(tmp_path / "a"), find_stacks(tmp_path / "b"), strict=True):
        np.testing.assert_array_equal(read_stack(one).images, read_stack(other).images)
        assert read_label(one) is not None
        assert read_stack(one).specimen == read_stack(other).specimen


def test_a_folder_of_another_plan_is_refused(tmp_path: Path) -> None:
    rig = load_rig("worm_tracker_sim")
    list(simulate_stacks(rig, PLAN, range(1), tmp_path))
    other = StackPlan(planes=5, range_um=1500, window_um=496, binned=True)
    with pytest.raises(ConfigError, match="another plan"):
        list(simulate_stacks(rig, other, range(1), tmp_path))


def test_a_folder_of_an_edited_rig_file_is_refused(tmp_path: Path) -> None:
    rig = load_rig("worm_tracker_sim")
    assert rig.simulation is not None
    optics = rig.simulation.optics.model_copy(update={"na": 0.06})
    edited = rig.model_copy(update={"simulation": rig.simulation.model_copy(update={"optics": optics})})
    assert list(simulate_stacks(rig, PLAN, range(0), tmp_path)) == []
    assert list(simulate_stacks(rig, PLAN, range(0), tmp_path)) == []
    with pytest.raises(ConfigError, match="another version of the rig file"):
        list(simulate_stacks(edited, PLAN, range(0), tmp_path))


def test_a_folder_of_before_the_rig_was_recorded_goes_on_as_it_is(tmp_path: Path) -> None:
    rig = load_rig("worm_tracker_sim")
    old = f"{rig.name} {PLAN}\n"
    (tmp_path / "simulated.txt").write_text(old)
    assert list(simulate_stacks(rig, PLAN, range(0), tmp_path)) == []
    assert (tmp_path / "simulated.txt").read_text() == old


def test_full_frames_have_the_cameras_size() -> None:
    rig = load_rig("worm_tracker_sim")
    small = rig.model_copy(
        update={"camera": rig.camera.model_copy(update={"width_px": 800, "height_px": 600})}
    )
    stack, _ = simulate_stack(small, StackPlan(planes=1, range_um=100, window_um=None, binned=False), 3)
    assert stack.images.shape == (1, 600, 800, 3)
    assert stack.um_per_px == pytest.approx(1.55)


def test_a_slit_lasers_stack_is_grey_shows_the_middle_and_knows_its_focus() -> None:
    rig = load_rig("slit_laser_sim")
    stack, label = simulate_stack(rig, StackPlan(planes=20, range_um=10, window_um=33.6, binned=False), 8)
    assert stack.images.shape == (20, 96, 96)
    assert label.method == "known by construction"
    offsets = np.sort(label.focus_um - stack.positions_um)
    assert np.all(np.floor(offsets + 10) == np.arange(20))
    # Peak over power: its aberrations make the beam tightest a little below focus.
    tight = stack.images.max(axis=(1, 2)) / stack.images.sum(axis=(1, 2), dtype=np.float64)
    assert abs(label.focus_um - stack.positions_um[tight.argmax()]) < 4

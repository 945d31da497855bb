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
    plan = StackPlan(planes=21, range_um=1000, window_um=496, binned=True)
    for seed in (11, 12):
        stack, label = simulate_stack(rig, plan, seed)
        curve = [vollath_f5(image) for image in stack.images]
        sharpest = stack.positions_um[int(np.argmax(curve))]
        assert abs(label.focus_um - sharpest) < 120
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


def test_full_frames_have_the_cameras_size() -> None:
    rig = load_rig("worm_tracker_sim")
    small = rig.model_copy(
        update={"camera": rig.camera.model_copy(update={"width_px": 800, "height_px": 600})}
    )
    stack, _ = simulate_stack(small, StackPlan(planes=1, range_um=100, window_um=None, binned=False), 3)
    assert stack.images.shape == (1, 600, 800, 3)
    assert stack.um_per_px == pytest.approx(1.55)

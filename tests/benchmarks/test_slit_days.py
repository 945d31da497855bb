"""Stacks of days of the slit laser: what they say of themselves, and that a day is an alignment."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from methods.slit_days import RANGES, write_day

from calibration.dataset import require_dataset
from calibration.label import read_label
from calibration.stack import find_stacks, read_stack


def test_a_day_is_recorded_with_its_labels_and_manifest(tmp_path: Path) -> None:
    wanted = RANGES["short"]
    home = write_day(tmp_path, wanted, 3, range(4, 6), 5)
    paths = find_stacks(home)
    assert [path.name for path in paths] == ["day-00003-004.ome.tif", "day-00003-005.ome.tif"]
    for path in paths:
        stack, label = read_stack(path), read_label(path)
        assert label is not None
        assert stack.images.shape == (5, 96, 96)
        # One offset in each fifth of the range, the largest first.
        offsets = label.focus_um - stack.positions_um
        assert np.floor((offsets + 10) / 4).tolist() == [0, 1, 2, 3, 4]
        assert stack.notes["simulated"] == "yes"
    dataset = require_dataset(home)
    assert [session.day for session in dataset.sessions] == ["2026-01-04"]
    assert {entry.specimen for _, entry in dataset.stacks()} == {"day-00003-004", "day-00003-005"}
    before = paths[0].stat().st_mtime_ns
    assert write_day(tmp_path, wanted, 3, range(4, 6), 5) == home
    assert paths[0].stat().st_mtime_ns == before


def test_days_differ_more_than_hours(tmp_path: Path) -> None:
    """A beam near focus, at two hours of a day and on another day."""
    wanted = replace(RANGES["short"], range_um=0.01)

    def near_focus(day: int, number: int) -> np.ndarray:
        path = find_stacks(write_day(tmp_path, wanted, day, range(number, number + 1), 1))[0]
        image = read_stack(path).images[0].astype(float)
        return image / np.linalg.norm(image)

    first, other = near_focus(1, 0), near_focus(1, 1)
    hours = np.linalg.norm(first - other)
    days = [np.linalg.norm(first - near_focus(day, 0)) for day in (2, 3, 4)]
    assert hours < min(days)

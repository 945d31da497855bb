from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hw.errors import StackError
from training.labelled import LabelledStack
from training.recipe import SplitConfig
from training.split import group_specimens, part_of, rows_of, split_specimens

NAMES = [f"worm-{i}" for i in range(2000)]


def test_each_specimen_is_in_one_part_only_and_shares_are_kept():
    parts = split_specimens(NAMES, SplitConfig(validation=0.2, test=0.1))
    assert sorted(name for names in parts.values() for name in names) == sorted(NAMES)
    assert abs(len(parts["validation"]) / 2000 - 0.2) < 0.03
    assert abs(len(parts["test"]) / 2000 - 0.1) < 0.03


def test_more_stacks_move_no_specimen_but_another_seed_does():
    config = SplitConfig()
    few = split_specimens(NAMES[:100], config)
    many = split_specimens(NAMES, config)
    assert all(set(few[part]) <= set(many[part]) for part in few)
    moved = Counter(part_of(n, config) != part_of(n, SplitConfig(seed=1)) for n in NAMES)
    assert moved[True] > 200


def test_of_few_specimens_one_validates_all_the_same():
    config = SplitConfig(validation=0.1, test=0.0)
    # Ten of which none falls to validation by its name.
    few = [name for name in NAMES if part_of(name, config) == "train"][:10]
    parts = split_specimens(few, config)
    assert [len(parts[part]) for part in ("train", "validation", "test")] == [9, 1, 0]
    assert parts == split_specimens(few[::-1], config)
    # No group is divided for it, and the last one is left to learn from.
    groups = {name: f"plate-{number // 5}" for number, name in enumerate(few)}
    config = SplitConfig(by="plate", validation=1e-9, test=0.0)
    parts = split_specimens(few, config, groups)
    assert {groups[name] for name in parts["train"]}.isdisjoint(groups[name] for name in parts["validation"])
    assert len(parts["validation"]) == 5
    assert split_specimens(few[:1], config)["train"] == few[:1]
    assert not split_specimens(few, SplitConfig(validation=0.0, test=0.0))["validation"]


def test_rows_of_one_specimen_stay_together():
    specimen_of_row = np.array([0, 1, 1, 2, 0], np.int32)
    assert rows_of(["a", "b", "c"], specimen_of_row, ["a", "c"]).tolist() == [0, 3, 4]
    assert rows_of(["a", "b", "c"], specimen_of_row, []).tolist() == []


def test_no_plate_is_divided_where_the_split_is_by_plate():
    stacks = [
        LabelledStack(Path(f"{i}.ome.tif"), 0.0, f"worm-{i}", f"plate-{i // 10}", "2026-11-21")
        for i in range(1000)
    ]
    config = SplitConfig(by="plate", validation=0.2, test=0.2)
    parts = split_specimens(NAMES[:1000], config, group_specimens(stacks, config))
    plates = {part: {int(name[5:]) // 10 for name in names} for part, names in parts.items()}
    assert sum(map(len, plates.values())) == len(set.union(*plates.values())) == 100
    assert all(len(parts[part]) == 10 * len(plates[part]) > 50 for part in parts)
    assert group_specimens(stacks, SplitConfig()) == {}


def test_a_split_by_what_nobody_noted_is_refused():
    noted = LabelledStack(Path("a.ome.tif"), 0.0, "worm", "P1", "2026-11-21")
    for other, by, reason in (
        (LabelledStack(Path("b.ome.tif"), 0.0), "plate", "no manifest says this stack's plate"),
        (LabelledStack(Path("b.ome.tif"), 0.0, "", "P1"), "plate", "says no specimen for this stack"),
        (LabelledStack(Path("b.ome.tif"), 0.0, "worm", "P1", "2026-11-22"), "day", "on both sides"),
    ):
        with pytest.raises(StackError, match=reason):
            group_specimens([noted, other], SplitConfig(by=by))

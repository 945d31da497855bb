from collections import Counter

import numpy as np

from training.recipe import SplitConfig
from training.split import part_of, rows_of, split_specimens

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


def test_rows_of_one_specimen_stay_together():
    specimen_of_row = np.array([0, 1, 1, 2, 0], np.int32)
    assert rows_of(["a", "b", "c"], specimen_of_row, ["a", "c"]).tolist() == [0, 3, 4]
    assert rows_of(["a", "b", "c"], specimen_of_row, []).tolist() == []

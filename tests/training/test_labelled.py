"""What training reads from a data set's manifest."""

import pytest

from calibration.dataset import require_dataset, write_dataset
from calibration.dataset_check import adopt
from calibration.stack import read_stack
from hw.errors import StackError
from training.labelled import LabelledStack, collect, fingerprint, specimen_of
from training.prepared import prepare


@pytest.fixture
def folder(tmp_path, fake_stack):
    for seed in range(4):
        fake_stack(tmp_path, seed)
    return tmp_path


def test_a_folder_without_a_manifest_is_read_as_before(folder):
    found = collect([folder], print)
    assert [(s.specimen, s.plate, s.day) for s in found] == [("", "", "")] * 4
    assert [specimen_of(s, read_stack(s.path)) for s in found] == [f"worm-{i}" for i in range(4)]
    bare = [LabelledStack(s.path, s.focus_um) for s in found]
    assert fingerprint(found) == fingerprint(bare)


def test_specimen_plate_and_day_come_from_the_manifest(folder, fake_stack, recipe, tmp_path_factory):
    first = adopt(folder, None, plate="A", day="2026-11-20")
    fake_stack(folder, 4)
    write_dataset(folder, adopt(folder, first, plate="B", day="2026-11-21"))
    found = collect([folder], print)
    assert [(s.plate, s.day) for s in found] == [("A", "2026-11-20")] * 4 + [("B", "2026-11-21")]
    assert found[4].specimen == "worm-4"

    # Somebody found out that two stacks show the same worm: the manifest says so, the stacks stay.
    held = require_dataset(folder)
    session = held.sessions[-1]
    same = session.stacks[0].model_copy(update={"specimen": "worm-3"})
    write_dataset(folder, held.with_last(session.model_copy(update={"stacks": (same,)})))
    again = collect([folder], print)
    assert fingerprint(again) != fingerprint(found)
    data = prepare(again, recipe.input, tmp_path_factory.mktemp("cache"), margin_px=2)
    assert data.specimens == [f"worm-{i}" for i in range(4)]


def test_a_stack_of_another_size_than_listed_is_refused(folder):
    write_dataset(folder, adopt(folder, None))
    path = folder / "stack_002.ome.tif"
    path.write_bytes(path.read_bytes() + b"0")
    with pytest.raises(
        StackError, match=r"stack_002.*not as large as dataset\.json says; run 'wormfocus dataset"
    ):
        collect([folder], print)

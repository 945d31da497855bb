import json

import numpy as np
import pytest

from calibration.correction import add_correction, correction_path, read_correction
from calibration.label import Label, label_path, label_stacks, read_label, write_label
from calibration.peak import NoFocusPeak
from calibration.stack import ZStack, write_stack
from hw.errors import StackError


@pytest.fixture
def stack_path(tmp_path):
    """A stack that is sharpest at 6 um."""
    positions = np.arange(0.0, 21.0, 1.0)
    stripes = np.where(np.arange(32) // 4 % 2, 1.0, -1.0)[:, None] * np.ones(24)
    images = [120 + 100 * np.exp(-((z - 6) ** 2) / 18) * stripes for z in positions]
    path = tmp_path / "a.ome.tif"
    write_stack(path, ZStack(np.stack(images).astype(np.uint8), positions, 2.0))
    return path


def test_a_person_goes_before_the_measure_and_survives_it(stack_path):
    list(label_stacks([stack_path]))
    measured = label_path(stack_path).read_bytes()
    add_correction(stack_path, 8.5, who="Ann", why="the label is that of the dust", sigma_um=0.5)
    label = read_label(stack_path)
    assert (label.focus_um, label.sigma_um, label.method) == (8.5, 0.5, "by hand")
    assert (label.provenance["who"], label.provenance["why"]) == ("Ann", "the label is that of the dust")
    assert label.provenance["when"].startswith("20")
    for relabel in (False, True):
        result = next(label_stacks([stack_path], relabel=relabel))
        assert (result.outcome, result.label) == ("corrected", label)
    assert label_path(stack_path).read_bytes() == measured, "what was measured stays as it was"
    assert read_label(stack_path) == label


def test_every_word_is_kept_and_the_last_counts(stack_path):
    add_correction(stack_path, 8.5, who="Ann", why="by eye")
    add_correction(stack_path, None, who="Bea", why="two worms")
    assert read_correction(stack_path).who == "Bea"
    with pytest.raises(NoFocusPeak, match=r"left out by hand, by Bea on 20.* \(two worms\)"):
        read_label(stack_path)
    result = next(label_stacks([stack_path], relabel=True))
    assert result.outcome == "refused"
    assert "left out by hand" in result.reason
    assert not label_path(stack_path).exists()
    add_correction(stack_path, 7.0, who="Cem", why="one is a shadow")
    assert read_label(stack_path).focus_um == 7
    entries = json.loads(correction_path(stack_path).read_text())
    assert [entry["who"] for entry in entries] == ["Ann", "Bea", "Cem"]


@pytest.mark.parametrize(
    ("focus_um", "who", "why", "reason"),
    [
        (1.0, " ", "x", "give --who and --why"),
        (1.0, "Ann", "", "give --who and --why"),
        (float("nan"), "Ann", "x", "no place"),
    ],
)
def test_no_correction_without_a_name_a_reason_and_a_number(stack_path, focus_um, who, why, reason):
    with pytest.raises(StackError, match=reason):
        add_correction(stack_path, focus_um, who=who, why=why)
    assert not correction_path(stack_path).exists()


def test_a_damaged_file_is_nobodys_word(stack_path):
    with pytest.raises(StackError, match="no such stack"):
        add_correction(stack_path.with_name("b.ome.tif"), 1.0, who="Ann", why="x")
    correction_path(stack_path).write_text('[{"who": "Ann"}]')
    write_label(stack_path, Label(1.0, 0.1, "x"))
    for read in (read_label, read_correction):
        with pytest.raises(StackError, match=r"a\.correction\.json: damaged .* by hand"):
            read(stack_path)
    with pytest.raises(StackError, match="damaged"):
        add_correction(stack_path, 1.0, who="Ann", why="x")
    assert correction_path(stack_path).read_text() == '[{"who": "Ann"}]'

"""What is shown, whose figures count, and the worst of it, with a judge that reads the answer."""

from dataclasses import replace

import numpy as np
import pytest

from edge.bundle import InputSpec
from hw.errors import ConfigError, StackError
from training.evaluate import Answers, figures_of, judge_stacks
from training.judge import Judge
from training.labelled import collect
from training.report_gallery import worst_rows

SPEC = InputSpec(width_px=16, height_px=16, um_per_px=3.1)


def reddish(images):
    """The fake stacks' planes are reddened by a twelfth of their offset; windows of all sizes keep that."""
    means = images.astype(float).mean(axis=(1, 2))
    return 12 * (means[:, 0] - means[:, 1:].mean(axis=1)), None


def found_in(stacks, judge=None, **options):
    judges = {"net": judge or Judge(SPEC, reddish)}
    frames, answers = judge_stacks(judges, stacks, tell=lambda line: None, **options)
    return frames, answers["net"]


def test_every_plane_is_shown_once_for_each_view(stacks):
    labelled = collect([stacks], print)[:3]
    frames, answers = found_in(labelled, full=True, fields_um=[80.0])
    assert len(frames.offset_um) == 3 * 7 * 3
    assert frames.view[:21].tolist() == ["window"] * 7 + ["field 80 um"] * 7 + ["full"] * 7
    assert frames.plane[:7].tolist() == list(range(7))
    assert np.all(np.abs(answers.predicted_um - frames.offset_um) < 150)
    assert not frames.simulated
    assert np.count_nonzero(frames.counted) == 2 * 21
    assert 90 < frames.light.mean() < 160


def test_wider_fields_enter_no_figure_but_their_own(stacks):
    labelled = collect([stacks], print)[:3]
    plain = figures_of(*found_in(labelled), 5, 220)
    frames, answers = found_in(labelled, fields_um=[80.0])
    spoilt = Answers(np.where(frames.counted, answers.predicted_um, 1e4))
    found = figures_of(frames, spoilt, 5, 220)
    assert found["groups"]["view"].pop("field 80 um")["mae_um"] > 9000
    assert found == plain


def test_groups_by_plate_and_day_where_they_are_known(stacks):
    labelled = collect([stacks], print)[:4]
    listed = [
        replace(stack, plate="A" if place < 1 else "B", day="2026-11-20" if place < 3 else "")
        for place, stack in enumerate(labelled)
    ]
    groups = figures_of(*found_in(listed), 5, 220)["groups"]
    assert {name: group["n"] for name, group in groups["plate"].items()} == {"A": 7, "B": 21}
    assert {name: group["n"] for name, group in groups["day"].items()} == {"not listed": 7, "2026-11-20": 21}
    assert "plate" not in figures_of(*found_in(labelled), 5, 220)["groups"]


def test_specimens_that_must_not_be_shown_are_all_named_and_none_is_judged(stacks):
    labelled = collect([stacks], print)
    asked = []

    def spy(images):
        asked.append(len(images))
        return reddish(images)

    never = {"run 'a'": [f"worm-{i}" for i in range(7)], "run 'b'": ["worm-0"]}
    message = (
        r"run 'a' was trained on or validated with 7 of these specimens: 'worm-0', 'worm-1', 'worm-2', "
        r"'worm-3', 'worm-4' and 2 more; run 'b' was trained on or validated with 1 of these specimens"
    )
    with pytest.raises(StackError, match=message):
        found_in(labelled, Judge(SPEC, spy), never=never)
    assert asked == []
    frames, _ = found_in(labelled, skip=never["run 'a'"], only=["worm-6", "worm-7"])
    assert set(frames.specimen) == {"worm-7"}


def test_answers_that_are_no_numbers_are_told(stacks):
    labelled = collect([stacks], print)[:1]
    nothing = Judge(SPEC, lambda images: (np.full(len(images), np.nan), None))
    with pytest.raises(ConfigError, match=r"net: 7 of 7 answers are no numbers; the training diverged"):
        found_in(labelled, nothing)


def test_a_field_wider_than_the_stack_is_refused(stacks):
    with pytest.raises(StackError, match="less than the network's field"):
        found_in(collect([stacks], print)[:1], fields_um=[500.0])


def test_the_worst_rows_are_of_several_specimens():
    errors = np.array([9.0, -8, 7, 6, -5, 1])
    names = np.array(["a", "a", "a", "b", "a", "c"])
    assert worst_rows(errors, names, count=4) == [0, 1, 3, 5]
    assert worst_rows(errors, names, count=2) == [0, 1]
    assert worst_rows(errors, names, count=9, of_one_specimen=1) == [0, 3, 5]

"""Sweeps without Ray: its part, to share runs out, is done here one after the other."""

import csv
import json
from pathlib import Path

import pytest
import torch

from hw.errors import ConfigError
from training.fit import train
from training.recipe import load_recipe
from training.run import load_run, read_record
from training.sweep.space import load_space
from training.sweep.sweep import Asked, run_sweep
from training.sweep.trial import Plan, begin, epochs_done, lineage, mend, snapshot, take_over, train_on

RANDOM = Asked("random", 2, 1, 0)


@pytest.fixture
def short(recipe):
    return recipe.model_copy(update={"samples": 192, "epoch_samples": 64})


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("learning_rate: { log: [1.0e-3, 1.0e-2] }\nweight_decay: { range: [0, 0.1] }\n")
    return load_space(path)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def one_after_the_other(killed_at=None):
    """What `training.sweep.engine.search` does, with one run broken off after an epoch."""

    def search(plan, trials, machines, tell):
        for number, values in trials.items():
            if number == killed_at:
                train_on(plan, number, values, 1)
                raise KeyboardInterrupt
            train_on(plan, number, values)
        return {}

    return search


@pytest.fixture
def swept(short, space, stacks, tmp_path, cache, monkeypatch):
    def sweep(asked=RANDOM, killed_at=None, recipe=short, space=space, lines=None):
        monkeypatch.setattr("training.sweep.sweep.search", one_after_the_other(killed_at))
        tell = (lines if lines is not None else []).append
        return run_sweep(recipe, space, asked, [stacks], tmp_path / "sweep", cache=cache, tell=tell)

    return sweep


def test_every_run_is_an_ordinary_one_and_the_best_recipe_is_written(swept, stacks, tmp_path, cache, space):
    rows, best = swept()
    assert [row["finished"] for row in rows] == [True, True]
    assert rows[0]["mae_um"] <= rows[1]["mae_um"]
    assert best == rows[0]
    for row in rows:
        record = read_record(tmp_path / "sweep" / "trials" / f"{row['trial']:03d}")
        assert row["values"] == space.drawn(0, row["trial"])
        assert record.recipe.learning_rate == row["values"]["learning_rate"]
    with (tmp_path / "sweep" / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in table] == [row["trial"] for row in rows]
    assert float(table[0]["mae_um"]) == rows[0]["mae_um"]
    # The recipe that is written trains the very weights that were best.
    recipe = load_recipe(tmp_path / "sweep" / "best.yaml")
    again = train(recipe, [stacks], tmp_path / "again", cache=cache, tell=print)
    theirs = load_run(tmp_path / "sweep" / "trials" / f"{best['trial']:03d}").network.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in again.network.state_dict().items())


def test_a_sweep_that_broke_off_goes_on_and_ends_the_same(swept, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        swept(killed_at=1)
    trials = tmp_path / "sweep" / "trials"
    first = (trials / "000" / "best.pt").stat()
    assert epochs_done(trials / "001") == 1
    lines = []
    rows, _ = swept(lines=lines)
    assert any("2 runs, 1 to train" in line for line in lines)
    assert (trials / "000" / "best.pt").stat() == first
    assert len((trials / "001" / "metrics.csv").read_text().splitlines()) == 4
    assert all(row["finished"] for row in rows)
    # A random sweep may grow; its first runs stay.
    more, _ = swept(Asked("random", 3, 1, 0))
    assert len(more) == 3
    assert (trials / "000" / "best.pt").stat() == first


def test_another_sweep_in_the_folder_is_refused(swept, short):
    swept()
    other = short.model_copy(update={"batch": 8})
    with pytest.raises(ConfigError, match="holds a sweep with another recipe; give another folder"):
        swept(recipe=other)
    with pytest.raises(ConfigError, match="another asked"):
        swept(Asked("random", 2, 1, 1))


@pytest.mark.parametrize(
    ("text", "asked", "changes", "told"),
    [
        (
            "batch: { choice: [8, 16] }",
            Asked("population", 4, 1, 0),
            {},
            "'batch': cannot change in mid-run",
        ),
        ("learning_rate: { log: [1e-3, 1e-2] }", Asked("population", 1, 1, 0), {}, "two members at least"),
        ("learning_rate: { log: [1e-3, 1e-2] }", Asked("population", 4, 3, 0), {}, "has 3 epochs"),
        (
            "ema_decay: { range: [0.9, 0.99] }",
            Asked("population", 4, 1, 0),
            {"ema_decay": None},
            "'ema_decay': is null",
        ),
        (
            "learning_rate: { log: [1e-3, 1e-2] }",
            Asked("population", 4, 1, 0),
            {"max_minutes": 5.0},
            "max_minutes ends runs at different epochs",
        ),
        (
            "batch: { choice: [8, 9999] }",
            Asked("grid", 1, 1, 0),
            {},
            "with batch 9999: epoch_samples 64 is less",
        ),
    ],
)
def test_what_cannot_be_swept_is_told_before_anything_is_trained(
    swept, short, tmp_path, text, asked, changes, told
):
    path = tmp_path / "other.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        swept(asked, recipe=short.model_copy(update=changes), space=load_space(path))
    assert not (tmp_path / "sweep").exists()


@pytest.fixture
def pair(short, stacks, tmp_path, cache):
    """Two members of a population after one of three epochs, with much and with little weight decay."""
    plan = Plan(short, (stacks,), tmp_path, cache)
    (tmp_path / "trials").mkdir()
    values = [{"learning_rate": 5e-3, "weight_decay": 0.1}, {"learning_rate": 1e-3, "weight_decay": 0.0}]
    for number in (0, 1):
        begin(plan, number, values[number])
        assert not train_on(plan, number, values[number], 1)
    return plan


def test_a_member_goes_on_from_anothers_weights_with_values_of_its_own(pair, tmp_path):
    donor = tmp_path / "trials" / "000"
    values = {"learning_rate": 6e-3, "weight_decay": 0.02}
    with snapshot(pair, 0) as state:
        best = (state / "best.ckpt").read_bytes()
        take_over(pair, 1, state, values)
    member = tmp_path / "trials" / "001"
    assert (member / "best.ckpt").read_bytes() == best
    assert read_record(member).recipe.learning_rate == 6e-3
    assert [line["weights_of_trial"] for line in lineage(member)] == [None, 0]
    assert lineage(member)[1] == {"from_epoch": 1, "weights_of_trial": 0, "values": values}
    assert train_on(pair, 1, values)
    run = load_run(member)
    assert run.record.finished
    theirs, ours = ((run / "metrics.csv").read_text().splitlines() for run in (donor, member))
    assert ours[:2] == theirs
    assert [line.partition(",")[0] for line in ours] == ["epoch", "0", "1", "2"]
    last = torch.load(member / "last.ckpt", weights_only=False)
    assert [group["weight_decay"] for group in last["optimizer_states"][0]["param_groups"]] == [0.02, 0.0]


def test_a_member_that_only_rested_keeps_its_state(pair, tmp_path):
    last = (tmp_path / "trials" / "001" / "last.ckpt").read_bytes()
    with snapshot(pair, 1) as state:
        take_over(pair, 1, state, {"learning_rate": 1.0, "weight_decay": 1.0})
    assert (tmp_path / "trials" / "001" / "last.ckpt").read_bytes() == last
    assert read_record(tmp_path / "trials" / "001").recipe.learning_rate == 1e-3


@pytest.mark.parametrize("renames", [0, 1])
def test_a_kill_while_taking_over_leaves_the_one_state_or_the_other(pair, tmp_path, monkeypatch, renames):
    real, done = Path.rename, []

    def killed(self, target):
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(target)
        return real(self, target)

    before = (tmp_path / "trials" / "001" / "last.ckpt").read_bytes()
    monkeypatch.setattr(Path, "rename", killed)
    with snapshot(pair, 0) as state, pytest.raises(KeyboardInterrupt):
        take_over(pair, 1, state, {"learning_rate": 6e-3, "weight_decay": 0.02})
    monkeypatch.undo()
    mend(pair, 1)
    assert (tmp_path / "trials" / "001" / "last.ckpt").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == ["000", "001"]


def test_a_damaged_note_of_what_was_asked_is_told(swept, tmp_path):
    (tmp_path / "sweep" / "trials").mkdir(parents=True)
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps({"recipe": {}}))
    with pytest.raises(ConfigError, match=r"sweep\.json: damaged"):
        swept()

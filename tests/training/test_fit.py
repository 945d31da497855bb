import csv
import json

import pytest
import torch

from hw.errors import ConfigError, StackError
from training.evaluate import evaluate
from training.fit import train
from training.judge import judge_of_run
from training.labelled import collect
from training.run import load_run, read_record


def test_a_run_learns_and_keeps_what_it_learnt(recipe, stacks, tmp_path, cache):
    lines = []
    run = train(recipe, [stacks], tmp_path, cache=cache, tell=lines.append)
    with (tmp_path / "metrics.csv").open() as file:
        epochs = list(csv.DictReader(file))
    assert [row["epoch"] for row in epochs] == ["0", "1", "2", "3"]
    assert float(epochs[-1]["loss"]) < 0.7 * float(epochs[0]["loss"])
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    assert evaluation["test"]["mae_um"] < 150
    assert evaluation["test"]["sign_error_rate"] < 0.1
    assert set(evaluation["test"]["groups"]["view"]) == {"full", "window"}
    # What a caller loads later is this very network, and judging the stacks anew finds the same figures.
    again = load_run(tmp_path)
    figures = evaluate(
        judge_of_run(again),
        collect([stacks], print),
        again.record.um_per_step,
        again.record.optics.dof_um,
        only=again.split["test"],
        never=again.split["train"],
        full=True,
    )
    assert figures["mae_um"] == pytest.approx(evaluation["test"]["mae_um"], rel=1e-4)
    assert figures["n"] == evaluation["test"]["n"]
    assert run.record.finished
    assert run.record.trained_range_um == pytest.approx(600, abs=60)
    assert run.sigma_factor > 0
    with pytest.raises(StackError, match="was trained on"):
        evaluate(judge_of_run(again), collect([stacks], print), 5, 220, never=again.split["train"])
    # A finished run is not trained again.
    train(recipe, [stacks], tmp_path, cache=cache, tell=lines.append)
    assert "nothing to do" in lines[-1]


def test_a_resumed_run_ends_as_an_uninterrupted_one(recipe, stacks, tmp_path, cache):
    recipe = recipe.model_copy(update={"samples": 192, "epoch_samples": 64})
    through = train(recipe, [stacks], tmp_path / "a", cache=cache, tell=lambda line: None)
    for _ in range(3):
        broken = train(
            recipe, [stacks], tmp_path / "b", cache=cache, tell=lambda line: None, stop_after_epochs=1
        )
    assert broken is not None
    theirs = broken.network.state_dict()
    for name, value in through.network.state_dict().items():
        assert torch.equal(value, theirs[name]), name
    first, second = ((tmp_path / run / "metrics.csv").read_text().splitlines() for run in "ab")
    minutes = first[0].split(",").index("minutes")
    strip = [[c for i, c in enumerate(line.split(",")) if i != minutes] for line in first]
    assert strip == [[c for i, c in enumerate(line.split(",")) if i != minutes] for line in second]


def test_a_sitting_that_ended_early_is_no_finished_run(recipe, stacks, tmp_path, cache):
    ended = train(recipe, [stacks], tmp_path, cache=cache, tell=lambda line: None, stop_after_epochs=1)
    assert ended is None
    assert not read_record(tmp_path).finished
    with pytest.raises(ConfigError, match="has not finished"):
        load_run(tmp_path)
    # With the time up it finishes with what it has; anything else would be another run.
    shorter = recipe.model_copy(update={"max_minutes": 1e-6})
    run = train(shorter, [stacks], tmp_path, cache=cache, tell=lambda line: None)
    assert run is not None
    with (tmp_path / "metrics.csv").open() as file:
        assert [int(row["images"]) for row in csv.DictReader(file)] == [320]
    other = recipe.model_copy(update={"learning_rate": 1e-4})
    with pytest.raises(ConfigError, match="another recipe"):
        train(other, [stacks], tmp_path, cache=cache, tell=lambda line: None)


def test_time_limit_ends_the_schedule(recipe, stacks, tmp_path, cache):
    recipe = recipe.model_copy(update={"samples": 10_000_000, "max_minutes": 2 / 60, "epoch_samples": 6400})
    run = train(recipe, [stacks], tmp_path, cache=cache, tell=lambda line: None)
    assert run is not None
    with (tmp_path / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert 0.03 <= float(last["minutes"]) < 0.2
    assert float(last["learning_rate"]) < 0.05 * recipe.learning_rate
    # What the run took is in its record.
    assert run.record.images_seen == int(last["images"])
    assert run.record.minutes == float(last["minutes"])


@pytest.mark.parametrize("limit", [{"samples": 64}, {"samples": 10_000_000, "max_minutes": 1 / 60}])
def test_a_run_killed_while_finishing_is_only_finished(recipe, stacks, tmp_path, cache, monkeypatch, limit):
    recipe = recipe.model_copy(update={"epoch_samples": 64, **limit})

    def killed(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.fit.finish", killed)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, [stacks], tmp_path, cache=cache, tell=lambda line: None)
    log, last = ((tmp_path / name).read_bytes() for name in ("metrics.csv", "last.ckpt"))
    run = train(recipe, [stacks], tmp_path, cache=cache, tell=lambda line: None)
    assert run is not None
    assert run.record.finished
    assert ((tmp_path / "metrics.csv").read_bytes(), (tmp_path / "last.ckpt").read_bytes()) == (log, last)


def test_head_without_deviation(recipe, stacks, tmp_path, cache):
    loss = recipe.loss.model_copy(update={"kind": "smooth_l1"})
    recipe = recipe.model_copy(update={"head": "offset", "loss": loss, "samples": 64, "epoch_samples": 64})
    run = train(recipe, [stacks], tmp_path, cache=cache, tell=lambda line: None)
    offsets_um, sigmas_um = run.predict(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    assert offsets_um.shape == (2,)
    assert sigmas_um is None

"""Fine-tuning from a finished run: what is kept, what is refused, and what is remembered of it."""

import json

import pytest
import torch

from hw.errors import ConfigError
from training.fit import train
from training.freezing import first_layers
from training.run import load_run, read_record
from training.transfer import check_unseen, fine_tuning, parent_of


def quiet(line):
    pass


@pytest.fixture(scope="module")
def small(recipe):
    return recipe.model_copy(update={"samples": 320, "epoch_samples": 160})


@pytest.fixture(scope="module")
def parent(small, stacks, tmp_path_factory, cache):
    return train(small, [stacks], tmp_path_factory.mktemp("parent"), cache=cache, tell=quiet)


@pytest.fixture(scope="module")
def new_stacks(tmp_path_factory, fake_stack):
    folder = tmp_path_factory.mktemp("new")
    for seed in range(100, 106):
        fake_stack(folder, seed)
    return folder


def tuned(parent, **more):
    """The recipe that fine-tunes a run, long enough to move its weights."""
    return fine_tuning(parent.recipe, parent.folder).model_copy(
        update={"samples": 128, "epoch_samples": 64, "learning_rate": 5e-3, **more}
    )


def test_frozen_layers_and_their_statistics_stay_and_all_else_learns(parent, new_stacks, tmp_path, cache):
    frozen = 6
    run = train(tuned(parent, freeze=frozen), [new_stacks], tmp_path, cache=cache, tell=quiet)
    before, after = parent.network.state_dict(), run.network.state_dict()
    kept = first_layers(run.network, frozen)
    names = {name for name, module in run.network.named_modules() if module in kept}
    assert any(name.endswith("running_var") and name.rpartition(".")[0] in names for name in after)
    for name, value in after.items():
        same = torch.equal(value, before[name])
        if name.rpartition(".")[0] in names:
            assert same, name
        elif not name.endswith("num_batches_tracked"):
            assert not same, name


def test_a_run_remembers_what_it_was_fine_tuned_from(parent, new_stacks, tmp_path, cache):
    lines = []
    recipe = tuned(parent)
    run = train(recipe, [new_stacks], tmp_path / "a", cache=cache, tell=lines.append)
    # Of six specimens, none falls to the tenth that validates; one does so all the same.
    assert any("5 specimens to learn from" in line and "1 to validate, 0 to test" in line for line in lines)
    record = read_record(tmp_path / "a")
    assert record.normalisation == parent.record.normalisation
    assert record.trained_range_um >= parent.record.trained_range_um
    (ancestor,) = record.ancestors
    assert (ancestor.role, ancestor.folder, ancestor.recipe) == ("weights", str(parent.folder), "tiny")
    assert set(ancestor.trained) == set(parent.split["train"])
    assert set(ancestor.validated) == set(parent.split["validation"])
    assert run.learnt == parent.learnt | set(run.split["train"]) | set(run.split["validation"])
    # A grandchild knows them all.
    child = train(tuned(run), [new_stacks], tmp_path / "b", cache=cache, tell=quiet)
    assert child.learnt == run.learnt
    assert child.trained >= set(parent.split["train"])
    assert child.fingerprints == {parent.fingerprint, run.fingerprint}
    assert child.recipe.name == "tiny_fine_tuned"


def test_a_resumed_fine_tuning_ends_as_an_uninterrupted_one(parent, new_stacks, tmp_path, cache):
    recipe = tuned(parent, freeze=4)
    through = train(recipe, [new_stacks], tmp_path / "a", cache=cache, tell=quiet)
    assert train(recipe, [new_stacks], tmp_path / "b", cache=cache, tell=quiet, stop_after_epochs=1) is None
    broken = train(recipe, [new_stacks], tmp_path / "b", cache=cache, tell=quiet)
    theirs = broken.network.state_dict()
    for name, value in through.network.state_dict().items():
        assert torch.equal(value, theirs[name]), name


def test_a_parent_that_changed_is_not_gone_on_from(parent, new_stacks, tmp_path, cache):
    recipe = tuned(parent)
    assert train(recipe, [new_stacks], tmp_path, cache=cache, tell=quiet, stop_after_epochs=1) is None
    record = read_record(tmp_path)
    ancestor = record.ancestors[0].model_copy(update={"weights_sha256": "0" * 64})
    (tmp_path / "run.json").write_text(record.model_copy(update={"ancestors": (ancestor,)}).model_dump_json())
    with pytest.raises(ConfigError, match="begun with other runs to learn from"):
        train(recipe, [new_stacks], tmp_path, cache=cache, tell=quiet)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "focusnet_tiny"}, "its network is 'tiny_for_tests' and the recipe's 'focusnet_tiny'"),
        ({"scale_um": 30.0}, r"its scale_um is 500\.0 and the recipe's 30\.0"),
        ({"input": {"width_px": 24}}, "its input is width_px=32.*the recipe's width_px=24"),
        ({"head": "offset"}, "its head is 'offset_sigma' and the recipe's 'offset'"),
        ({"normalisation": {"mean": (0, 0, 0), "std": (1, 1, 1)}}, "normalised otherwise"),
    ],
)
def test_a_run_of_something_else_is_refused(parent, change, message):
    recipe = tuned(parent)
    merged = recipe.model_dump() | change
    if "input" in change:
        merged["input"] = recipe.input.model_dump() | change["input"]
    if "head" in change:
        merged["loss"] = recipe.loss.model_dump() | {"kind": "smooth_l1"}
    with pytest.raises(ConfigError, match=message):
        parent_of(type(recipe).model_validate(merged))


def test_freezing_random_weights_or_all_layers_is_refused(small, parent, new_stacks, tmp_path, cache):
    with pytest.raises(ConfigError, match="4 layers would keep random weights; name the run"):
        train(small.model_copy(update={"freeze": 4}), [new_stacks], tmp_path, cache=cache, tell=quiet)
    with pytest.raises(ConfigError, match="nothing would learn; freeze fewer"):
        train(tuned(parent, freeze=99), [new_stacks], tmp_path, cache=cache, tell=quiet)
    # The folder is free for the next try.
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match=r"is .* a training run"):
        parent_of(small.model_copy(update={"weights": tmp_path.parent}))


def test_what_the_parent_learnt_from_neither_validates_nor_tests(parent, stacks, tmp_path, cache):
    other = parent.recipe.split.model_copy(update={"seed": 5})
    with pytest.raises(ConfigError, match=r"has learnt from \d+ of the specimens that validation and test"):
        train(tuned(parent, split=other), [stacks], tmp_path, cache=cache, tell=quiet)
    (ancestor,) = train(
        tuned(parent, split=parent.recipe.split), [stacks], tmp_path, cache=cache, tell=quiet
    ).record.ancestors
    validated = ancestor.validated[:1]
    check_unseen({"train": (), "validation": validated, "test": ()}, [ancestor])
    with pytest.raises(ConfigError, match="has learnt from 1 of the specimens"):
        check_unseen({"train": (), "validation": (), "test": validated}, [ancestor])


def test_the_usual_recipe_is_ten_times_smaller(small, tmp_path):
    whole = small.model_copy(update={"max_minutes": 20.0, "samples": 100_000, "pretrained": True})
    recipe = fine_tuning(whole, tmp_path)
    assert recipe.learning_rate == pytest.approx(small.learning_rate / 10)
    assert (recipe.samples, recipe.epoch_samples, recipe.max_minutes) == (10_000, 16, 2.0)
    # As many steps make up the same share of the run.
    assert recipe.ema_decay == pytest.approx(small.ema_decay**10)
    assert (recipe.split.validation, recipe.split.test) == (0.1, 0.0)
    assert not recipe.pretrained
    assert recipe.weights == tmp_path


def test_the_record_of_an_older_run_still_loads(parent, tmp_path):
    document = json.loads((parent.folder / "run.json").read_text())
    for key in ("ancestors",):
        del document[key]
    for key in ("freeze", "teacher"):
        del document["recipe"][key]
    (tmp_path / "run.json").write_text(json.dumps(document))
    (tmp_path / "best.pt").write_bytes((parent.folder / "best.pt").read_bytes())
    assert load_run(tmp_path).learnt == parent.learnt

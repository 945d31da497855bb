import json

import numpy as np
import pytest

from calibration.stack import read_stack
from edge.bundle import AncestorRecord, Predictor, load_bundle, write_bundle
from training.run import load_run
from wormfocus.command import main

RECIPE = """\
name: quick
network: focusnet_small
input: { width_px: 32, height_px: 32, um_per_px: 3.1 }
split: { validation: 0.3, test: 0.3 }
samples: 32
epoch_samples: 32
batch: 16
"""


def test_train_then_evaluate(stacks, tmp_path, capsys):
    recipe, run, figures = tmp_path / "quick.yaml", tmp_path / "run", tmp_path / "figures.json"
    recipe.write_text(RECIPE)
    train = ["train", "--recipe", str(recipe), "--stacks", str(stacks), "--out", str(run)]
    assert main([*train, "--cache", str(tmp_path / "cache"), "--json", str(figures)]) == 0
    trained = json.loads(figures.read_text())
    assert trained["test"]["n"] > 0

    judge = ["evaluate", "--run", str(run), "--stacks", str(stacks)]
    assert main([*judge, "--json", str(figures)]) == 0
    found = json.loads(figures.read_text())
    assert found["split"] == "test"
    assert found["mae_um"] == pytest.approx(trained["test"]["mae_um"], rel=1e-4)

    capsys.readouterr()
    assert main([*judge, "--split", "all"]) == 2
    assert "was trained on" in capsys.readouterr().err
    held = load_run(run).split["validation"]
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    for path in stacks.iterdir():
        if f"worm-{int(path.name[1:3])}" in held:
            (chosen / path.name).write_bytes(path.read_bytes())
    part = ["evaluate", "--run", str(run), "--stacks", str(chosen)]
    assert main(part) == 2
    assert "validated with" in capsys.readouterr().err
    assert main([*part, "--split", "validation"]) == 0
    assert main([*judge, "--split", "all", "--seen", "--json", str(figures)]) == 0
    assert json.loads(figures.read_text())["n"] == 48


def test_fine_tune_then_evaluate(stacks, tmp_path, capsys):
    recipe, parent, run = tmp_path / "quick.yaml", tmp_path / "parent", tmp_path / "run"
    recipe.write_text(RECIPE)
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, wanted in ((old, range(8)), (new, range(8, 12))):
        folder.mkdir()
        for number in wanted:
            for path in stacks.glob(f"s{number:02d}.*"):
                (folder / path.name).write_bytes(path.read_bytes())
    cache = ["--cache", str(tmp_path / "cache")]
    assert main(["train", "--recipe", str(recipe), "--stacks", str(old), "--out", str(parent), *cache]) == 0
    tune = ["train", "--from", str(parent), "--freeze", "5", "--stacks", str(new), "--out", str(run), *cache]
    assert main(tune) == 0
    found = load_run(run)
    assert (found.recipe.name, found.recipe.freeze) == ("quick_fine_tuned", 5)
    assert found.record.normalisation == load_run(parent).record.normalisation
    assert main(tune) == 0
    assert "nothing to do" in capsys.readouterr().out
    # What the parent learnt from is no test of the child.
    judge = ["evaluate", "--run", str(run), "--split", "all", "--stacks"]
    assert main([*judge, str(old)]) == 2
    assert "run 'run' was trained on or validated with" in capsys.readouterr().err
    unseen = tmp_path / "unseen"
    unseen.mkdir()
    for path in old.iterdir():
        if path.is_file() and f"worm-{int(path.name[1:3])}" in load_run(parent).split["test"]:
            (unseen / path.name).write_bytes(path.read_bytes())
    assert main([*judge, str(unseen)]) == 0
    # A recipe of its own has to be for the same network, and to say once what it starts from.
    recipe.write_text(RECIPE.replace("focusnet_small", "focusnet_tiny"))
    other = ["--recipe", str(recipe), "--stacks", str(new), "--out", str(tmp_path / "other"), *cache]
    assert main(["train", "--from", str(parent), *other]) == 2
    assert "its network is 'focusnet_small' and the recipe's 'focusnet_tiny'" in capsys.readouterr().err
    recipe.write_text(RECIPE + f"weights: {parent}\n")
    assert main(["train", "--from", str(parent), *other]) == 2
    assert "starts from its 'weights' and --from" in capsys.readouterr().err
    assert main(["train", "--freeze", "3", "--stacks", str(new), "--out", str(tmp_path / "other")]) == 2
    assert "freeze: 3 layers would keep random weights" in capsys.readouterr().err
    assert main(["train", "--from", str(new), "--stacks", str(new), "--out", str(tmp_path / "other")]) == 2
    assert "a training run?" in capsys.readouterr().err


def test_a_bundle_is_judged_by_the_code_of_the_rig(stacks, bundle, tmp_path, capsys):
    figures = tmp_path / "figures.json"
    judge = ["evaluate", "--bundle", str(bundle), "--stacks", str(stacks)]
    assert main(judge) == 2
    assert "was trained on these stacks" in capsys.readouterr().err
    assert main([*judge, "--split", "test"]) == 2
    assert "give its run too" in capsys.readouterr().err
    assert main([*judge, "--seen", "--json", str(figures)]) == 0
    predictor = Predictor(load_bundle(bundle))
    errors = []
    for path in sorted(stacks.glob("*.ome.tif")):
        stack = read_stack(path)
        # Twice as fine as the network's input: its 12x8 pixels are 24x16 of the stack's, around the centre.
        for plane, position_um in zip(stack.images[:, 10:26, 6:30], stack.positions_um, strict=True):
            errors.append(abs(predictor.predict(plane).offset_um - (50 - position_um)))
    assert json.loads(figures.read_text())["mae_um"] == pytest.approx(np.mean(errors), rel=1e-6)


def test_a_bundle_is_not_judged_on_what_it_was_fine_tuned_from(stacks, bundle, tmp_path, capsys):
    made = load_bundle(bundle)
    training = made.card.training
    ancestor = AncestorRecord(
        role="weights",
        recipe="first",
        architecture="resnet18",
        fingerprint="5" * 64,
        earlier=(training.fingerprint,),
        specimens=8,
        seed=0,
        weights_sha256="a" * 64,
    )
    tuned = training.model_copy(update={"fingerprint": "6" * 64, "ancestors": (ancestor,)})
    path = tmp_path / "tuned.tflite"
    write_bundle(path, made.flatbuffer, made.card.model_copy(update={"training": tuned, "name": "tuned"}))
    assert main(["evaluate", "--bundle", str(path), "--stacks", str(stacks)]) == 2
    assert "bundle 'tuned' was trained on these stacks" in capsys.readouterr().err
    plain = training.model_copy(update={"fingerprint": "6" * 64})
    other = tmp_path / "plain.tflite"
    write_bundle(other, made.flatbuffer, made.card.model_copy(update={"training": plain, "name": "plain"}))
    assert main(["compare", str(other), str(path), "--stacks", str(stacks)]) == 2
    assert "bundle 'tuned' was trained on these stacks" in capsys.readouterr().err
    assert main(["info", str(path)]) == 0
    assert "from a run of recipe 'first', resnet18, that had learnt from 8" in capsys.readouterr().out


def test_nothing_to_judge_is_told(stacks, capsys):
    assert main(["evaluate", "--stacks", str(stacks)]) == 2
    assert "give --bundle" in capsys.readouterr().err

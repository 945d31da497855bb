import json

import numpy as np
import pytest

from calibration.stack import read_stack
from edge.bundle import Predictor, load_bundle
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


def test_nothing_to_judge_is_told(stacks, capsys):
    assert main(["evaluate", "--stacks", str(stacks)]) == 2
    assert "give --bundle" in capsys.readouterr().err

import hashlib
import json
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.label import Label, write_label
from calibration.stack import ZStack, read_stack, write_stack
from edge.bundle import FocusCard, Predictor, load_bundle, write_bundle
from training.labelled import collect, fingerprint
from training.run import load_run
from wormfocus.command import main

NETWORK = Path(__file__).parents[1] / "edge" / "networks" / "tint_float32.tflite"
RECIPE = """\
name: quick
network: focusnet_small
input: { width_px: 32, height_px: 32, um_per_px: 3.1 }
split: { validation: 0.3, test: 0.3 }
samples: 32
epoch_samples: 32
batch: 16
"""


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stacks")
    rng = np.random.default_rng(0)
    for number in range(12):
        planes = [
            cv2.GaussianBlur(rng.integers(0, 256, (36, 36, 3), np.uint8), (0, 0), 1 + z) for z in range(4)
        ]
        path = folder / f"s{number:02d}.ome.tif"
        write_stack(path, ZStack(np.stack(planes), np.array([-400.0, -100, 200, 500]), 3.1, f"worm-{number}"))
        write_label(path, Label(50.0, 1.0, "made up"))
    return folder


@pytest.fixture
def bundle(stacks, tmp_path):
    flatbuffer = NETWORK.read_bytes()
    card = FocusCard.model_validate(
        {
            "name": "tint",
            "architecture": "tint",
            "input": {"width_px": 12, "height_px": 8, "um_per_px": 6.2},
            "normalisation": {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)},
            "input_dtype": "float32",
            "outputs": {"kind": "offset_sigma", "scale_um": 500},
            "trained_range_um": 1500,
            "rig": "worm_tracker",
            "optics": {"um_per_px": 1.55, "na": 0.05, "dof_um": 220},
            "training": {
                "recipe": "x",
                "fingerprint": fingerprint(collect([stacks], print)),
                "specimens": 1,
                "planes": 1,
                "seed": 0,
                "specimens_sha256": "0" * 64,
            },
            "validation": {},
            "parity": {"n": 1, "float_mae_um": 1, "file_mae_um": 1, "ratio": 1, "mean_abs_difference_um": 0},
            "quantization": "none",
            "created": date(2026, 1, 1),
            "flatbuffer_sha256": hashlib.sha256(flatbuffer).hexdigest(),
            "versions": {},
        }
    )
    path = tmp_path / "tint.tflite"
    write_bundle(path, flatbuffer, card)
    return path


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

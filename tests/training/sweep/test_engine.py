"""A population of two by Ray itself, as a user starts it: some 50 s of processor time and 2 GB of memory."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.recipe import load_recipe
from training.run import load_run

pytest.importorskip("ray", reason="Ray is not installed; pip install -e '.[sweep]'")

HERE = Path(__file__).parents[3]
RECIPE = """\
name: quick
network: focusnet_tiny
input: { width_px: 32, height_px: 32, um_per_px: 3.1 }
split: { validation: 0.25, test: 0.2 }
samples: 128
epoch_samples: 64
batch: 16
"""
SPACE = "learning_rate: { log: [1.0e-4, 1.0e-2] }\nweight_decay: { range: [0, 0.1] }\n"


def test_a_population_takes_over_the_weights_of_its_best_and_leaves_nothing_else(stacks, tmp_path):
    (tmp_path / "quick.yaml").write_text(RECIPE)
    (tmp_path / "space.yaml").write_text(SPACE)
    home = tmp_path / "home"
    home.mkdir()
    command = [
        *(sys.executable, "-m", "wormfocus", "sweep", "--method", "population", "--trials", "2"),
        *("--recipe", "quick.yaml", "--space", "space.yaml", "--stacks", str(stacks), "--out", "sweep"),
        *("--cache", "cache", "--json", "figures.json"),
    ]
    paths = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"HOME": str(home), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    rows = figures["trials"]
    assert [row["finished"] for row in rows] == [True, True]
    runs = {row["trial"]: load_run(Path(row["folder"])) for row in rows}
    # After the first of two epochs the worse one went on from the better one's weights.
    (taken,) = [row for row in rows if len(row["lineage"]) == 2]
    (kept,) = [row for row in rows if len(row["lineage"]) == 1]
    assert taken["lineage"][1]["weights_of_trial"] == kept["trial"]
    assert taken["lineage"][1]["from_epoch"] == 1
    assert taken["values"] == taken["lineage"][1]["values"] != kept["values"]
    assert 1e-4 <= taken["values"]["learning_rate"] <= 1e-2
    assert 0 <= taken["values"]["weight_decay"] <= 0.1
    first = []
    for row in (taken, kept):
        assert runs[row["trial"]].recipe.learning_rate == row["values"]["learning_rate"]
        with (Path(row["folder"]) / "metrics.csv").open(newline="") as file:
            epochs = list(csv.DictReader(file))
        assert [epoch["epoch"] for epoch in epochs] == ["0", "1"]
        first.append(epochs[0])
    assert first[0] == first[1]
    best = load_recipe(tmp_path / "sweep" / "best.yaml")
    assert best.learning_rate == figures["best"]["values"]["learning_rate"]
    # Nothing of Ray's is left: neither beside the runs nor at home.
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {
        *(".lock", "sweep.json", "trials", "results.csv", "best.yaml")
    }
    assert sorted(path.name for path in (tmp_path / "sweep" / "trials").iterdir()) == ["000", "001"]
    assert [path.name for path in home.iterdir() if "ray" in path.name] == []

"""`wormfocus compare`, and the reports that it and `evaluate` write."""

import csv
import json
import shlex
import shutil

import numpy as np
import pytest
import torch

from calibration.stack import ZStack, read_stack, write_stack
from edge.bundle import InputSpec, Normalisation
from hw.config import load_rig
from training.heads import build
from training.labelled import collect, fingerprint
from training.recipe import Recipe
from training.run import WEIGHTS, RunRecord, write_record
from wormfocus.command import main

NAMES = tuple(f"worm-{number}" for number in range(12))


def make_run(folder, stacks, test, *, seed=0, head="offset_sigma", **more):
    """A finished run of random weights that claims to have learnt from all worms but `test`."""
    torch.manual_seed(seed)
    recipe = Recipe(
        name="made",
        network="mobilenetv3_small",
        head=head,
        loss={"kind": "smooth_l1_nll" if head == "offset_sigma" else "smooth_l1"},
        input=InputSpec(width_px=32, height_px=32, um_per_px=3.1),
        samples=8,
        epoch_samples=8,
        batch=8,
    )
    learnt = [name for name in NAMES if name not in test]
    record = RunRecord(
        recipe=recipe,
        normalisation=Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        **{"optics": load_rig("worm_tracker").optics, "um_per_step": 5, **more},
        trained_range_um=500,
        stacks=(str(stacks),),
        fingerprint=fingerprint(collect([stacks], print)),
        split={"train": tuple(learnt[1:]), "validation": tuple(learnt[:1]), "test": tuple(test)},
        planes=4,
        versions={"torch": "x"},
        finished=True,
    )
    folder.mkdir()
    write_record(folder, record)
    network = build(recipe)
    # Answers of a sane size, with something of an offset in them.
    torch.nn.init.normal_(network.classifier.weight, std=0.05)
    torch.save(network.state_dict(), folder / WEIGHTS)
    return folder


@pytest.fixture
def runs(stacks, tmp_path):
    test = NAMES[:4]
    return [
        make_run(tmp_path / "first", stacks, test, seed=1),
        make_run(tmp_path / "second", stacks, test, seed=2, head="offset"),
    ]


def copied(stacks, folder, change=None):
    folder.mkdir()
    for path in sorted(stacks.iterdir()):
        shutil.copy(path, folder)
    return folder


def test_two_runs_on_their_test_specimens(stacks, runs, tmp_path, capsys):
    out, figures = tmp_path / "report", tmp_path / "figures.json"
    command = ["compare", *map(str, runs), "--stacks", str(stacks), "--report", str(out), "--seed", "7"]
    assert main([*command, "--json", str(figures)]) == 0
    said = capsys.readouterr().out
    assert "4 specimens (test specimens of the runs" in said
    found = json.loads(figures.read_text())
    assert [network["name"] for network in found["networks"]] == ["first", "second"]
    assert {network["n"] for network in found["networks"]} == {16}
    assert found["networks"][0]["multiply_adds"] > 1e5
    assert "sigma_factor" in found["networks"][0]
    assert "sigma_factor" not in found["networks"][1]
    (pair,) = found["pairs"]
    assert (pair["first"], pair["second"]) == ("first", "second")
    assert (pair["frames"]["n"], pair["specimens"]["n"]) == (16, 4)
    assert pair["specimens"]["wilcoxon_p_holm"] == pair["specimens"]["wilcoxon_p"]
    # The table of frames has all that the figures are made of.
    with (out / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    errors = {
        name: np.array([abs(float(row[f"{name}_predicted_um"]) - float(row["offset_um"])) for row in rows])
        for name in ("first", "second")
    }
    assert {row["specimen"] for row in rows} == set(NAMES[:4])
    for network in found["networks"]:
        assert network["mae_um"] == pytest.approx(errors[network["name"]].mean(), abs=1e-3)
    assert pair["frames"]["mean"] == pytest.approx((errors["first"] - errors["second"]).mean(), abs=2e-3)
    assert {row["second_sigma_um"] for row in rows} == {""}

    text = (out / "report.md").read_text()
    assert "Comparison of 2 networks" in text
    assert "first - second" in text
    assert "SIMULATED" not in text
    pictures = [part.split(")")[0] for part in text.split("](")[1:]]
    assert set(pictures) == {
        "comparison.png", "first_errors.png", "first_worst.png", "second_errors.png", "second_worst.png",
    }  # fmt: skip
    for picture in pictures:
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    # The line in it does the same again.
    line = shlex.split(text.split("```sh\n")[1].split("\n```")[0])
    assert line[0] == "wormfocus"
    # Without the pictures, which take their time.
    place = line.index("--report")
    del line[place : place + 2]
    figures.unlink()
    assert main(line[1:]) == 0
    again = json.loads(figures.read_text())
    assert again["pairs"] == found["pairs"]
    assert again["networks"] == found["networks"]


def test_an_ensemble_is_compared_with_its_members(stacks, tmp_path):
    out, figures = tmp_path / "report", tmp_path / "figures.json"
    # Three that say about the same, and one that is wild.
    said_um = {"a": 50.0, "b": 55.0, "c": 60.0, "wild": 2500.0}
    for seed, (name, offset_um) in enumerate(said_um.items()):
        weights = make_run(tmp_path / name, stacks, NAMES[:4], seed=seed) / WEIGHTS
        state = torch.load(weights)
        state["classifier.bias"][0] = offset_um / 500
        torch.save(state, weights)
    members = [str(tmp_path / name) for name in said_um]
    command = ["compare", *members, "--stacks", str(stacks), "--ensemble", "--report", str(out)]
    assert main([*command, "--json", str(figures)]) == 0
    networks = json.loads(figures.read_text())["networks"]
    assert [network["name"] for network in networks] == [*said_um, "ensemble"]
    whole = networks[-1]
    assert whole["kind"] == "ensemble"
    assert whole["facts"] == {"of": "a, b, c, wild"}
    assert whole["multiply_adds"] == sum(network["multiply_adds"] for network in networks[:-1])
    assert len(json.loads(figures.read_text())["pairs"]) == 10
    with (out / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    for row in rows:
        kept = [float(row[f"{name}_predicted_um"]) for name in "abc"]
        assert float(row["ensemble_predicted_um"]) == pytest.approx(np.mean(kept), abs=2e-3)
    assert "ensemble (ensemble)" in (out / "report.md").read_text()


def test_specimens_that_one_has_learnt_from_are_refused_by_name(stacks, runs, tmp_path, capsys):
    third = make_run(tmp_path / "third", stacks, NAMES[2:6], seed=3)
    command = ["compare", str(runs[0]), str(third), "--stacks", str(stacks)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "run 'first' was trained on or validated with 2 of these specimens: 'worm-4', 'worm-5'" in error
    assert "run 'third' was trained on or validated with 2 of these specimens: 'worm-0', 'worm-1'" in error
    figures = tmp_path / "figures.json"
    assert main([*command, "--unseen", "--json", str(figures)]) == 0
    assert set(json.loads(figures.read_text())["networks"][0]["groups"]["specimen"]) == {"worm-2", "worm-3"}
    assert main([*command, "--seen", "--json", str(figures)]) == 0
    found = json.loads(figures.read_text())
    assert found["networks"][0]["specimens"] == 6
    assert "flatter" in found["notes"][0]
    assert main([*command, "--seen", "--unseen"]) == 2
    assert "contradict" in capsys.readouterr().err


def test_a_bundle_is_compared_too(stacks, bundle, runs, tmp_path, capsys):
    command = ["compare", str(runs[0]), str(bundle), "--stacks"]
    assert main([*command, str(stacks)]) == 2
    assert "bundle 'tint' was trained on these stacks" in capsys.readouterr().err
    fewer = copied(stacks, tmp_path / "fewer")
    for path in fewer.glob("s1*"):
        path.unlink()
    assert main([*command, str(fewer)]) == 2
    assert "run 'first' was trained on or validated with 6 of these specimens" in capsys.readouterr().err
    assert main([*command, str(fewer), "--unseen", "--json", str(tmp_path / "f.json")]) == 0
    assert "note: Bundle 'tint' does not list its specimens" in capsys.readouterr().out
    assert json.loads((tmp_path / "f.json").read_text())["networks"][1]["kind"] == "bundle"


def test_a_damaged_stack_is_left_out_and_told(stacks, runs, tmp_path, capsys):
    broken = copied(stacks, tmp_path / "broken")
    path = broken / "s01.ome.tif"
    # The same size, so that the folder is still the one that was trained on.
    path.write_bytes(b"II*\0" + bytes(len(path.read_bytes()) - 4))
    figures = tmp_path / "figures.json"
    command = ["compare", *map(str, runs), "--stacks", str(broken)]
    assert main([*command, "--json", str(figures)]) == 0
    assert f"warning: left out {path}: " in capsys.readouterr().out
    (network, _) = json.loads(figures.read_text())["networks"]
    assert network["specimens"] == 3
    assert [left["stack"] for left in network["left_out"]] == [str(path)]
    for other in broken.glob("*.tif"):
        other.write_bytes(b"II*\0" + bytes(len(other.read_bytes()) - 4))
    assert main(command) == 2
    assert "left out, because they cannot be read: 12" in capsys.readouterr().err


def test_stacks_of_several_rigs_are_refused(stacks, runs, tmp_path, capsys):
    mixed = copied(stacks, tmp_path / "mixed")
    for number, rig in ((0, "here"), (1, "there")):
        path = mixed / f"s{number:02d}.ome.tif"
        stack = read_stack(path)
        write_stack(path, ZStack(stack.images, stack.positions_um, 3.1, stack.specimen, {"rig": rig}))
    assert main(["compare", *map(str, runs), "--stacks", str(mixed), "--seen"]) == 2
    error = capsys.readouterr().err
    assert "s00.ome.tif is of rig 'here'" in error
    assert "s01.ome.tif of rig 'there'" in error


def test_networks_for_rigs_of_other_scales_need_a_rig_named(stacks, runs, tmp_path, capsys):
    other = make_run(tmp_path / "fine", stacks, NAMES[:4], seed=3, um_per_step=0.1)
    command = ["compare", str(runs[0]), str(other), "--stacks", str(stacks)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "first is for rig 'worm_tracker' (5 um per step" in error
    assert "(0.1 um per step" in error
    figures = tmp_path / "figures.json"
    assert main([*command, "--rig", "worm_tracker", "--json", str(figures)]) == 0
    assert json.loads(figures.read_text())["um_per_step"] == 5


def test_what_cannot_be_compared_is_told(stacks, runs, tmp_path, capsys):
    def error_of(*arguments):
        assert main(["compare", *map(str, arguments)]) == 2
        return capsys.readouterr().err

    assert "nothing to compare it with" in error_of(runs[0], "--stacks", stacks)
    assert "give each once" in error_of(runs[0], runs[0], "--stacks", stacks)
    assert "no training run" in error_of(runs[0], tmp_path, "--stacks", stacks)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no *.ome.tif stack in it" in error_of(*runs, "--stacks", empty)
    (runs[1] / WEIGHTS).unlink()
    assert "has not finished" in error_of(*runs, "--stacks", stacks)


def test_stacks_without_labels_are_told(stacks, runs, tmp_path, capsys):
    plain = copied(stacks, tmp_path / "plain")
    for path in plain.glob("*.label.json"):
        path.unlink()
    # Their sharpness only falls along the stack, so that the default measure finds no peak within.
    assert main(["compare", *map(str, runs), "--stacks", str(plain)]) == 2
    heard = capsys.readouterr()
    assert heard.out.count("left out") == 12
    assert "no stack with a focus label; run 'wormfocus label'" in heard.err


def test_evaluate_reports_with_wider_fields_apart(stacks, runs, tmp_path, capsys):
    out, figures = tmp_path / "report", tmp_path / "figures.json"
    command = ["evaluate", "--run", str(runs[0]), "--stacks", str(stacks), "--full", "--field", "108.5"]
    assert main([*command, "--report", str(out), "--json", str(figures)]) == 0
    found = json.loads(figures.read_text())
    views = found["groups"]["view"]
    assert {view: group["n"] for view, group in views.items()} == {
        "full": 16, "window": 16, "field 108.5 um": 16,
    }  # fmt: skip
    assert found["n"] == 32
    assert found["mae_um"] == pytest.approx((views["full"]["mae_um"] + views["window"]["mae_um"]) / 2)
    assert sum(group["n"] for group in found["groups"]["light"].values()) == 32
    assert len(found["intervals"]["mae_um"]) == 2
    assert found["sigma"]["coverage_68"] <= found["sigma"]["coverage_95"]
    assert found["provenance"]["facts"]["recipe"] == "made"
    text = (out / "report.md").read_text()
    assert "Evaluation of first" in text
    assert "field 108.5 um" in text
    assert main([*command, "--field", "500"]) == 2
    assert "show less than the network's field" in capsys.readouterr().err
    out.joinpath("x").write_text("")
    assert main([*command, "--report", str(out / "x")]) == 2
    assert "the report cannot be written" in capsys.readouterr().err

"""A run that learnt with rounding is compared with the float network before, through the command."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the export extra")
pytest.importorskip("ai_edge_quantizer", reason="needs the export extra")

import torch

from edge.bundle import load_bundle
from export.reference import float_reference
from hw.errors import ConfigError
from training.run import WEIGHTS, Run, load_run, write_record
from training.transfer import ancestors_of, quantization_aware
from wormfocus.command import main


@pytest.fixture
def parent(small_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(small_run, tmp_path / "parent", ignore=shutil.ignore_patterns("stacks"))
    return tmp_path / "parent"


def child(parent: Path, folder: Path, gain: float) -> Path:
    """A run as if tuned with rounding, whose answers are those of its parent times a gain."""
    before = load_run(parent)
    folder.mkdir()
    recipe = quantization_aware(before.recipe, parent)
    update = {"recipe": recipe, "ancestors": ancestors_of(before, ())}
    write_record(folder, before.record.model_copy(update=update))
    weights = before.network.state_dict()
    for name in ("3.weight", "3.bias"):
        weights[name][0] *= gain
    torch.save(weights, folder / WEIGHTS)
    return folder


def export(run: Path, out: Path, *more: str) -> int:
    # In float: the file is as good as the run's own network, to the last bit or so.
    return main(["export", str(run), "--out", str(out), "--quantization", "float32", *more])


def test_a_file_worse_than_the_network_before_is_refused(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = child(parent, tmp_path / "run", gain=0.5), tmp_path / "b" / "worse.tflite"
    assert export(run, out) == 2
    said = capsys.readouterr()
    assert "times the float network's error" in said.err
    assert "learn with rounding for longer, from the run before, or insist with --allow-loss" in said.err
    assert f"compared with the float network of {parent}, before it learnt with rounding" in said.out
    assert not out.parent.exists()
    # Which its own would have let pass.
    figures = tmp_path / "figures.json"
    assert export(run, out, "--allow-loss", "--json", str(figures)) == 0
    found = json.loads(figures.read_text())
    assert found["file"]["mae_um"] == pytest.approx(found["own_float"]["mae_um"], rel=1e-3)
    assert found["file"]["mae_um"] > 2 * found["float"]["mae_um"]
    assert "times the float network's error" in load_bundle(out).card.parity.accepted_losses[0]


def test_card_and_figures_say_what_it_was_compared_with(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out, figures = (
        child(parent, tmp_path / "run", gain=0.995),
        tmp_path / "good.tflite",
        tmp_path / "f.json",
    )
    assert export(run, out, "--json", str(figures)) == 0
    assert f"times the error of the float network of {parent}" in capsys.readouterr().out
    parity = load_bundle(out).card.parity
    before = load_run(parent)
    assert parity.before_rounding_sha256 == before.weights_sha256
    assert parity.accepted_losses == ()
    found = json.loads(figures.read_text())
    assert found["float_run"] == str(parent)
    assert found["float"]["mae_um"] == pytest.approx(parity.float_mae_um)
    assert found["own_float"]["mae_um"] != pytest.approx(parity.float_mae_um, rel=1e-3)
    text = out.with_suffix(".md").read_text()
    assert f"before it learnt with the rounding of int8 (weights `{before.weights_sha256[:16]}`)" in text
    assert "wormfocus train --from PARENT --quantization-aware --seed 0" in text
    assert main(["info", str(out)]) == 0
    assert "times the error of the float network before it learnt with rounding" in capsys.readouterr().out


def test_a_network_before_that_is_gone_is_asked_for(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = child(parent, tmp_path / "run", gain=1.0), tmp_path / "b" / "moved.tflite"
    moved = parent.rename(tmp_path / "moved")
    assert export(run, out) == 2
    message = capsys.readouterr().err.strip()
    assert f"the float network of {parent}, from which it learnt with rounding" in message
    assert "say where it is with --parent, or insist with --allow-loss" in message
    assert export(run, out, "--parent", str(moved)) == 0
    assert load_bundle(out).card.parity.before_rounding_sha256 == load_run(moved).weights_sha256
    # A folder that was named is not passed over, whatever is allowed.
    assert export(run, out, "--parent", str(parent), "--allow-loss") == 2
    assert export(run, out, "--allow-loss") == 0
    parity = load_bundle(out).card.parity
    assert parity.before_rounding_sha256 is None
    assert parity.accepted_losses == (
        "nothing to be compared with but its own float network, which learning with rounding may have made "
        "worse",
    )
    assert (
        "**Exported although** float32 has nothing to be compared with" in out.with_suffix(".md").read_text()
    )


def test_it_is_the_last_run_before_rounding(parent: Path, tmp_path: Path) -> None:
    once = child(parent, tmp_path / "once", gain=0.9)
    twice = child(once, tmp_path / "twice", gain=0.9)
    assert float_reference(load_run(twice)).folder == parent
    plain: Run = load_run(parent)
    assert float_reference(plain) is plain
    with pytest.raises(ConfigError, match=r"has not learnt with rounding.*leave --parent out"):
        float_reference(plain, once)


def test_other_weights_than_it_started_from_are_refused(parent: Path, tmp_path: Path) -> None:
    run = child(parent, tmp_path / "run", gain=1.0)
    other = child(parent, tmp_path / "other", gain=0.5)
    (parent / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes())
    with pytest.raises(
        ConfigError, match=r"has other weights than those that .*run learnt with rounding from"
    ):
        float_reference(load_run(run))

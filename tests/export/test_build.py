"""From a run's folder to a bundle, through the command."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the export extra")
pytest.importorskip("ai_edge_quantizer", reason="needs the export extra")

from calibration.label import read_label
from calibration.stack import read_stack
from edge.bundle import Predictor, check_fits, load_bundle
from export import parity
from export.data import calibration_rows
from export.origin import round_up
from hw.config import load_rig
from training.metrics import sigma_figures
from training.run import load_run
from wormfocus.command import main


@pytest.fixture(scope="module")
def exported(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    arguments = ["export", str(small_run), "--out", str(folder / "small.tflite")]
    # 24 images of a network this small say little about its loss: the refusal has a test of its own.
    assert main([*arguments, "--json", str(folder / "figures.json"), "--allow-loss"]) == 0
    return folder


def test_the_bundle_runs_on_the_rig(exported: Path, small_run: Path) -> None:
    bundle = load_bundle(exported / "small.tflite")
    check_fits(bundle.card, load_rig("worm_tracker"))
    predictor = Predictor(bundle)
    stack = read_stack(small_run / "stacks" / "worm_tracker_sim-5.ome.tif")
    for image, position in zip(stack.images, stack.positions_um, strict=True):
        prediction = predictor.predict(image)
        # The network is a coarse fit; its sign and size show that nothing is swapped or scaled twice.
        assert prediction.offset_um == pytest.approx(50.0 - position, abs=300)
        sigma_um = np.exp(-1) * 500 * bundle.card.outputs.sigma_factor
        assert prediction.sigma_um == pytest.approx(sigma_um, rel=0.02)


def test_the_card_tells_where_it_comes_from(exported: Path) -> None:
    card = load_bundle(exported / "small.tflite").card
    assert (card.name, card.architecture, card.rig) == ("small", "tests_small", "worm_tracker")
    assert (card.quantization, card.input_dtype, card.outputs.kind) == (
        "static-int8",
        "float32",
        "offset_sigma",
    )
    assert (card.outputs.scale_um, card.trained_range_um) == (500, 990)
    assert (card.training.specimens, card.training.planes) == (3, 36)
    assert "torch" in card.versions


def test_deviations_are_fitted_to_what_the_file_says_of_validation(exported: Path, small_run: Path) -> None:
    bundle = load_bundle(exported / "small.tflite")
    # The run's factor, of the float network, is another.
    assert bundle.card.outputs.sigma_factor != pytest.approx(1.25, rel=0.01)
    predictor = Predictor(bundle)
    (name,) = load_run(small_run).split["validation"]
    path = small_run / "stacks" / f"{name}.ome.tif"
    stack, label = read_stack(path), read_label(path)
    said = [predictor.predict(image) for image in stack.images]
    errors = np.abs([p.offset_um for p in said] - (label.focus_um - stack.positions_um))
    found = sigma_figures(errors, np.zeros(len(said)), [p.sigma_um for p in said])
    # Of twelve images, steps of 8 %.
    assert found["coverage_68"] == pytest.approx(0.68, abs=0.1)
    assert found["coverage_95"] == pytest.approx(0.95, abs=0.1)


def test_it_is_measured_on_new_specimens_only(exported: Path) -> None:
    card = load_bundle(exported / "small.tflite").card
    figures = json.loads((exported / "figures.json").read_text())
    # Two of six specimens are the test, of twelve planes each.
    assert card.parity.n == card.validation["n"] == figures["file"]["n"] == 24
    assert card.validation["specimens"] == 2
    assert figures["file"] == card.validation
    assert figures["parity"] == card.parity.model_dump(mode="json")
    assert card.validation["specimen_ranges"] == [
        {"count": 2, "first": "worm_tracker_sim-4", "last": "worm_tracker_sim-5"}
    ]
    assert card.parity.float_sigma_factor == pytest.approx(card.parity.file_sigma_factor, rel=0.2)
    assert figures["float"]["mae_um"] == pytest.approx(card.parity.float_mae_um)
    assert 0 < card.parity.mean_abs_difference_um < 50


def test_a_model_card_lies_beside_it(exported: Path) -> None:
    text = (exported / "small.md").read_text()
    assert text.startswith("# small\n")
    assert (
        "wormfocus simulate --rig worm_tracker_sim --seed 0 -n 6 --planes 12 --range-um 1000 "
        "--window-um 99.2 --out STACKS" in text
    )
    assert "2 from `worm_tracker_sim-4` to `worm_tracker_sim-5`" in text
    assert "wormfocus train --recipe small --seed 0 --stacks STACKS --out RUN" in text
    assert "wormfocus export RUN --stacks STACKS --quantization static-int8 --out small.tflite" in text


def test_info_shows_the_card(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(exported / "small.tflite"), "--json", str(exported / "card.json")]) == 0
    shown = capsys.readouterr().out
    assert "tests_small, static-int8" in shown
    assert "24 images of 2 unseen specimens" in shown
    assert json.loads((exported / "card.json").read_text())["name"] == "small"


def test_too_much_loss_is_refused_unless_allowed(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parity, "MAX_RATIO", 0.5)
    out = tmp_path / "lossy.tflite"
    arguments = ["export", str(small_run), "--out", str(out), "--quantization", "dynamic-int8"]
    assert main(arguments) == 2
    message = capsys.readouterr().err.strip()
    assert "dynamic-int8 has" in message
    assert message.endswith("insist with --allow-loss")
    assert list(tmp_path.iterdir()) == []
    assert main([*arguments, "--allow-loss"]) == 0
    card = load_bundle(out).card
    assert card.quantization == "dynamic-int8"
    assert any("times the float network's error" in loss for loss in card.parity.accepted_losses)
    assert "**Exported although** dynamic-int8 has" in out.with_suffix(".md").read_text()
    assert "warning: its mean error" not in capsys.readouterr().out


def test_stacks_without_new_specimens_are_refused(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 3):
        for path in (small_run / "stacks").glob(f"worm_tracker_sim-{seed}.*"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    out = tmp_path / "b.tflite"
    assert main(["export", str(small_run), "--stacks", str(tmp_path), "--out", str(out)]) == 2
    assert "none of 2 specimens is new, to test on" in capsys.readouterr().err


def test_a_name_that_is_no_bundles_is_refused(small_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(small_run), "--out", "worm.onnx"]) == 2
    assert "a bundle's name ends in .tflite" in capsys.readouterr().err


def test_calibration_covers_specimens_and_offsets() -> None:
    rng = np.random.default_rng(0)
    specimen = np.repeat(np.arange(20, dtype=np.int32), 30)
    offsets_um = rng.uniform(-1500, 1500, 600).astype(np.float32)
    rows = calibration_rows(specimen, offsets_um, 100, seed=1)
    assert len(rows) == len(set(rows.tolist())) >= 90
    assert set(specimen[rows]) == set(range(20))
    counts, _ = np.histogram(offsets_um[rows], bins=10, range=(-1500, 1500))
    assert counts.min() >= 6


@pytest.mark.parametrize(
    ("value", "rounded"), [(1499.8, 1500), (987, 990), (1500, 1500), (0.0123, 0.013), (101, 110)]
)
def test_ranges_are_rounded_up(value: float, rounded: float) -> None:
    assert round_up(value) == pytest.approx(rounded, rel=1e-12)


def test_the_card_and_the_figures_tell_what_is_in_float(exported: Path) -> None:
    figures = json.loads((exported / "figures.json").read_text())
    made_of = figures["composition"]
    # The first convolution, and the last layer.
    assert made_of["float_kinds"]["CONV_2D"] == made_of["float_kinds"]["FULLY_CONNECTED"] == 1
    assert made_of["counts"]["int8"] + made_of["counts"].get("dynamic", 0) > 0
    assert f"{made_of['counts']['float']} in float (" in (exported / "small.md").read_text()
    assert figures["sensitivity"]["loss"] <= figures["sensitivity"]["loss_with_nothing_spared"]


def test_sensitivity_ranks_blocks(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sensitivity.json"
    assert main(["sensitivity", str(small_run), "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    # Of the two convolutions, the first is never quantized.
    (row,) = figures["ranking"]
    assert row["rms_um"] > 0
    assert f"{row['rms_um']:.2f} um" in capsys.readouterr().out
    assert main(["sensitivity", str(small_run), "--quantization", "float16"]) == 2
    assert "float16 has no int8" in capsys.readouterr().err


def test_a_bundle_may_take_pixels(exported: Path, small_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pixels.tflite"
    assert main(["export", str(small_run), "--out", str(out), "--pixels", "--allow-loss"]) == 0
    bundle = load_bundle(out)
    assert bundle.card.input_dtype == "uint8"
    assert "--quantization static-int8 --pixels --out" in out.with_suffix(".md").read_text()
    usual, taking = Predictor(load_bundle(exported / "small.tflite")), Predictor(bundle)
    for image in read_stack(small_run / "stacks" / "worm_tracker_sim-5.ome.tif").images[:4]:
        assert taking.predict(image).offset_um == pytest.approx(usual.predict(image).offset_um, abs=15)

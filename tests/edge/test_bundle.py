"""The bundle: writing, reading, refusing what is damaged or does not fit, and running it."""

import hashlib
import json
import math
import shutil
import struct
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edge.bundle import (
    Bundle,
    FocusCard,
    InputSpec,
    Network,
    Predictor,
    check_fits,
    load_bundle,
    resize_to_input,
    window_px,
    write_bundle,
)
from edge.bundle import file as bundle_file
from edge.bundle.layout import Parts, read_parts, write_parts
from hw.config import RigConfig, load_rig
from hw.errors import BundleError

NETWORKS = Path(__file__).parent / "networks"
MEAN = (0.5, 0.4, 0.3)
STD = (0.25, 0.2, 0.3)


def make_card(flatbuffer: bytes, **changes: Any) -> FocusCard:
    card: dict[str, Any] = {
        "schema_version": 1,
        "name": "tint",
        "architecture": "tint",
        "input": {"width_px": 12, "height_px": 8, "channels": 3, "um_per_px": 100.0},
        "normalisation": {"mean": MEAN, "std": STD},
        "input_dtype": "float32",
        "outputs": {"kind": "offset_sigma", "scale_um": 1000.0, "sigma_factor": 1.5},
        "trained_range_um": 1500.0,
        "rig": "worm_tracker",
        "optics": {"um_per_px": 1.55, "na": 0.05, "dof_um": 220.0},
        "training": {
            "recipe": "by hand",
            "fingerprint": "none",
            "specimens": 0,
            "planes": 0,
            "seed": 0,
            "specimens_sha256": hashlib.sha256(b"").hexdigest(),
        },
        "validation": {"n": 3, "mae_um": 1.0, "groups": {"a": {"mae_um": 2.0}}},
        "parity": {
            "n": 3,
            "float_mae_um": 1.0,
            "file_mae_um": 1.0,
            "ratio": 1.0,
            "mean_abs_difference_um": 0.0,
        },
        "quantization": "float32",
        "created": date(2026, 11, 21),
        "flatbuffer_sha256": hashlib.sha256(flatbuffer).hexdigest(),
        "versions": {"ai-edge-litert": "2.3.0"},
    }
    return FocusCard.model_validate(card | changes)


def make_bundle(network: str, **changes: Any) -> Bundle:
    flatbuffer = (NETWORKS / network).read_bytes()
    return Bundle(make_card(flatbuffer, **changes), flatbuffer, Path(network))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    bundle = make_bundle("tint_float32.tflite")
    path = tmp_path / "tint.tflite"
    write_bundle(path, bundle.flatbuffer, bundle.card)
    return path


# --- the file -----------------------------------------------------------------------------------------


def test_what_is_written_is_read(written: Path) -> None:
    bundle = load_bundle(written)
    assert bundle.flatbuffer == (NETWORKS / "tint_float32.tflite").read_bytes()
    assert bundle.card == make_card(bundle.flatbuffer)
    assert bundle.path == written
    assert [p.name for p in written.parent.iterdir()] == ["tint.tflite"]


def test_the_same_parts_give_the_same_bytes(written: Path, tmp_path: Path) -> None:
    bundle = load_bundle(written)
    write_bundle(tmp_path / "again.tflite", bundle.flatbuffer, bundle.card)
    assert (tmp_path / "again.tflite").read_bytes() == written.read_bytes()


def test_any_zip_tool_reads_the_card(written: Path) -> None:
    with zipfile.ZipFile(written) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("focus.json"))["name"] == "tint"


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_reads_the_card(written: Path) -> None:
    shown = subprocess.run(["unzip", "-p", str(written), "focus.json"], capture_output=True, check=True)
    assert FocusCard.model_validate_json(shown.stdout) == load_bundle(written).card


def test_an_interpreter_reads_the_file_as_it_is(written: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(written))
    interpreter.allocate_tensors()
    assert interpreter.get_input_details()[0]["shape"].tolist() == [1, 8, 12, 3]


def test_every_truncation_is_refused(written: Path) -> None:
    whole = written.read_bytes()
    for length in [*range(0, len(whole), 97), *range(len(whole) - 120, len(whole))]:
        written.write_bytes(whole[:length])
        with pytest.raises(BundleError, match=r"tint\.tflite: (truncated|no TFLite)"):
            load_bundle(written)


def test_every_altered_byte_is_refused(written: Path) -> None:
    whole = written.read_bytes()
    network = len((NETWORKS / "tint_float32.tflite").read_bytes())
    for at in [*range(0, network, 61), *range(network, len(whole), 3), *range(len(whole) - 120, len(whole))]:
        for mask in (0x01, 0xFF):
            altered = bytearray(whole)
            altered[at] ^= mask
            written.write_bytes(altered)
            with pytest.raises(BundleError):
                load_bundle(written)


@pytest.mark.parametrize("extra", [b"\0", b"\n", b"PK\x05\x06" + bytes(18)])
def test_bytes_behind_the_end_are_refused(written: Path, extra: bytes) -> None:
    written.write_bytes(written.read_bytes() + extra)
    with pytest.raises(BundleError):
        load_bundle(written)


def test_an_exchanged_network_is_refused(written: Path) -> None:
    other = (NETWORKS / "tint_int8.tflite").read_bytes()
    card = load_bundle(written).card.model_dump_json(indent=2).encode()
    write_parts(written, Parts(other, card))
    with pytest.raises(BundleError, match="altered: the network's SHA-256"):
        load_bundle(written)


def test_a_card_is_written_only_to_its_own_network(tmp_path: Path) -> None:
    bundle = make_bundle("tint_float32.tflite")
    with pytest.raises(BundleError, match="the card is for flatbuffer"):
        write_bundle(tmp_path / "tint.tflite", bundle.flatbuffer + b"x", bundle.card)
    assert list(tmp_path.iterdir()) == []


def test_a_plain_network_is_refused() -> None:
    with pytest.raises(BundleError, match=r"a plain \.tflite without focus\.json"):
        load_bundle(NETWORKS / "tint_float32.tflite")


def test_a_zip_without_a_card_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.tflite"
    path.write_bytes((NETWORKS / "tint_float32.tflite").read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "worm")
    with pytest.raises(BundleError, match=r"holds no focus\.json; make a bundle with 'wormfocus export'"):
        load_bundle(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": 2}, "schema version 2, this wormfocus reads up to 1; upgrade"),
        ({"colour": "red"}, "'colour': Extra inputs are not permitted"),
        ({"trained_range_um": -1}, "'trained_range_um': Input should be greater than 0"),
        ({"outputs": {"kind": "bins", "scale_um": 1}}, r"'outputs\.kind': Input should be 'offset'"),
        (
            {"outputs": {"kind": "offset", "scale_um": 1, "log_sigma_limits": (3, -4)}},
            "'outputs': .*must rise",
        ),
        ({"name": None}, "'name': Input should be a valid string"),
    ],
)
def test_a_wrong_card_is_refused_by_key(written: Path, change: dict[str, Any], reason: str) -> None:
    bundle = load_bundle(written)
    card = bundle.card.model_dump(mode="json") | change
    write_parts(written, Parts(bundle.flatbuffer, json.dumps(card).encode()))
    with pytest.raises(BundleError, match=reason):
        load_bundle(written)


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
def test_numbers_that_json_does_not_know_are_refused(written: Path, number: bytes) -> None:
    parts = read_parts(written)
    assert b'"mae_um": 2.0' in parts.card
    write_parts(
        written, Parts(parts.flatbuffer, parts.card.replace(b'"mae_um": 2.0', b'"mae_um": ' + number))
    )
    with pytest.raises(BundleError, match=r"focus\.json is no JSON \(.* is no finite number\)"):
        load_bundle(written)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff"])
def test_a_card_that_is_no_card_is_refused(written: Path, text: bytes) -> None:
    flatbuffer = load_bundle(written).flatbuffer
    write_parts(written, Parts(flatbuffer, text))
    with pytest.raises(BundleError, match=r"focus\.json"):
        load_bundle(written)


def test_an_unknown_name_is_answered_with_near_ones(
    written: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bundle_file.resources, "files", lambda package: tmp_path)
    (tmp_path / "bundles").mkdir()
    written.rename(tmp_path / "bundles" / "default.tflite")
    assert load_bundle("default").card.name == "tint"
    with pytest.raises(BundleError, match=r"unknown bundle 'defualt': .*did you mean 'default'\?"):
        load_bundle("defualt")
    with pytest.raises(BundleError, match="shipped bundles: default"):
        load_bundle("zebra")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none\.tflite: cannot be read \(No such file"):
        load_bundle(tmp_path / "none.tflite")


def test_the_card_is_frozen() -> None:
    card = make_bundle("tint_float32.tflite").card
    with pytest.raises(ValidationError, match="frozen"):
        card.name = "other"


# --- fitting a rig --------------------------------------------------------------------------------------


def change_rig(section: str, **values: Any) -> RigConfig:
    rig = load_rig("worm_tracker")
    return rig.model_copy(update={section: getattr(rig, section).model_copy(update=values)})


def test_the_rig_it_was_trained_for_fits() -> None:
    check_fits(make_bundle("tint_float32.tflite").card, load_rig("worm_tracker"))


@pytest.mark.parametrize(
    ("section", "values", "reason"),
    [
        ("optics", {"na": 0.75}, "NA 0.75, trained for 0.05"),
        ("optics", {"dof_um": 1.0}, "depth of field 1 um, trained for 220 um"),
        ("optics", {"um_per_px": 200.0}, r"windows would be enlarged 2\.00 times"),
        ("camera", {"width_px": 640}, "its field is 774x516 camera pixels, a frame has only 640x1520"),
        ("camera", {"height_px": 480}, "a frame has only 2028x480"),
        ("axis", {"max_steps": -800}, "the axis travels 1000 um in all, the network sends it up to 1500 um"),
    ],
)
def test_another_rig_is_refused_with_the_reason(section: str, values: dict[str, Any], reason: str) -> None:
    card = make_bundle("tint_float32.tflite").card
    with pytest.raises(BundleError, match=reason) as caught:
        check_fits(card, change_rig(section, **values))
    assert "bundle 'tint' (trained for rig 'worm_tracker') does not fit rig 'worm_tracker'" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


def test_a_grey_network_fits_no_rig() -> None:
    spec = {"width_px": 12, "height_px": 8, "channels": 1, "um_per_px": 100.0}
    with pytest.raises(BundleError, match=r"takes 1 channel\(s\), frames have 3"):
        check_fits(make_bundle("tint_float32.tflite", input=spec).card, load_rig("worm_tracker"))


def test_the_window_shows_the_networks_field() -> None:
    spec = InputSpec(width_px=192, height_px=96, um_per_px=6.0)
    assert spec.field_um == (1152.0, 576.0)
    assert window_px(spec, 1.5) == (768, 384)
    assert window_px(spec, 12.0) == (96, 48)


def test_shrinking_averages() -> None:
    spec = InputSpec(width_px=2, height_px=1, um_per_px=1.0)
    window = np.zeros((4, 8, 3), np.uint8)
    window[:2, :4] = 200
    window[:, 4:, 1] = 80
    assert resize_to_input(window, spec).tolist() == [[[100, 100, 100], [0, 80, 0]]]
    right_size = window[:1, :2]
    assert resize_to_input(right_size, spec) is right_size


# --- running --------------------------------------------------------------------------------------------


def by_hand(image: np.ndarray) -> tuple[float, float]:
    red, green, blue = ((image.reshape(-1, 3).mean(axis=0) / 255 - MEAN) / STD).tolist()
    return 0.5 * red - 0.5 * blue, 0.25 * green - 1.2345


def colours(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = rng.integers(40, 215, 3)
    return np.clip(base + rng.integers(-30, 30, (8, 12, 3)), 0, 255).astype(np.uint8)


def test_a_float_network_answers_in_um() -> None:
    predictor = Predictor(make_bundle("tint_float32.tflite"))
    for seed in range(5):
        image = colours(seed)
        first, second = by_hand(image)
        prediction = predictor.predict(image)
        assert prediction.offset_um == pytest.approx(1000 * first, abs=0.05)
        assert prediction.sigma_um == pytest.approx(1500 * math.exp(second), rel=1e-4)
        assert prediction.in_range == (abs(1000 * first) <= 1500)


def test_int8_borders_are_translated() -> None:
    bundle = make_bundle("tint_int8.tflite", input_dtype="int8")
    network = Network(bundle.flatbuffer, bundle.card.input, bundle.card.normalisation, "tint")
    assert (network.input_dtype, network.width) == ("int8", 2)
    for seed in range(5):
        image = colours(seed)
        # Inputs and outputs each have 256 levels over a range of about 4.
        assert network.run(image) == pytest.approx(by_hand(image), abs=0.04)
    assert Predictor(bundle).predict(colours(0)).offset_um == pytest.approx(
        1000 * by_hand(colours(0))[0], abs=40
    )


def test_a_window_of_any_size_and_layout_is_taken() -> None:
    predictor = Predictor(make_bundle("tint_float32.tflite"))
    image = colours(1)
    frame = np.zeros((100, 100, 3), np.uint8)
    frame[10:26, 20:44] = cv2.resize(image, (24, 16), interpolation=cv2.INTER_NEAREST)
    assert predictor.predict(frame[10:26, 20:44]).offset_um == pytest.approx(
        predictor.predict(image).offset_um, abs=0.01
    )


def test_two_threads_agree_with_one() -> None:
    bundle = make_bundle("tint_float32.tflite")
    image = colours(2)
    assert Predictor(bundle, threads=2).predict(image).offset_um == pytest.approx(
        Predictor(bundle).predict(image).offset_um, abs=1e-3
    )


def test_an_offset_alone_has_no_sigma() -> None:
    bundle = make_bundle("tint_float32.tflite")
    predictor = Predictor(bundle)
    predictor.card = make_card(bundle.flatbuffer, outputs={"kind": "offset", "scale_um": 10.0})
    prediction = predictor.predict(colours(3))
    assert prediction.sigma_um is None
    assert prediction.offset_um == pytest.approx(10 * by_hand(colours(3))[0], abs=1e-3)


def test_far_offsets_are_out_of_range() -> None:
    predictor = Predictor(make_bundle("tint_float32.tflite"))
    image = np.full((8, 12, 3), (255, 128, 0), np.uint8)
    prediction = predictor.predict(image)
    assert prediction.offset_um == pytest.approx(1500, abs=1)
    assert not Predictor(make_bundle("tint_float32.tflite", trained_range_um=1400.0)).predict(image).in_range
    assert Predictor(make_bundle("tint_float32.tflite", trained_range_um=1600.0)).predict(image).in_range


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_network_that_gives_no_number_is_no_exception(value: float) -> None:
    network = (NETWORKS / "tint_float32.tflite").read_bytes()
    broken = network.replace(struct.pack("<f", -1.2345), struct.pack("<f", value))
    assert broken != network
    prediction = Predictor(Bundle(make_card(broken), broken, Path("broken"))).predict(colours(4))
    assert (prediction.offset_um, prediction.sigma_um, prediction.in_range) == (0.0, math.inf, False)


@pytest.mark.parametrize(("value", "limit"), [(1e30, 3.0), (-1e30, -4.0)])
def test_sigma_has_the_limits_of_training(value: float, limit: float) -> None:
    network = (NETWORKS / "tint_float32.tflite").read_bytes()
    broken = network.replace(struct.pack("<f", -1.2345), struct.pack("<f", value))
    prediction = Predictor(Bundle(make_card(broken), broken, Path("broken"))).predict(colours(4))
    assert prediction.sigma_um == pytest.approx(1500 * math.exp(limit))


def test_a_card_may_give_limits_of_its_own() -> None:
    spec = {"kind": "offset_sigma", "scale_um": 1000.0, "log_sigma_limits": (-1.0, 0.0)}
    for level in (0, 255):
        image = np.full((8, 12, 3), level, np.uint8)
        second = min(max(by_hand(image)[1], -1.0), 0.0)
        prediction = Predictor(make_bundle("tint_float32.tflite", outputs=spec)).predict(image)
        assert prediction.sigma_um == pytest.approx(1000 * math.exp(second), rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input": {"width_px": 8, "height_px": 12, "um_per_px": 100.0}}, r"takes \[\[1, 8, 12, 3\]\]"),
        ({"outputs": {"kind": "offset", "scale_um": 1.0}}, "gives numbers per image: 2, its card says 1"),
        ({"input_dtype": "int8"}, "the network takes float32, its card says int8"),
    ],
)
def test_a_card_that_belies_its_network_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        Predictor(make_bundle("tint_float32.tflite", **changes))


def test_a_grey_network_is_refused() -> None:
    spec = {"width_px": 12, "height_px": 8, "channels": 1, "um_per_px": 100.0}
    with pytest.raises(BundleError, match=r"takes 1 channel\(s\), windows have 3"):
        Predictor(make_bundle("tint_float32.tflite", input=spec))


def test_a_network_that_the_interpreter_refuses_is_named() -> None:
    flatbuffer = b"\0\0\0\0TFL3" + bytes(64)
    with pytest.raises(BundleError, match="the interpreter refuses the network"):
        Predictor(Bundle(make_card(flatbuffer), flatbuffer, Path("garbage.tflite")))


def test_the_older_runtime_is_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    import ai_edge_litert.interpreter as litert

    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime", sys)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", litert)
    assert Predictor(make_bundle("tint_float32.tflite")).predict(colours(0)).in_range


def test_without_an_interpreter_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ai_edge_litert.interpreter", "tflite_runtime", "tflite_runtime.interpreter"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        BundleError, match=r"no interpreter can be imported .*pip install ai-edge-litert"
    ) as caught:
        Predictor(make_bundle("tint_float32.tflite"))
    assert "\n" not in str(caught.value)

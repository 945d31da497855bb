"""Converting and quantizing a small network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the export extra")
pytest.importorskip("ai_edge_quantizer", reason="needs the export extra")

from edge.bundle import Network, OutputSpec
from edge.bundle.composition import composition
from edge.bundle.operators import operators_of
from export import quantize as quantize_module
from export.convert import convert
from export.correction import shift_bias
from export.data import network_inputs
from export.parity import file_predictions, float_predictions
from export.quantize import Quantizer, plan, quantize
from training.run import Run, load_run

Samples = Callable[[int, int], tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def run(small_run: Path) -> Run:
    return load_run(small_run)


@pytest.fixture(scope="module")
def flatbuffer(run: Run) -> bytes:
    return convert(run.network, run.input)


@pytest.fixture(scope="module")
def calibration(run: Run, samples: Samples) -> list[np.ndarray]:
    return network_inputs(samples(48, 7)[0], run.record.normalisation)


def outputs(run: Run, flatbuffer: bytes, images: np.ndarray) -> Any:
    network = Network(flatbuffer, run.input, run.record.normalisation, "test")
    return np.stack([network.run(image) for image in images])


def test_conversion_changes_nothing(run: Run, flatbuffer: bytes, samples: Samples) -> None:
    images, offsets = samples(20, 8)
    expected = float_predictions(run, images)
    network = Network(flatbuffer, run.input, run.record.normalisation, "test")
    spec = OutputSpec(kind="offset_sigma", scale_um=run.scale_um, sigma_factor=run.sigma_factor)
    found = file_predictions(network, spec, images)
    assert found.offsets_um == pytest.approx(expected.offsets_um, abs=0.1)
    assert found.sigmas_um == pytest.approx(expected.sigmas_um, rel=1e-3)
    # The network is one whose outputs mean something, or this file tests nothing.
    assert np.corrcoef(expected.offsets_um, offsets)[0, 1] > 0.95


@pytest.mark.parametrize("mirrors", [1, 2, 4])
def test_answers_are_means_over_mirror_images(
    run: Run, flatbuffer: bytes, samples: Samples, mirrors: int
) -> None:
    images, _ = samples(6, 9)
    # Noise tells one side of an image from the other, where an even field would not.
    images = np.clip(images + np.random.default_rng(1).normal(0, 60, images.shape), 0, 255).astype(np.uint8)
    network = Network(flatbuffer, run.input, run.record.normalisation, "test", mirrors=mirrors)
    spec = OutputSpec(kind="offset_sigma", scale_um=run.scale_um, sigma_factor=run.sigma_factor)
    turned = [images, images[:, :, ::-1], images[:, ::-1], images[:, ::-1, ::-1]][:mirrors]
    each = [float_predictions(run, np.ascontiguousarray(some)).offsets_um for some in turned]
    assert mirrors == 1 or np.abs(each[0] - each[1]).max() > 1
    expected = np.mean(each, axis=0)
    assert float_predictions(run, images, mirrors).offsets_um == pytest.approx(expected, abs=0.1)
    assert file_predictions(network, spec, images).offsets_um == pytest.approx(expected, abs=0.1)


def test_float32_is_left_alone(flatbuffer: bytes) -> None:
    assert quantize(flatbuffer, "float32", []) == flatbuffer


@pytest.mark.parametrize("method", ["static-int8", "dynamic-int8"])
def test_quantization_keeps_the_answers(
    method: Any, run: Run, flatbuffer: bytes, calibration: list[np.ndarray], samples: Samples
) -> None:
    quantized = quantize(flatbuffer, method, calibration)
    network = Network(quantized, run.input, run.record.normalisation, "test")
    assert network.input_dtype == "float32"
    images, _ = samples(40, 9)
    expected, found = outputs(run, flatbuffer, images), outputs(run, quantized, images)
    assert not np.array_equal(found, expected)
    assert np.abs(found - expected)[:, 0].mean() < 0.03 * expected[:, 0].std()


def test_static_weights_and_activations_are_int8(flatbuffer: bytes, calibration: list[np.ndarray]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=quantize(flatbuffer, "static-int8", calibration))
    images = [t for t in interpreter.get_tensor_details() if len(t["shape"]) == 4]
    # Of the two convolutions the second is int8, the first is left in float.
    weights = {tuple(map(int, t["shape"])): np.dtype(t["dtype"]).name for t in images}
    assert weights[(12, 3, 3, 8)] == "int8"
    assert weights[(8, 3, 3, 3)] == "float32"
    assert any(np.dtype(t["dtype"]).name == "int8" and t["shape"][0] == 1 for t in images)


def test_the_mean_error_is_taken_out(
    run: Run,
    flatbuffer: bytes,
    calibration: list[np.ndarray],
    samples: Samples,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = quantize_module._quantized
    shift = np.array([0.3, -0.2])
    monkeypatch.setattr(quantize_module, "_quantized", lambda *given: shift_bias(plain(*given), shift))
    images, _ = samples(48, 7)
    error = outputs(run, quantize(flatbuffer, "dynamic-int8", calibration), images) - outputs(
        run, flatbuffer, images
    )
    assert error.mean(axis=0) == pytest.approx([0, 0], abs=1e-4)


def test_float16_halves_the_weights(run: Run, flatbuffer: bytes, samples: Samples) -> None:
    halved = quantize(flatbuffer, "float16", [])
    made_of = composition(operators_of(halved))
    assert made_of.counts["float16"] == 3
    images, _ = samples(10, 9)
    expected, found = outputs(run, flatbuffer, images), outputs(run, halved, images)
    assert not np.array_equal(found, expected)
    assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()


def test_what_suffers_is_spared(flatbuffer: bytes, calibration: list[np.ndarray]) -> None:
    first, second, head = (each for each in operators_of(flatbuffer) if each.weights is not None)
    assert plan(flatbuffer, "static-int8")[second.scope] == "int8"
    assert not {first.scope, head.scope} & set(plan(flatbuffer, "static-int8"))
    quantizer = Quantizer(flatbuffer, calibration)
    spared = composition(operators_of(quantizer.file("static-int8", spared={second.scope})))
    assert (spared.counts.get("int8", 0), spared.counts["dynamic"]) == (0, 1)
    assert quantizer.file("static-int8", left_float={second.scope}) == flatbuffer
    assert quantizer.file("dynamic-int8", left_float={second.scope}) == flatbuffer
    assert quantizer.file("static-int8", only=set()) == flatbuffer


@pytest.mark.parametrize("method", ["static-int8", "dynamic-int8"])
def test_int8_needs_calibration_images(method: Any, flatbuffer: bytes) -> None:
    with pytest.raises(ValueError, match=f"{method} needs calibration images"):
        quantize(flatbuffer, method, [])


@pytest.mark.parametrize("method", ["float32", "static-int8"])
def test_a_file_that_takes_pixels_gives_the_same(
    method: Any, run: Run, flatbuffer: bytes, calibration: list[np.ndarray], samples: Samples
) -> None:
    pixels = convert(run.network, run.input, pixels=run.record.normalisation)
    plain = list(samples(48, 7)[0][:, None])
    file = Network(quantize(pixels, method, plain), run.input, run.record.normalisation, "test")
    assert file.input_dtype == "uint8"
    images, _ = samples(20, 8)
    expected = outputs(run, quantize(flatbuffer, method, calibration), images)
    found = np.stack([file.run(image) for image in images])
    # At the edges, too: zeros are added to what is normalised. Int8 rounds the last bits of float anew.
    tolerance = 1e-5 if method == "float32" else 0.02
    assert np.abs(found - expected).max() < tolerance * np.abs(expected).max()

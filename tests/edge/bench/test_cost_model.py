"""The cost model is what the published figures give, and says how far it may be off."""

import json
from importlib import resources

import pytest

from edge.bench.cost_fit import fit, fitted_document, load_published
from edge.bench.cost_model import (
    MACHINES,
    MachineRates,
    Share,
    load_cost_model,
    predict_ms,
    predictions,
    shares_of,
)
from edge.bundle import load_bundle
from edge.bundle.operators import operators_of

RATES = MachineRates(float32_gmadds_per_s=10, int8_gmadds_per_s=20, gb_per_s=4, one_thread=3)


def share(kind: str, precision: str, multiply_adds: float, moved: float) -> Share:
    return Share(
        kind=kind, precision=precision, operators=1, multiply_adds=int(multiply_adds), bytes=int(moved)
    )


def test_times_by_hand() -> None:
    network = [
        share("dense", "int8", 100e6, 2e6),
        share("depthwise", "float32", 10e6, 1e6),
        share("elementwise", "other", 0, 1e6),
    ]
    # 5 ms of int8, 2 ms of depthwise at twice the price, 1 ms of bytes; three times the first two alone.
    assert predict_ms(network, RATES, 2.0, 4) == pytest.approx(8.0)
    assert predict_ms(network, RATES, 2.0, 1) == pytest.approx(22.0)
    # Half-precision weights are multiplied in float.
    halved = [network[0], share("depthwise", "float16", 10e6, 1e6), network[2]]
    assert predict_ms(halved, RATES, 2.0, 4) == pytest.approx(8.0)
    with pytest.raises(ValueError, match="2 threads"):
        predict_ms(network, RATES, 2.0, 2)


@pytest.fixture(scope="module")
def fitted() -> dict[str, object]:
    return fitted_document(load_published())


def test_the_committed_numbers_are_what_the_figures_give(fitted: dict[str, object]) -> None:
    text = (resources.files("edge") / "bench" / "cost_model.json").read_text(encoding="utf-8")
    committed = json.loads(text)
    # Rounding in the last of three digits may differ between libraries.
    for machine, rates in committed["model"]["machines"].items():
        assert fitted["model"]["machines"][machine] == pytest.approx(rates, rel=0.02)
    assert fitted["model"]["depthwise_factor"] == pytest.approx(
        committed["model"]["depthwise_factor"], rel=0.02
    )
    for machine, bars in committed["model"]["error_bars"].items():
        for name, bar in bars.items():
            found = fitted["model"]["error_bars"][machine][name]
            assert found["figures"] == bar["figures"]
            assert found["within"] == pytest.approx(bar["within"], rel=0.02)
    assert len(fitted["left_out"]) == len(committed["left_out"])


def test_every_figure_lies_within_its_error_bar() -> None:
    text = (resources.files("edge") / "bench" / "cost_model.json").read_text(encoding="utf-8")
    model = load_cost_model()
    names = {"level": "four_threads", "threads": "thread_ratio", "outside": "other_libraries"}
    for row in json.loads(text)["left_out"]:
        bar = getattr(model.error_bars[row["figure"].partition(" ")[0]], names[row["use"]])
        assert 1 / bar.within - 0.01 <= row["factor"] <= bar.within + 0.01, row


def test_every_figure_has_a_source_and_a_network() -> None:
    published = load_published()
    for figure in published.figures:
        assert figure.source in published.sources
        assert published.networks[f"{figure.network} {figure.precision}"]
        assert (figure.use == "threads") == (figure.one_thread_ms is not None)
    # Sandler et al. 2018, table 4, and He et al. 2016, table 1: 300 million, 1.8 and 3.8 thousand million.
    for name, known in (("mobilenetv2", 300e6), ("resnet18", 1.8e9), ("resnet50", 4.1e9)):
        counted = sum(s.multiply_adds for s in published.networks[f"{name} fp32"])
        assert counted == pytest.approx(known, rel=0.02)


def test_a_fit_that_was_not_told_a_figure_does_not_know_it() -> None:
    published = load_published()
    figures = [f for f in published.figures if f.machine == "pi5" and f.use == "level"]
    twice = [f.model_copy(update={"ms": 2 * f.ms}) if f in figures else f for f in published.figures]
    before, after = fit(published, published.figures), fit(published, twice)
    assert after.machines["pi5"].int8_gmadds_per_s < 0.7 * before.machines["pi5"].int8_gmadds_per_s
    assert after.machines["pi4"].int8_gmadds_per_s == pytest.approx(
        before.machines["pi4"].int8_gmadds_per_s, rel=0.1
    )


def test_predictions_of_the_default_bundle() -> None:
    bundle = load_bundle("default")
    operators = operators_of(bundle.flatbuffer)
    once, twice = predictions(operators), predictions(operators, asks=2)
    assert [(p.machine, p.threads) for p in once] == [(m, n) for m in MACHINES for n in (1, 4)]
    for single, double in zip(once, twice, strict=True):
        assert double.ms == pytest.approx(2 * single.ms)
        assert single.low_ms < single.ms < single.high_ms
    pi4_one, pi4_four, _, pi5_four = once
    assert pi4_one.ms > pi4_four.ms > pi5_four.ms
    # One thread is known less well.
    assert pi4_one.high_ms / pi4_one.ms > pi4_four.high_ms / pi4_four.ms
    assert sum(s.operators for s in shares_of(operators)) == len(operators)

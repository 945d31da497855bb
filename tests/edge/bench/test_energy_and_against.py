"""Counters of energy, and two machines' results beside each other."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge.bench.against import beside, load_results
from edge.bench.energy import EnergyMeter
from hw.errors import ConfigError


def counter(folder: Path, name: str, uj: int) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{uj}\n")
    (folder / name / "max_energy_range_uj").write_text("999999\n")


def test_energy_of_whole_packages_over_the_end_of_a_counter(tmp_path: Path) -> None:
    counter(tmp_path, "intel-rapl:0", 900_000)
    counter(tmp_path, "intel-rapl:1", 5)
    # A part of package 0, which is in its counter already.
    counter(tmp_path, "intel-rapl:0:0", 7)
    meter = EnergyMeter(tmp_path)
    before = meter.read()
    counter(tmp_path, "intel-rapl:0", 100_000)
    counter(tmp_path, "intel-rapl:1", 300_005)
    assert meter.used_j(before, meter.read()) == pytest.approx(0.5)
    assert meter.why_not == ""


def test_no_counter_says_so(tmp_path: Path) -> None:
    meter = EnergyMeter(tmp_path / "none")
    assert meter.used_j(meter.read(), meter.read()) is None
    assert "no energy counter" in meter.why_not
    (tmp_path / "intel-rapl:0").mkdir()
    assert "cannot be read" in EnergyMeter(tmp_path).why_not


def row(**changed: object) -> dict[str, Any]:
    plain = {"bundle": "a", "runtime": "ai-edge-litert 2.3.0", "threads": 1, "median_ms": 4.0}
    return plain | {"sha256": "1" * 64, "asks": 1} | changed


def test_rows_are_paired_by_name_runtime_and_threads() -> None:
    ours = [row(), row(threads=2, median_ms=3.0)]
    theirs = [row(median_ms=2.0), row(threads=2, median_ms=6.0)]
    pairs, warnings = beside(ours, theirs)
    assert [pair["ratio"] for pair in pairs] == [2.0, 0.5]
    assert warnings == []


def test_what_makes_a_pair_unfair_is_told() -> None:
    ours = [row(), row(bundle="b"), row(bundle="c"), row(bundle="d")]
    theirs = [row(sha256="2" * 64), row(bundle="b", runtime="ai-edge-litert 2.1.0"), row(bundle="d", asks=2)]
    pairs, warnings = beside(ours, [*theirs, row(bundle="e")])
    assert [pair["same_network"] for pair in pairs] == [False, True, True]
    assert [next(w for w in warnings if w.startswith(name)).split(": ", 1)[1] for name in "abcde"] == [
        "another network there, SHA-256 222222222222, here 111111111111",
        "ai-edge-litert 2.1.0 there",
        "only here",
        "asked 2 times per answer there, 1 times here",
        "only there",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "cannot be read"),
        ("[1]", "holds no results"),
        (json.dumps({"machine": {}, "rows": [{"bundle": "a"}]}), "its rows lack"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_results(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_results(tmp_path / "absent.json")

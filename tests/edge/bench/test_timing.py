"""Networks run in processes of their own; nothing here depends on how long that takes."""

import sys
from pathlib import Path

import pytest

from edge.bench import timing
from edge.bench.by_operator import profile
from edge.bench.candidate import open_candidate, open_candidates
from edge.bench.energy import EnergyMeter
from edge.bench.timing import Contender, cold_rows, model_files, warm_rows
from edge.bench.workers import RUNTIMES, Runtime, find_runtimes, open_worker
from hw.clock import SystemClock
from hw.errors import BundleError, ConfigError

NETWORKS = Path(__file__).parents[1] / "networks"
TINT = str(NETWORKS / "tint_int8.tflite")


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def litert() -> Runtime:
    runtimes, _ = find_runtimes()
    return next(runtime for runtime in runtimes if runtime.name == "ai-edge-litert")


def test_what_is_benched(tmp_path: Path) -> None:
    plain, shipped = open_candidate(TINT), open_candidate("default")
    assert (plain.name, plain.precision, plain.input, plain.asks) == ("tint_int8", "int8", "12x8", 1)
    assert plain.facts()["mae_steps"] is None
    assert (shipped.network, shipped.asks) == ("focusnet_small", 2)
    assert shipped.facts()["mae_steps"] > 0
    assert [c.name for c in open_candidates([TINT, TINT, TINT])] == ["tint_int8", TINT, f"{TINT} (2)"]
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(Path(TINT).read_bytes()[:40])
    with pytest.raises(BundleError, match=r"damaged.tflite: truncated or damaged"):
        open_candidate(str(damaged))
    with pytest.raises(BundleError, match=r"absent.tflite: cannot be read"):
        open_candidate(str(tmp_path / "absent.tflite"))


def test_cold_and_warm_rows(litert: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(timing, "TURN_S", 0.001)
    monkeypatch.setattr(timing, "COLD_STARTS", 1)
    candidates = [open_candidate(TINT), open_candidate(str(NETWORKS / "tint_float32.tflite"))]
    contenders = [Contender(c, litert, threads) for threads in (1, 2) for c in candidates]
    with model_files(candidates) as files:
        cold, refused = cold_rows(contenders[:2], files, SystemClock(), silent)
        rows = warm_rows(contenders, files, 0.01, EnergyMeter(tmp_path), silent)
    assert refused == []
    for row in cold:
        assert 0 < row["import_ms"] + row["load_ms"] + row["first_ms"] < row["process_ms"]
        # The runtime itself, with numpy, is some tens of MB, and is not counted as the network's.
        assert 10 < row["runtime_mb"] < 500
        assert abs(row["peak_mb"]) < 100
    assert [(row["bundle"], row["threads"]) for row in rows] == [
        ("tint_int8", 1),
        ("tint_float32", 1),
        ("tint_int8", 2),
        ("tint_float32", 2),
    ]
    for row in rows:
        assert row["n"] >= timing.LEAST_TURNS
        assert row["min_ms"] <= row["p10_ms"] <= row["median_ms"] <= row["p90_ms"] <= row["p99_ms"]
        assert row["cpu_ms"] > 0
        assert row["energy_mj"] is None
    # The first of each number of threads is the measure of the others.
    assert rows[0]["ratio_to_first"] == rows[2]["ratio_to_first"] == 1


def test_what_a_runtime_refuses_is_a_row_of_its_own(litert: Runtime, tmp_path: Path) -> None:
    candidate = open_candidate(TINT)
    path = tmp_path / "damaged.tflite"
    path.write_bytes(candidate.content[: len(candidate.content) // 2])
    cold, refused = cold_rows(
        [Contender(candidate, litert, 1)], {candidate.sha256: path}, SystemClock(), silent
    )
    assert cold == []
    assert refused[0]["bundle"] == "tint_int8"
    assert "ai-edge-litert of" in refused[0]["refused"]


def test_operators_of_a_small_network(litert: Runtime, tmp_path: Path) -> None:
    found = profile(open_candidate(TINT), litert, 0.05, tmp_path, silent)
    assert (
        found["operators_in_all"] == len(found["operators"]) == sum(g["operators"] for g in found["groups"])
    )
    assert found["float_operators"] == 0
    assert sum(row["ms"] for row in found["operators"]) + found["idle_ms"] == pytest.approx(found["sum_ms"])
    assert sum(row["multiply_adds"] for row in found["groups"]) == 12 * 8 * 2 * 3
    times = [row["ms"] for row in found["operators"]]
    assert times == sorted(times, reverse=True)


def test_environments_without_a_runtime_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be started"):
        find_runtimes([str(tmp_path / "python")])
    with pytest.raises(ConfigError, match="has none of"):
        find_runtimes(["/bin/false"])
    # What is here already is not run twice.
    assert find_runtimes([sys.executable])[0] == find_runtimes()[0]


def test_a_runtime_that_kills_its_process_is_an_error(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'numpy is too new' >&2\nexit 3\n")
    python.chmod(0o755)
    with (
        pytest.raises(BundleError, match=r"its process died \(status 3: numpy is too new\)"),
        open_worker(Runtime("tflite-runtime", str(python), "2.14.0")),
    ):
        pass


def test_an_onnx_model_runs_beside(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="no ONNX Runtime here; install the extra 'bench'")
    candidate = open_candidate(str(Path(__file__).with_name("tint.onnx")))
    assert (candidate.format, candidate.precision) == ("onnx", "unknown")
    runtimes, _ = find_runtimes()
    runtime = next(r for r in runtimes if r.name == "onnxruntime")
    assert RUNTIMES[runtime.name] == candidate.format
    assert runtime.python == sys.executable
    with model_files([candidate]) as files:
        (row,) = warm_rows([Contender(candidate, runtime, 1)], files, 0.1, EnergyMeter(tmp_path), silent)
    assert row["n"] >= timing.LEAST_TURNS

"""`wormfocus bench`, on the smallest networks there are."""

import json
from pathlib import Path

import pytest

from edge.bench import timing
from wormfocus.command import main

NETWORKS = Path(__file__).parents[1] / "edge" / "networks"
TINTS = [str(NETWORKS / f"tint_{name}.tflite") for name in ("int8", "float32")]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "TURN_S", 0.001)
    monkeypatch.setattr(timing, "COLD_STARTS", 1)


def test_bench_measures_predicts_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine, other = tmp_path / "mine.json", tmp_path / "other.json"
    arguments = ["bench", *TINTS, "--threads", "1", "--seconds", "0.1"]
    assert main([*arguments, "--profile", "--top", "1", "--json", str(other)]) == 0
    text = capsys.readouterr().out
    for said in ("warm, per answer", "cold, 1 threads", "operators of tint_int8", "Raspberry Pi 4"):
        assert said in text
    results = json.loads(other.read_text())
    assert results["command"].startswith("wormfocus bench")
    assert [row["precision"] for row in results["rows"]] == ["int8", "fp32"]
    assert results["operators"]["tint_int8"]["float_operators"] == 0
    assert {(row["machine"], row["threads"]) for row in results["predicted"]} == {
        (f"Raspberry Pi {board}", threads) for board in (4, 5) for threads in (1, 4)
    }
    assert results["machine"]["cores"] >= 1
    # As if from another machine, with another file of that name.
    results["rows"][0]["sha256"] = "0" * 64
    other.write_text(json.dumps(results))
    assert main([*arguments, "--against", str(other), "--json", str(mine)]) == 0
    assert "warning: tint_int8, ai-edge-litert" in capsys.readouterr().out
    pairs = json.loads(mine.read_text())["against"]["rows"]
    assert [pair["same_network"] for pair in pairs] == [False, True]


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["nothing"], "unknown bundle 'nothing'"),
        ([TINTS[0], "--against", str(tmp_path / "absent.json")], "cannot be read"),
        ([TINTS[0], "--python", str(tmp_path / "absent")], "cannot be started"),
    ):
        assert main(["bench", *arguments]) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("wormfocus:")]
        assert len(lines) == 1
        assert said in lines[0]

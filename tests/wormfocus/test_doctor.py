"""`wormfocus doctor`: every item is looked at, whatever the others are like, and nothing moves."""

import json
from pathlib import Path

import pytest
import yaml

from edge.bundle import check as bundle_check
from hw import rig as rig_module
from hw.check import Check, Status
from hw.config import load_rig
from hw.stepper import StepperAxis
from wormfocus.command import main

QUICK = ["--seconds", "0.3"]


def findings(path: Path) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in json.loads(path.read_text())["checks"]}


def test_a_simulated_rig_is_fit_and_says_that_it_is_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[float] = []
    for name in ("move_to", "jog", "home", "confirm_position"):
        monkeypatch.setattr(StepperAxis, name, lambda self, *values, **named: moves.append(1))
    out = tmp_path / "doctor.json"
    assert main(["doctor", "--rig", "worm_tracker_sim", "--json", str(out), *QUICK]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith("SIMULATED worm_tracker_sim")
    assert printed.splitlines()[-1].startswith("SIMULATED worm_tracker_sim: fit to run")
    assert "\x1b" not in printed
    record = json.loads(out.read_text())
    assert (record["fit"], record["notice"]) == (True, "SIMULATED")
    assert {"LiteRT runtime", "bundle", "prediction", "position", "frames", "exposure"} <= set(findings(out))
    assert moves == [], "nobody asked for a move"


def test_a_move_is_made_when_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "doctor.json"
    arguments = ["doctor", "--rig", "worm_tracker_sim", "--move", "20", "--json", str(out), *QUICK]
    assert main(arguments) == 0
    assert findings(out)["move"]["seen"].startswith("+20 steps and back")


def test_a_machine_without_hardware_is_told_item_by_item(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hw.gpio.opening.gpio_chips", list)
    monkeypatch.setattr("hw.gpio.checks.gpio_chips", list)
    monkeypatch.setitem(__import__("sys").modules, "picamera2", None)
    rig = load_rig("worm_tracker").model_dump(mode="json", exclude_none=True)
    rig["axis"]["drive"]["position_file"] = str(tmp_path / "axis.json")
    (tmp_path / "rig.yaml").write_text(yaml.safe_dump(rig))
    out = tmp_path / "doctor.json"
    assert main(["doctor", "--rig", str(tmp_path / "rig.yaml"), "--json", str(out), *QUICK]) == 1
    streams = capsys.readouterr()
    assert "Traceback" not in streams.err + streams.out
    assert "NOT FIT" in streams.out.splitlines()[-1]
    found = findings(out)
    for name in ("GPIO chip", "GPIO lines", "axis", "picamera2", "camera"):
        assert found[name]["status"] == "missing", name
        assert found[name]["next_step"], name
    assert found["position"]["status"] == "failed"
    for name in ("bundle", "prediction", "LiteRT runtime", "disk"):
        assert found[name]["status"] in ("ok", "warning"), name
    assert found["scheduling"]["seen"].startswith(("SCHED_FIFO", "ordinary"))
    assert not (tmp_path / "axis.json").exists()


@pytest.mark.parametrize("name", ["open_axis", "open_camera"])
def test_one_part_that_breaks_does_not_stop_the_others(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a library had an accident")

    monkeypatch.setattr(rig_module, name, broken)
    out = tmp_path / "doctor.json"
    assert main(["doctor", "--rig", "worm_tracker_sim", "--json", str(out), *QUICK]) == 1
    found = findings(out)
    part, other = {"open_axis": ("axis", "exposure"), "open_camera": ("camera", "position")}[name]
    assert (found[part]["status"], found[part]["seen"]) == ("failed", "a library had an accident")
    assert found[other]["status"] == "ok"


def test_a_bundle_that_does_not_fit_is_a_finding_and_not_an_error(tmp_path: Path) -> None:
    rig = load_rig("worm_tracker_sim").model_dump(mode="json", exclude_none=True)
    rig["optics"]["dof_um"] = 2
    (tmp_path / "rig.yaml").write_text(yaml.safe_dump(rig))
    out = tmp_path / "doctor.json"
    assert main(["doctor", "--rig", str(tmp_path / "rig.yaml"), "--json", str(out), *QUICK]) == 1
    assert findings(out)["bundle"]["status"] == "failed"
    assert "depth of field 2 um" in findings(out)["bundle"]["seen"]
    arguments = ["doctor", "--rig", "worm_tracker_sim", "--bundle", "defautl", "--json", str(out), *QUICK]
    assert main(arguments) == 1
    assert "defautl" in findings(out)["bundle"]["seen"]


def test_without_a_runtime_that_is_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_check, "INTERPRETERS", ("not_there.interpreter",))
    found = bundle_check.check_runtime()
    assert found == Check(
        "LiteRT runtime",
        Status.missing,
        "not_there: No module named 'not_there'",
        "pip install ai-edge-litert",
    )


def test_a_network_slower_than_the_frames_fails() -> None:
    rig = load_rig("worm_tracker_sim")
    quick = rig.model_copy(update={"camera": rig.camera.model_copy(update={"fps": 1e5})})
    prediction = bundle_check.check_bundle("default", quick)[1]
    assert prediction.status is Status.failed
    slow = rig.model_copy(update={"camera": rig.camera.model_copy(update={"fps": 0.1})})
    assert bundle_check.check_bundle("default", slow)[1].status is Status.ok


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "--rig"),
        (["--rig", "worm_trackr"], "did you mean 'worm_tracker'"),
        (["--rig", "worm_tracker_sim", "--move", "0"], "--move"),
        (["--rig", "worm_tracker_sim", "--move", "far"], "--move"),
        (["--rig", "worm_tracker_sim", "--seconds", "nan"], "--seconds"),
        (["--rig", "no.yaml"], "cannot be read"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line

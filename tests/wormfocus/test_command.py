"""The command line's promise: exit status 0, 2 or 1, and one line on stderr."""

from pathlib import Path

import pytest
import typer
import yaml

from hw.config import load_rig
from hw.errors import AxisFault, BundleError, CameraStalled, ConfigError, StackError
from wormfocus import __version__
from wormfocus.command import main

COMMANDS = [
    "dataset",
    "demo",
    "diff",
    "doctor",
    "evaluate",
    "export",
    "focus",
    "info",
    "jog",
    "label",
    "run",
    "sensitivity",
    "sign",
    "simulate",
    "stack",
    "train",
    "verify",
]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Replace the application by one whose command `fail` raises the error put into this list."""
    errors: list[BaseException] = []
    app = typer.Typer()

    @app.callback()
    def root() -> None: ...

    @app.command()
    def fail() -> None:
        raise errors[0]

    monkeypatch.setattr("wormfocus.command.app", app)
    return errors


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    streams = capsys.readouterr()
    lines = streams.err.splitlines()
    assert len(lines) == 1, streams.err
    assert lines[0].startswith("wormfocus: ")
    return lines[0]


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"wormfocus {command}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"wormfocus {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "reason"), [(["polish"], "'polish'"), (["--fast"], "--fast"), (["run", "--fast"], "--fast")]
)
def test_an_unknown_command_or_option_is_bad_input(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert reason in one_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["jog", "--rig", "worm_tracker_sim", "--by", "2.5"], "'--by': give a whole number; see"),
        (["jog", "--rig", "worm_tracker_sim", "--by-um", "far"], "'--by-um': give a number; see"),
        (["stack", "--rig", "x", "--out", "y", "-n", "0"], "'-n': give 1 or more; see"),
        (["stack", "--rig", "x", "--out", "y", "--jitter", "0.9"], "'--jitter': give at most 0.45; see"),
        (["evaluate", "x", "--split", "some"], "'--split': 'some' is not one of 'test', "),
        (["dataset", ".", "--add", "--day", "today"], "--day today: is no date; write year, month and day"),
        (["dataset", ".", "--add", "--day", "20261121"], "--day 20261121: is no date; "),
    ],
)
def test_a_wrong_value_of_an_option_is_told_in_plain_words(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in one_line(capsys)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("rig.yaml:3: unknown key 'a'; remove it"), 2),
        (StackError("a.ome.tif: no positions; record it again"), 2),
        (BundleError("b.tflite: truncated; copy it again"), 2),
        (AxisFault("driver over temperature; let it cool down"), 1),
        (CameraStalled("no frame for 2 s; check the ribbon cable"), 1),
    ],
)
def test_an_error_raised_on_purpose_is_one_line_and_a_status(
    error: Exception, status: int, failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(error)
    assert main(["fail"]) == status
    assert one_line(capsys) == f"wormfocus: {error}"


def test_a_message_of_several_lines_becomes_one(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(ConfigError("first\nsecond"))
    assert main(["fail"]) == 2
    assert one_line(capsys) == "wormfocus: first second"


def test_an_interrupt_is_no_traceback(failing: list[BaseException]) -> None:
    failing.append(KeyboardInterrupt())
    assert main(["fail"]) == 130


def test_a_programming_error_is_not_hidden(failing: list[BaseException]) -> None:
    failing.append(ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError):
        main(["fail"])


def test_an_unknown_rig_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["simulate", "--rig", "worm_traker_sim", "-n", "1", "--out", str(tmp_path / "stacks")]
    assert main(arguments) == 2
    assert "did you mean 'worm_tracker_sim'?" in one_line(capsys)
    assert not (tmp_path / "stacks").exists()


def test_a_device_for_a_rig_without_a_worm_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["simulate", "--rig", "beads_sim", "--device", "cuda", "--out", str(tmp_path / "s")]
    assert main(arguments) == 2
    assert "rig 'beads_sim' shows beads; leave --device out" in one_line(capsys)
    assert not (tmp_path / "s").exists()


def test_an_unknown_key_in_a_rig_file_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = tmp_path / "mine.yaml"
    text = load_rig("worm_tracker").model_dump_json(exclude_none=True)
    rig.write_text(text.replace('"settle_s"', '"setle_s"'))
    assert main(["run", "--rig", str(rig), "--bundle", "default", "--seconds", "1"]) == 2
    line = one_line(capsys)
    assert "mine.yaml:1" in line
    assert "did you mean 'settle_s'?" in line


def test_a_rig_without_its_hardware_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = load_rig("worm_tracker").model_dump(mode="json")
    rig["gpio"]["chip"] = "no such chip"
    path = tmp_path / "rig.yaml"
    path.write_text(yaml.safe_dump(rig), encoding="utf-8")
    assert main(["run", "--rig", str(path), "--method", "none", "--seconds", "1"]) == 2
    assert "no chip is called 'no such chip'" in one_line(capsys)


@pytest.mark.parametrize("bundle", ["no_such_bundle", "absent.tflite"])
def test_an_unknown_bundle_is_bad_input(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", bundle]) == 2
    assert bundle in one_line(capsys)


def test_a_package_of_an_extra_that_is_missing_is_told_with_the_extra(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(ModuleNotFoundError("No module named 'litert_torch'", name="litert_torch"))
    assert main(["fail"]) == 2
    assert "pip install 'wormfocus[export]'" in one_line(capsys)
    failing[0] = ModuleNotFoundError("No module named 'numpy'", name="numpy")
    with pytest.raises(ModuleNotFoundError):
        main(["fail"])

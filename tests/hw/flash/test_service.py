"""What systemd says of the unit."""

import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from wormfocus.command import main

UNIT = Path(str(resources.files("hw.flash") / "wormfocus.service"))
pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed; apt install systemd"
)
# Devices, SCHED_FIFO and /proc/device-tree are what keeps the exposure above zero.
MOST_EXPOSURE = 2.5


def test_systemd_has_nothing_to_complain_about(tmp_path):
    text = UNIT.read_text(encoding="utf-8")
    program = tmp_path / "wormfocus"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/opt/wormfocus/current/bin/wormfocus", str(program)))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert UNIT.name not in result.stderr
    # That it would have complained.
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert UNIT.name in subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_the_exposure_is_low():
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level for wormfocus.service: ([\d.]+)", result.stdout)
    assert found is not None, result.stdout + result.stderr
    assert float(found[1]) <= MOST_EXPOSURE


def test_the_program_knows_every_option_that_the_unit_gives_it(capsys):
    command = re.search(r"^ExecStart=\S+/wormfocus (\w+) (.*)$", UNIT.read_text(), re.MULTILINE)
    assert command is not None
    assert main([command[1], "--help"]) == 0
    known = capsys.readouterr().out
    options = re.findall(r"--[a-z-]+", command[2])
    assert len(options) >= 4
    assert [option for option in options if option not in known] == []

import json
from pathlib import Path

import numpy as np
import pytest

from calibration.stack import ZStack, write_stack
from wormfocus.command import main

SMALL = [
    "--rig",
    "slit_laser_sim",
    "--rows",
    "1",
    "--columns",
    "2",
    "--span-um",
    "5",
    "--begin-span-um",
    "150",
]


def test_contrast_focuses_every_well_and_holding_still_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {}
    for method in ("contrast", "none"):
        file = tmp_path / f"{method}.json"
        out = tmp_path / method
        given = ["plate", *SMALL, "--method", method, "--out", str(out), "--json", str(file)]
        assert main(given) == 0
        assert "SIMULATED" in capsys.readouterr().out
        assert (out / "plate.png").stat().st_size > 5000
        figures[method] = json.loads(file.read_text())
    contrast, still = figures["contrast"], figures["none"]
    assert (contrast["wells"], contrast["focused"], contrast["measured"]) == (2, 2, 2)
    assert contrast["true"]["worst_um"] < 0.3
    assert contrast["frames_median"] > 20
    assert (still["focused"], still["by_well"][0]["focused"]) == (0, None)
    # One column of this plate is several um higher than the next.
    assert still["true"]["worst_um"] > 3
    assert still["by_well"][0]["true_offset_um"] == pytest.approx(0, abs=0.3)
    # Done already: nothing is recorded again, and the figures are the same.
    again = tmp_path / "again.json"
    assert main(["plate", *SMALL, "--method", "none", "--out", str(out), "--json", str(again)]) == 0
    assert json.loads(again.read_text())["by_well"] == still["by_well"]


def test_stacks_of_another_microscope_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    y, x = np.mgrid[:40, :40]
    spot = np.exp(-((x - 20) ** 2 + (y - 17) ** 2) / 4)
    positions = 100 + np.arange(-10, 11) * 0.25
    for name, focus in (("A1", 100.2), ("A2", 99.8)):
        rng = np.random.default_rng(1)
        images = [
            20 + 200 / (1 + ((z - focus) / 0.4) ** 2) * spot + rng.normal(0, 1, (40, 40)) for z in positions
        ]
        write_stack(tmp_path / f"x_{name}.ome.tif", ZStack(np.stack(images).astype(np.uint8), positions))
    file = tmp_path / "figures.json"
    assert main(["plate", "--stacks", str(tmp_path), "--json", str(file)]) == 0
    assert "SIMULATED" not in capsys.readouterr().out
    found = json.loads(file.read_text())
    assert found["std_um"] == pytest.approx(0.4 / np.sqrt(2), abs=0.03)
    assert found["by_well"][0]["offset_um"] == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["plate"], "--rig RIG"),
        (["plate", "--rig", "slit_laser_sim", "--stacks", "{tmp}"], "--stacks FOLDER"),
        (["plate", "--rig", "slit_laser_sim"], "--out is missing"),
        (["plate", "--rig", "slit_laser_sim", "--out", "{tmp}/o"], "needs --bundle"),
        (["plate", "--rig", "slit_laser_sim", "--out", "{tmp}/o", "--bundle", "default"], "does not fit"),
        (["plate", "--rig", "worm_tracker_sim", "--out", "{tmp}/o", "--method", "none"], "no imaging camera"),
        (["plate", *SMALL, "--out", "{tmp}/o", "--method", "none", "--step-um", "4"], "too few planes"),
        (["plate", *SMALL, "--out", "{tmp}/o", "--begin-span-um", "inf"], "not a finite number"),
        (["plate", "--stacks", "{tmp}"], "no *.ome.tif stack"),
        (["plate", "--stacks", "{tmp}", "--picture", "{tmp}/plate.xyz"], "pictures are PNG files"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    arguments: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [part.replace("{tmp}", str(tmp_path)) for part in arguments]
    assert main(given) == 2
    assert not (tmp_path / "o").exists(), "the folder stays free for a plan that can be"
    error = capsys.readouterr().err.strip()
    assert reason in error.splitlines()[-1]
    assert error.splitlines()[-1].startswith("wormfocus: ")

"""`run`, `focus` and `demo` as a person calls them, on recorded stacks."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.stack import ZStack, write_stack
from edge.contrast import sharpness
from hw.plane_folder import read_recording
from hw.replay import display_planes
from wormfocus.command import main
from wormfocus.demo import free_folder

PLANES_UM = np.arange(0.0, 1001.0, 100.0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack of eleven planes that is sharpest at 600 um."""
    rough = np.random.default_rng(3).normal(0, 40, (96, 96))
    images = []
    for position in PLANES_UM:
        sigma = 0.6 + abs(position - 600) / 150
        blurred = cv2.GaussianBlur(rough, (0, 0), sigma) * 2
        images.append(np.clip(128 + blurred, 0, 255).astype(np.uint8))
    path = tmp_path_factory.mktemp("stack") / "texture.ome.tif"
    write_stack(path, ZStack(np.stack(images), PLANES_UM, um_per_px=2.0))
    return path


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_run_contrast_ends_on_the_sharpest_plane(recording, tmp_path, capsys):
    figures_file, session = tmp_path / "figures.json", tmp_path / "session"
    status = run(
        *("run", "--rig", "replay", "--method", "contrast", "--stack", recording),
        *("--seconds", 12, "--json", figures_file, "--session", session),
    )
    assert status == 0
    figures = json.loads(figures_file.read_text())
    assert figures["notice"] == "REPLAYED"
    assert figures["time_to_lock_s"] is not None
    assert figures["in_focus_fraction"] is None
    rows = (session / "frames.csv").read_text().splitlines()
    assert len(rows) == figures["frames"] + 1
    assert (session / "summary.png").exists()
    # Ten steps between planes.
    assert figures["final_steps"] == pytest.approx(60, abs=5)
    out = capsys.readouterr().out
    assert "REPLAYED" in out
    assert "time to lock" in out


def test_a_session_in_use_is_bad_input(recording, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    command = ("run", "--rig", "replay", "--method", "none", "--stack", recording, "--session", tmp_path)
    assert run(*command) == 2
    assert "never overwritten" in capsys.readouterr().err


def test_focus_says_where_it_ended(recording, tmp_path, capsys):
    result_file = tmp_path / "result.json"
    command = ("focus", "--rig", "replay", "--method", "contrast", "--stack", recording)
    assert run(*command, "--json", result_file) == 0
    assert capsys.readouterr().out.startswith("REPLAYED focused")
    result = json.loads(result_file.read_text())
    assert result["focused"] is True
    assert result["lens_steps"] == pytest.approx(60, abs=5)


def test_a_focus_on_noise_is_status_1(tmp_path, capsys):
    path = tmp_path / "noise.ome.tif"
    noise = np.random.default_rng(0).normal(128, 20, (11, 96, 96))
    write_stack(path, ZStack(np.clip(noise, 0, 255).astype(np.uint8), PLANES_UM, um_per_px=2.0))
    result_file = tmp_path / "result.json"
    command = ("--rig", "replay", "--method", "contrast", "--stack", path, "--json", result_file)
    assert run("focus", *command) == 1
    assert "NOT focused" in capsys.readouterr().out
    result = json.loads(result_file.read_text())
    assert result["focused"] is False
    assert result["lens_steps"] == 0


def test_a_focus_that_fails_is_status_1(recording, capsys):
    command = ("focus", "--rig", "replay", "--method", "contrast", "--stack", recording)
    assert run(*command, "--timeout", 0.5) == 1
    assert "NOT focused" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--rig", "nothing_like_it"), "unknown rig"),
        (("--rig", "replay"), "--stack"),
        (("--rig", "worm_tracker_sim", "--spacing-um", 3), "--spacing-um has no meaning"),
        (("--rig", "replay", "--method", "network", "--bundle", "nothing_like_it"), "bundle"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, expected, capsys):
    method = () if "--method" in arguments else ("--method", "none")
    assert run("run", *arguments, *method) == 2
    err = capsys.readouterr().err.strip()
    assert expected in err
    assert "\n" not in err


def test_demo_never_takes_a_folder_in_use(tmp_path):
    wanted = tmp_path / "demo"
    assert free_folder(wanted) == wanted
    wanted.mkdir()
    assert free_folder(wanted) == wanted
    (wanted / "summary.png").touch()
    assert free_folder(wanted) == tmp_path / "demo-2"
    (tmp_path / "demo-2").touch()
    assert free_folder(wanted) == tmp_path / "demo-3"


def sharpest_plane_um(folder: Path, spacing_um: float | None) -> float:
    stack = read_recording(folder, spacing_um)
    scores = [sharpness(plane) for plane in display_planes(stack.images)]
    return float(stack.positions_um[int(np.argmax(scores))])


def nearest_plane_um(folder: Path, spacing_um: float | None, lens_um: float) -> float:
    positions = read_recording(folder, spacing_um).positions_um
    return float(positions[int(np.argmin(np.abs(positions - lens_um)))])


@pytest.fixture
def shrunk_scorpion(shared_data: Path, tmp_path: Path) -> Path:
    """The eleven planes of a Pi camera's sweep, smaller so that the test is quick."""
    folder = tmp_path / "scorpion"
    folder.mkdir()
    for path in (shared_data / "stacks" / "pi_scorpion_lapse").glob("*.png"):
        image = cv2.imread(str(path))
        assert image is not None
        small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / path.name), small)
    return folder


@pytest.mark.parametrize("start", ["first", "last"])
def test_contrast_on_a_pi_cameras_sweep(shrunk_scorpion, tmp_path, start):
    rig = rig_starting_at(tmp_path, 100.0 if start == "first" else 1100.0)
    ends_on_the_sharpest(rig, shrunk_scorpion, 100.0, tmp_path)


def test_full_focus_on_recorded_stacks(shrunk_scorpion, shared_data):
    command = ("focus", "--rig", "replay", "--method", "contrast", "--stack")
    assert run(*command, shrunk_scorpion, "--spacing-um", 10) == 0
    assert run(*command, shared_data / "stacks" / "dfnn_mitochondria_fluor") == 0


@pytest.mark.parametrize("start_um", [-0.7, 0.9])
def test_contrast_on_a_fluorescence_stack(shared_data, tmp_path, start_um):
    rig = rig_starting_at(tmp_path, start_um)
    ends_on_the_sharpest(rig, shared_data / "stacks" / "dfnn_mitochondria_fluor", None, tmp_path)


def rig_starting_at(folder: Path, start_um: float) -> Path:
    shipped = (Path(__file__).parents[2] / "hw" / "rigs" / "replay.yaml").read_text()
    path = folder / "rig.yaml"
    path.write_text(f"{shipped}  start_um: {start_um}\n")
    return path


def ends_on_the_sharpest(rig: Path, stack: Path, spacing_um: float | None, folder: Path) -> None:
    figures_file = folder / "figures.json"
    spacing = () if spacing_um is None else ("--spacing-um", spacing_um)
    command = ("run", "--rig", rig, "--method", "contrast", "--stack", stack, *spacing)
    assert run(*command, "--seconds", 15, "--session", folder / "session", "--json", figures_file) == 0
    figures = json.loads(figures_file.read_text())
    history = (folder / "session" / "rig.yaml").read_text()
    um_per_step = float(history.split("um_per_step:")[1].split()[0])
    ended_um = nearest_plane_um(stack, spacing_um, figures["final_steps"] * um_per_step)
    assert ended_um == sharpest_plane_um(stack, spacing_um)

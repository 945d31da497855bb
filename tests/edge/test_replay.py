"""A recorded session says enough to take every decision again."""

import csv
import json
from pathlib import Path

import pytest

from edge.bundle import Prediction
from edge.controller import Controller, Observation
from edge.decision import AxisReading
from edge.loop import run_autofocus
from edge.session import Session
from hw.config import RigConfig, load_rig


def number(cell: str) -> float | None:
    return None if cell == "" else float(cell)


def observation(row: dict[str, str]) -> Observation:
    prediction = None
    if row["in_range"] != "":
        prediction = Prediction(float(row["offset_um"]), number(row["sigma_um"]), row["in_range"] == "1")
    start, length = float(row["exposure_start_s"]), float(row["exposure_s"])
    return Observation(
        start,
        start + length / 2,
        float(row["lens_steps"]),
        row["lens_moving"] == "1",
        prediction,
        row["note"],
        row["subject_seen"] == "1",
        number(row["sharpness"]),
    )


def axis_reading(row: dict[str, str], config: RigConfig) -> AxisReading:
    return AxisReading(
        float(row["axis_steps"]),
        float(row["axis_target_steps"]),
        row["axis_moving"] == "1",
        (config.axis.min_steps, config.axis.max_steps),
        row["reason"] if row["action"] == "fault" else None,
    )


@pytest.mark.parametrize(
    ("start", "predictor", "sections"),
    [
        (250, {"outlier_rate": 0.05}, {}),
        (100, {"blind_from_s": 1.0, "blind_until_s": 8.0}, {}),
        (900, {}, {}),
        (150, {}, {"tracking": {"follow": True}}),
        (150, {"bias_um": 80.0, "sigma_um": 20.0}, {"control": {"trim_every_s": 3}}),
    ],
    ids=["noisy", "blind and searching", "out of range", "no worm", "trimmed"],
)
def test_the_recorded_frames_give_the_same_decisions(
    make_scene, make_config, tmp_path: Path, start, predictor, sections
):
    scene = make_scene(start, lambda t: 3.7 * t, config=make_config(**sections))
    with Session(tmp_path, scene.rig.config, None) as session:
        run_autofocus(scene.rig, scene.network(**predictor), seconds=9, session=session)
    config = load_rig(tmp_path / "rig.yaml")
    controller = Controller(config)
    events = (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    controller.start(json.loads(events[0])["clock_s"])
    with (tmp_path / "frames.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 100
    for row in rows:
        seen, axis = observation(row), axis_reading(row, config)
        assert controller.wants_sharpness(seen, axis) == (row["sharpness"] != "")
        again = controller.decide(seen, axis, float(row["decided_s"]))
        recorded = (row["action"], number(row["target_steps"]), row["reason"], row["state"])
        assert (again.action, again.target_steps, again.reason, again.state) == recorded

"""A survey: every point of a grid in turn, each on disk before the next, so that it can be taken up again."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from calibration.focus_map.patches import Judge
from calibration.focus_map.path import GridPoint, places
from calibration.focus_map.point import MapPoint, PointPlan, measure_point
from calibration.focus_map.result import FocusMap, point_from
from calibration.focus_map.station import Station
from hw.errors import StackError
from hw.rig import Rig
from hw.whole_file import write_whole

__all__ = ["POINTS_FILE", "survey"]

POINTS_FILE = "points.jsonl"


def survey(
    rig: Rig,
    path: Sequence[GridPoint],
    plan: PointPlan,
    judge: Judge | None,
    folder: Path,
    about: dict[str, Any],
    *,
    progress: Callable[[MapPoint], None] | None = None,
) -> FocusMap:
    """Measure the points of a grid in their order.

    A point that fails is marked with the reason and the survey goes on; the plane expected at a point is that
    of the last one measured. The first plane has to be searched for; with it known, the network says what it
    says in focus, and this constant error on this slide is taken off everything that it says later.

    Parameters
    ----------
    rig : an open rig with a stage
    path : the points
    plan, judge : how points are measured; see `measure_point`
    folder : of `points.jsonl`; a survey of the same description in it is taken up where it stopped
    about : describes the survey: what must be equal for that
    progress : called with every point, those on disk included

    Raises
    ------
    StackError
        The folder holds another survey, or cannot be written.
    AxisFault, CameraStalled
        The rig fails; what was measured stays on disk.
    """
    about = {
        **about,
        "plan": asdict(plan),
        "places": places(path),
    }
    file = folder / POINTS_FILE
    done = _taken_up(file, about)
    for measured in done:
        if progress is not None:
            progress(measured)
    if len(done) < len(path):
        station = Station(rig)
        expected_um = next((each.focus_um for each in reversed(done) if each.focus_um is not None), None)
        for point in path[len(done) :]:
            told = [each.told_um for each in done if each.told_um is not None]
            trim_um = sum(told) / len(told) if told else 0.0
            measured = measure_point(station, point, plan, expected_um, judge, trim_um=trim_um)
            _append(file, asdict(measured))
            done.append(measured)
            if measured.focus_um is not None:
                expected_um = measured.focus_um
            if progress is not None:
                progress(measured)
    return FocusMap(about, tuple(done))


def _taken_up(file: Path, about: dict[str, Any]) -> list[MapPoint]:
    """Return the points of an earlier sitting, after checking that it is of this survey; begin a new file."""
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            _append(file, about)
            return []
        *whole, cut_short = file.read_bytes().split(b"\n")
        ours = json.dumps(about).encode()
        same = json.loads(whole[0]) == json.loads(ours) if whole else ours.startswith(cut_short)
        if not same:
            raise StackError(f"{file}: holds another survey; choose another folder")
        # A line that was cut short is that of a point to be measured again.
        if cut_short:
            write_whole(file, b"".join(line + b"\n" for line in whole))
        if not whole:
            _append(file, about)
        return [point_from(json.loads(line)) for line in whole[1:]]
    except OSError as error:
        raise StackError(f"{file}: cannot be used ({error.strerror}); choose another folder") from error
    except (ValueError, TypeError) as error:
        if isinstance(error, StackError):
            raise
        raise StackError(f"{file}: damaged ({error}); choose another folder") from error


def _append(file: Path, line: dict[str, Any]) -> None:
    try:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, allow_nan=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StackError(f"{file}: cannot be written ({error.strerror}); make space, then go on") from error

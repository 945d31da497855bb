"""The focus map: its path, its patches, its surface, and surveys of the simulated slide."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.focus_map.patches import PatchOffset, block_contrast, patch_boxes, weigh
from calibration.focus_map.path import GridPoint, plan_path
from calibration.focus_map.picture import draw_map
from calibration.focus_map.point import MapPoint, PointPlan
from calibration.focus_map.result import FocusMap, compare, read_map, write_map
from calibration.focus_map.station import Station
from calibration.focus_map.surface import fit_surface
from calibration.focus_map.survey import POINTS_FILE, survey
from hw.config import RigConfig, load_rig
from hw.errors import ConfigError, StackError
from hw.rig import Rig, open_rig
from hw.simulation.rig import sample_of
from hw.simulation.slide import Slide
from hw.simulation.slide_config import SlideConfig
from hw.stage import StageConfig

STAGE = StageConfig(
    min_x_um=-100,
    max_x_um=100,
    min_y_um=0,
    max_y_um=60,
    max_speed_um_s=100,
    acceleration_um_s2=1000,
    settle_s=0.1,
)
SEED = 3
ABOUT = {"rig": "slide_sim", "seed": SEED, "method": "network"}


def small_rig() -> RigConfig:
    rig = load_rig("slide_sim")
    camera = rig.camera.model_copy(update={"width_px": 192, "height_px": 128})
    # Near focus from the start: rendering far from it takes long.
    control = rig.control.model_copy(update={"search_span_um": 20.0})
    assert isinstance(rig.simulation, SlideConfig)
    axis = rig.simulation.axis.model_copy(update={"start_offset_steps": 20.0})
    relief = rig.simulation.relief.model_copy(update={"tilt_rad": 0.001})
    simulation = rig.simulation.model_copy(update={"axis": axis, "relief": relief})
    return rig.model_copy(update={"camera": camera, "control": control, "simulation": simulation})


def slide(rig: RigConfig) -> Slide:
    found = sample_of(rig, seed=SEED)
    assert isinstance(found, Slide)
    return found


def tissue_points(rig: RigConfig, count: int) -> list[GridPoint]:
    """Neighbouring places that are all tissue."""
    sample = slide(rig)
    places = [(float(x), float(y)) for y in range(-1200, 1201, 300) for x in range(-1200, 1201, 300)]
    chosen = [place for place in places if sample.cover(place) > 0.9][:count]
    return [GridPoint(number, 0, x, y) for number, (x, y) in enumerate(chosen)]


class Oracle:
    """Knows the geometrical plane of an open rig, which is not where contrast peaks; may err.

    `spread_um` pulls its patches apart, `error_um` is added to all.
    """

    range_um = 6.0
    patch_px = (64, 64)

    def __init__(self, rig: Rig, *, spread_um: float = 0.0, error_um: float = 0.0) -> None:
        self._rig, self._spread_um, self._error_um, self.asked = rig, spread_um, error_um, 0

    def judge(self, patch: NDArray[np.uint8]) -> PatchOffset:
        assert patch.shape == (64, 64, 3)
        assert self._rig.ideal is not None
        self.asked += 1
        rig, now = self._rig, self._rig.clock.now()
        offset = rig.ideal.plane_um(now) - rig.axis.position_steps * rig.axis.um_per_step
        told = (
            float(np.clip(offset, -8, 8))
            + self._error_um
            + self._spread_um * (0.5 if self.asked % 2 else -0.5)
        )
        return PatchOffset(told, 0.2, abs(told) <= self.range_um)


def test_the_path_turns_at_the_end_of_every_row() -> None:
    path = plan_path(STAGE, 3, 2)
    assert [(point.column, point.row) for point in path] == [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (0, 1)]
    assert [(point.x_um, point.y_um) for point in path[:2]] == [(-100, 0), (0, 0)]
    steps = [abs(a.column - b.column) + abs(a.row - b.row) for a, b in pairwise(path)]
    assert set(steps) == {1}


@pytest.mark.parametrize(
    ("columns", "width", "message"), [(1, None, "spans no surface"), (3, 201.0, "does not fit")]
)
def test_a_grid_that_cannot_be_is_refused(columns: int, width: float | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_path(STAGE, columns, 3, width_um=width)


def test_patches_lie_within_the_frame_and_apart() -> None:
    boxes = patch_boxes((640, 480), (128, 128))
    assert len(boxes) == 9
    covered = np.zeros((480, 640), int)
    for x, y, width, height in boxes:
        covered[y : y + height, x : x + width] += 1
    assert covered.max() == 1
    assert covered.sum() == 9 * 128 * 128
    assert len(patch_boxes((640, 480), (300, 400))) == 2


def test_sure_patches_count_for_more_and_unsure_ones_not_at_all() -> None:
    sure, other, unsure = (
        PatchOffset(1.0, 0.1, True),
        PatchOffset(2.0, 0.2, True),
        PatchOffset(9.0, 3.0, False),
    )
    verdict = weigh([sure, other, unsure], most_sigma_um=1.0)
    assert verdict is not None
    assert verdict.offset_um == pytest.approx(1.2)
    assert (verdict.patches, verdict.spread_um, verdict.in_range) == (2, 1.0, True)
    assert weigh([sure, unsure], most_sigma_um=1.0) is None


def test_an_empty_field_has_less_contrast_than_blurred_tissue() -> None:
    rig = small_rig()
    sample = slide(rig)
    point = tissue_points(rig, 1)[0]
    place = (point.x_um, point.y_um)
    blurred = sample.intensity(0.0, place, sample.plane_um(0.0, place) + 25)
    empty = np.ones_like(blurred)
    contrasts = [block_contrast(sample.sensor.develop(each, 1, binned=False)) for each in (blurred, empty)]
    assert contrasts[1] < PointPlan().least_contrast < contrasts[0]


def test_the_surface_follows_a_bent_slide_and_knows_its_error() -> None:
    rng = np.random.default_rng(0)
    x, y = (each.ravel() for each in np.meshgrid(np.linspace(0, 10e3, 12), np.linspace(0, 10e3, 12)))

    def height(x_um: NDArray[np.float64], y_um: NDArray[np.float64]) -> NDArray[np.float64]:
        bend: NDArray[np.float64] = (
            0.002 * x_um - 0.001 * y_um + 3 * np.sin(x_um / 2000) * np.cos(y_um / 2500)
        )
        return bend

    measured = height(x, y) + rng.normal(0, 0.2, len(x))
    surface = fit_surface(np.stack([x, y], axis=1), measured)
    places = rng.uniform(0, 10e3, (200, 2))
    found, sigma = surface.at(places)
    error = found - height(places[:, 0], places[:, 1])
    assert error.std() < 0.2
    assert 0.5 < np.sqrt(np.mean((error / sigma) ** 2)) < 2
    assert surface.noise_um == pytest.approx(0.2, rel=0.4)
    # Leaving a point out by refitting without it gives what the closed form says.
    keep = np.arange(len(x)) != 70
    refit = replace(surface)
    again = fit_surface(np.stack([x, y], axis=1)[keep], measured[keep])
    if again.length_um == refit.length_um:
        told = measured[70] - again.at(np.array([[x[70], y[70]]]))[0][0]
        assert surface.loo_um[70] == pytest.approx(told, abs=0.02)


def test_a_surface_needs_points_that_span_it() -> None:
    line = np.stack([np.arange(8.0), np.arange(8.0)], axis=1)
    with pytest.raises(StackError, match="on one line"):
        fit_surface(line, np.arange(8.0))
    with pytest.raises(StackError, match="at least 6"):
        fit_surface(line[:5], np.arange(5.0))


def test_single_shots_and_stacks_agree_on_the_slide(tmp_path: Path) -> None:
    rig = small_rig()
    path = tissue_points(rig, 5)
    maps = []
    for method in ("network", "contrast"):
        with open_rig(rig, seed=SEED) as opened:
            judge = Oracle(opened) if method == "network" else None
            about = {**ABOUT, "method": method}
            maps.append(survey(opened, path, PointPlan(), judge, tmp_path / method, about))
    shot, scanned = maps
    assert [point.state for point in shot.points] == ["scanned", *["shot"] * 4]
    assert shot.points[0].reason == "no plane known yet"
    assert [(point.state, point.reason) for point in scanned.points[1:]] == [("scanned", "")] * 4
    error = compare(shot, scanned).figures(1.0)
    # What the oracle says in focus at the first point, its error and the way to the sharpest plane, is off.
    told = shot.points[0].told_um
    assert told is not None
    assert 0.3 < told < 2.5
    assert error["n"] == 5
    assert error["max_abs_um"] < 0.6
    assert scanned.points[0].told_um is None
    after_search = [sum(sum(p.seconds.values()) for p in each.points[1:]) for each in maps]
    assert after_search[0] < 0.4 * after_search[1]
    assert shot.seconds()["total"] == pytest.approx(
        sum(shot.seconds()[kind] for kind in shot.points[1].seconds) + shot.seconds()["scan"], rel=1e-6
    )


def test_patches_that_disagree_are_scanned(tmp_path: Path) -> None:
    rig = small_rig()
    with open_rig(rig, seed=SEED) as opened:
        found = survey(
            opened, tissue_points(rig, 2), PointPlan(), Oracle(opened, spread_um=3.0), tmp_path, ABOUT
        )
    point = found.points[1]
    assert point.state == "scanned"
    assert point.reason.startswith("uneven: patches 3.00 um apart")
    assert point.planes > 0
    assert point.spread_um == pytest.approx(3.0)
    assert found.figures()["uneven"] == 1


def test_where_focus_is_far_the_lens_goes_there_and_a_second_shot_is_taken(tmp_path: Path) -> None:
    rig = small_rig()
    path = tissue_points(rig, 1)
    sample = slide(rig)
    here = sample.plane_um(0.0, (path[0].x_um, path[0].y_um))
    far = next(
        (float(x), float(y))
        for x in range(-6000, 6001, 500)
        for y in range(-6000, 6001, 500)
        if sample.cover((float(x), float(y))) > 0.9 and 6.5 < abs(sample.plane_um(0.0, (x, y)) - here) < 12
    )
    with open_rig(rig, seed=SEED) as opened:
        path.append(GridPoint(1, 0, *far))
        found = survey(opened, path, PointPlan(), Oracle(opened), tmp_path, ABOUT)
    assert found.points[1].state == "shot"
    assert found.points[1].shots == 2


def test_a_gap_fails_with_its_reason_and_the_survey_goes_on(tmp_path: Path) -> None:
    rig = small_rig()
    sample = slide(rig)
    gap = next(
        (float(x), float(y))
        for x in range(-6000, 6001, 400)
        for y in range(-6000, 6001, 400)
        if sample.cover((float(x), float(y))) == 0
    )
    path = [GridPoint(9, 0, *gap), *tissue_points(rig, 2)]
    with open_rig(rig, seed=SEED) as opened:
        found = survey(opened, path, PointPlan(), Oracle(opened), tmp_path, ABOUT)
    assert [point.state for point in found.points] == ["failed", "scanned", "shot"]
    assert found.points[0].reason == "the field shows nothing: a gap in the tissue"
    assert found.points[0].focus_um is None


class Stop(Exception):
    """Ends a survey early."""


def test_a_survey_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    rig = small_rig()
    path = tissue_points(rig, 4)
    seen: list[MapPoint] = []

    def stop_after_two(point: MapPoint) -> None:
        seen.append(point)
        if len(seen) == 2:
            raise Stop

    with open_rig(rig, seed=SEED) as opened, pytest.raises(Stop):
        survey(opened, path, PointPlan(), Oracle(opened), tmp_path, ABOUT, progress=stop_after_two)
    file = tmp_path / POINTS_FILE
    with file.open("a", encoding="utf-8") as stream:
        stream.write('{"column": 2, "row"')
    with open_rig(rig, seed=SEED) as opened:
        found = survey(opened, path, PointPlan(), Oracle(opened), tmp_path, ABOUT)
    assert found.points[:2] == tuple(seen)
    # The plane is known from the first sitting: nothing is searched again.
    assert [point.state for point in found.points] == ["scanned", "shot", "shot", "shot"]
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["column"] for line in lines[1:]] == [0, 1, 2, 3]
    with open_rig(rig, seed=SEED) as opened, pytest.raises(StackError, match="another survey"):
        survey(opened, path[:3], PointPlan(), None, tmp_path, ABOUT)


def test_a_survey_cut_short_in_its_description_begins_anew(tmp_path: Path) -> None:
    rig = small_rig()
    path = tissue_points(rig, 1)
    for number, (left, goes_on) in enumerate((("", True), ('{"rig": "', True), ("mine", False))):
        file = tmp_path / str(number) / POINTS_FILE
        file.parent.mkdir()
        file.write_text(left, encoding="utf-8")
        with open_rig(rig, seed=SEED) as opened:
            if goes_on:
                found = survey(opened, path, PointPlan(), None, file.parent, ABOUT)
                assert [point.state for point in found.points] == ["scanned"]
                assert len(file.read_text(encoding="utf-8").splitlines()) == 2
            else:
                with pytest.raises(StackError, match="another survey"):
                    survey(opened, path, PointPlan(), None, file.parent, ABOUT)
                assert file.read_text(encoding="utf-8") == left


def test_a_scan_wider_than_the_travel_is_that_of_the_travel(tmp_path: Path) -> None:
    rig = small_rig()
    steps = 40.0 / rig.axis.um_per_step
    axis = rig.axis.model_copy(update={"min_steps": -steps, "max_steps": steps})
    rig = rig.model_copy(update={"axis": axis})
    with open_rig(rig, seed=SEED) as opened:
        low, high = Station(opened).limits_um
        plan = PointPlan(span_dof=2 * (high - low) / rig.optics.dof_um, step_dof=2.5)
        (point,) = survey(opened, tissue_points(rig, 1), plan, None, tmp_path, ABOUT).points
    assert point.state == "scanned"
    assert point.focus_um is not None
    assert low < point.focus_um < high


def synthetic_map(offset_um: float, *, seed: int = SEED) -> FocusMap:
    points = tuple(
        MapPoint(
            p.column,
            p.row,
            p.x_um,
            p.y_um,
            "shot",
            0.01 * p.x_um + offset_um * p.column,
            0.1,
            shots=1,
            seconds={"move": 0.2, "expose": 0.05},
        )
        for p in plan_path(STAGE, 4, 3)
    )
    failed = replace(points[5], state="failed", focus_um=None, reason="a gap")
    about = {**ABOUT, "seed": seed, "places": [[p.column, p.row, p.x_um, p.y_um] for p in points]}
    return FocusMap(about, (*points[:5], failed, *points[6:]))


def test_a_map_is_written_with_its_surface_and_read_back(tmp_path: Path) -> None:
    focus_map = synthetic_map(0.0)
    write_map(tmp_path / "map.json", focus_map)
    data = json.loads((tmp_path / "map.json").read_text(encoding="utf-8"))
    gap = data["points"][5]
    assert gap["state"] == "failed"
    assert gap["surface_um"] == pytest.approx(0.01 * gap["x_um"], abs=0.01)
    assert read_map(tmp_path / "map.json") == focus_map
    assert data["figures"]["seconds"]["total"] == pytest.approx(12 * 0.25)
    (tmp_path / "other.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(StackError, match="no focus map"):
        read_map(tmp_path / "other.json")


def test_maps_of_one_grid_compare_point_by_point(tmp_path: Path) -> None:
    comparison = compare(synthetic_map(0.2), synthetic_map(0.0))
    figures = comparison.figures(1.0)
    assert figures["n"] == 11
    assert figures["max_abs_um"] == pytest.approx(0.6)
    assert figures["within_half_dof"] == pytest.approx(8 / 11)
    draw_map(tmp_path / "map.png", synthetic_map(0.2), against=comparison, name="contrast")
    assert (tmp_path / "map.png").stat().st_size > 20_000
    with pytest.raises(StackError, match="differ in seed"):
        compare(synthetic_map(0.2), synthetic_map(0.0, seed=4))

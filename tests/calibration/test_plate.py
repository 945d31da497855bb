import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from calibration.plate_beads import beads_in
from calibration.plate_layout import PlateLayout, Well, well_named
from calibration.plate_report import draw_plate, figures, measure_plate, measure_well
from calibration.plate_visit import Depth, begin_folder, visit_plate
from calibration.stack import ZStack, read_stack, write_stack
from hw.config import load_rig
from hw.errors import ConfigError, StackError
from hw.rig import Rig, open_rig

RIG = load_rig("slit_laser_sim")
TWO = PlateLayout(1, 2, 9000.0)


@dataclass(frozen=True)
class Outcome:
    focused: bool = True
    reason: str = "told"
    seconds: float = 0.2
    frames: int = 3


def knowing(rig: Rig, error_um: float) -> Callable[[], Outcome]:
    """An autofocus that knows the truth and misses it by a constant."""

    def focus() -> Outcome:
        assert rig.ideal is not None
        rig.axis.home()
        truth = rig.ideal.focus_um(rig.clock.now())
        assert truth is not None
        rig.axis.move_to((truth + error_um) / rig.axis.um_per_step)
        rig.clock.sleep(20)
        return Outcome()

    return focus


def bead_stack(focus_um: list[float], *, middle_um: float = 0.0, seed: int = 0, **notes: str) -> ZStack:
    """Gaussian beads with a depth of 0.6 um, one at each focus, on a noisy background."""
    rng = np.random.default_rng(seed)
    positions = middle_um + np.arange(-20, 21) * 0.2
    y, x = np.mgrid[:64, :64]
    planes = []
    for z in positions:
        plane = 10 + rng.normal(0, 1.0, (64, 64))
        for number, focus in enumerate(focus_um):
            cx, cy = 14 + 18 * (number % 3), 14 + 18 * (number // 3)
            away = (z - focus) / 0.35
            size = 1.2 * np.sqrt(1 + away**2)
            plane += 150 / (1 + away**2) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * size**2))
        planes.append(np.clip(plane, 0, 255).round())
    return ZStack(np.stack(planes).astype(np.uint8), positions, 0.13, notes=dict(notes))


def test_snakes_visit_every_well_once_and_neighbours_in_turn() -> None:
    layout = PlateLayout(3, 4, 9000.0, (100.0, -50.0))
    horizontal, vertical = layout.way("horizontal"), layout.way("vertical")
    assert [well.name for well in horizontal[:6]] == ["A01", "A02", "A03", "A04", "B04", "B03"]
    assert [well.name for well in vertical[:5]] == ["A01", "B01", "C01", "C02", "B02"]
    for way in (horizontal, vertical):
        assert len(set(way)) == 12
        for one, other in itertools.pairwise(way):
            assert abs(one.row - other.row) + abs(one.column - other.column) == 1
    assert layout.place_um(Well(0, 0)) == (100 - 1.5 * 9000, -50 - 9000)
    assert layout.place_um(Well(2, 3)) == (100 + 1.5 * 9000, -50 + 9000)


def test_names_of_wells() -> None:
    assert Well(7, 11).name == "H12"
    assert well_named("h12") == well_named("H012") == Well(7, 11)
    assert well_named("A1") == Well(0, 0)
    for wrong in ("A0", "12", "AB1", "A-1", ""):
        assert well_named(wrong) is None
    with pytest.raises(ConfigError, match="27 rows"):
        PlateLayout(27, 1)


def test_each_beads_focus_is_found_between_the_planes() -> None:
    truth = [-1.31, 0.47, 0.05, 2.2]
    beads = sorted(beads_in(bead_stack(truth)), key=lambda bead: (round(bead.y_px / 18), bead.x_px))
    assert [(b.x_px, b.y_px) for b in beads] == [(14, 14), (32, 14), (50, 14), (14, 32)]
    found = [bead.focus_um for bead in beads]
    assert found == pytest.approx(truth, abs=0.03)
    assert all(bead.sigma_um is not None and bead.sigma_um < 0.05 for bead in beads)


def test_a_bead_that_comes_to_focus_outside_the_stack_is_told_with_the_reason() -> None:
    (bead,) = beads_in(bead_stack([4.3]))
    assert bead.focus_um is None
    assert "end of the range" in bead.reason
    assert beads_in(bead_stack([])) == []


def test_a_well_is_the_mean_of_its_beads_and_two_on_top_of_each_other_do_not_count() -> None:
    stack = bead_stack([0.5, 0.55, 0.6, 0.5, 2.5], autofocus_um="0.2", focused="yes", true_offset_um="0.35")
    well = measure_well(stack, Well(0, 0))
    assert (well.beads, well.seen, well.focused) == (4, 5, True)
    assert well.offset_um == pytest.approx(0.3375, abs=0.03)
    assert well.true_offset_um == 0.35
    middle = measure_well(stack, Well(0, 0), "middle")
    assert middle.offset_um == pytest.approx(0.5375, abs=0.03)


def test_a_folder_of_any_microscope_is_measured(tmp_path: Path) -> None:
    offsets = {"A01": 0.3, "A02": -0.2, "B01": 0.1}
    for number, (name, offset) in enumerate(offsets.items()):
        stack = bead_stack([500 + offset] * 4, middle_um=500.0, seed=number)
        write_stack(tmp_path / f"plate7_{name}.ome.tif", stack)
    write_stack(tmp_path / "plate7_B02.ome.tif", bead_stack([], middle_um=500.0))
    wells = list(measure_plate(tmp_path))
    found = figures(wells)
    assert (found["wells"], found["measured"], found["focused"]) == (4, 3, 0)
    assert found["std_um"] == pytest.approx(np.std(list(offsets.values()), ddof=1), abs=0.03)
    assert found["mean_um"] == pytest.approx(0.2 / 3, abs=0.03)
    assert found["true"]["std_um"] is None
    assert "no bead" in wells[3].reason
    draw_plate(wells, tmp_path / "plate.png", "a plate")
    assert (tmp_path / "plate.png").stat().st_size > 5000
    write_stack(tmp_path / "again_A1.ome.tif", bead_stack([0.0]))
    with pytest.raises(StackError, match="A01 was"):
        list(measure_plate(tmp_path))


def test_stacks_that_name_no_well_are_refused(tmp_path: Path) -> None:
    write_stack(tmp_path / "first.ome.tif", bead_stack([0.0]))
    with pytest.raises(StackError, match=r"first\.ome\.tif: 'first' names no well"):
        list(measure_plate(tmp_path))


@pytest.mark.parametrize("name", ["autofocus_um", "focusing_s", "focusing_frames", "true_offset_um"])
@pytest.mark.parametrize("said", ["far", "nan"])
def test_notes_that_are_no_numbers_are_refused(tmp_path: Path, name: str, said: str) -> None:
    write_stack(tmp_path / "A01.ome.tif", bead_stack([0.0], **{name: said}))
    with pytest.raises(StackError, match=rf"A01\.ome\.tif: its note {name} is '{said}', no number"):
        list(measure_plate(tmp_path))


def test_wells_where_the_autofocus_gave_up_do_not_count_as_focused() -> None:
    good = measure_well(bead_stack([0.2] * 3, focused="yes"), Well(0, 0))
    bad = measure_well(bead_stack([3.0] * 3, focused="no", reason="beyond"), Well(0, 1))
    assert figures([good, bad])["measured"] == 1
    assert figures([good, bad])["mean_um"] == pytest.approx(0.2, abs=0.03)
    assert figures([bad])["std_um"] is None


def test_the_measured_distance_is_the_one_that_the_rig_knows(tmp_path: Path) -> None:
    with open_rig(RIG, seed=2) as rig:
        rig_wells = list(
            visit_plate(rig, TWO, "horizontal", knowing(rig, 0.8), tmp_path, depth=Depth(6, 0.2))
        )
    assert [visit.well.name for visit in rig_wells] == ["A01", "A02"]
    for well in measure_plate(tmp_path):
        assert well.beads >= 4
        assert well.true_offset_um == pytest.approx(-0.8, abs=0.06)
        assert well.offset_um == pytest.approx(well.true_offset_um, abs=0.06)
        assert (well.seconds, well.frames) == (0.2, 3)


def test_a_visit_that_was_cut_short_goes_on_where_it_was(tmp_path: Path) -> None:
    begun = []

    def begin() -> Outcome:
        begun.append(True)
        return Outcome()

    with open_rig(RIG, seed=2) as rig:
        visits = visit_plate(
            rig, TWO, "vertical", knowing(rig, 0), tmp_path, depth=Depth(4, 0.2), begin=begin
        )
        next(visits)
        visits.close()  # type: ignore[attr-defined]
    written = (tmp_path / "A01.ome.tif").stat().st_mtime_ns
    assert not (tmp_path / "A02.ome.tif").exists()
    with open_rig(RIG, seed=2) as rig:
        again = list(
            visit_plate(rig, TWO, "vertical", knowing(rig, 0), tmp_path, depth=Depth(4, 0.2), begin=begin)
        )
    assert [visit.new for visit in again] == [False, True]
    assert (tmp_path / "A01.ome.tif").stat().st_mtime_ns == written
    assert len(read_stack(tmp_path / "A02.ome.tif").images) == 21
    assert len(begun) == 2, "every sitting begins with a focus of its own"


def test_a_beginning_without_focus_ends_the_visit(tmp_path: Path) -> None:
    with open_rig(RIG, seed=2) as rig, pytest.raises(StackError, match="A01: no focus to begin with: dark"):
        list(
            visit_plate(rig, TWO, "vertical", knowing(rig, 0), tmp_path, begin=lambda: Outcome(False, "dark"))
        )


def test_a_folder_of_another_plan_is_refused(tmp_path: Path) -> None:
    begin_folder(tmp_path / "new", "one")
    begin_folder(tmp_path / "new", "one")
    with pytest.raises(ConfigError, match="another plan"):
        begin_folder(tmp_path / "new", "two")


def test_a_depth_without_planes_is_refused() -> None:
    np.testing.assert_allclose(Depth(1, 0.25).positions_um(7), [6.5, 6.75, 7, 7.25, 7.5])
    with pytest.raises(StackError, match="too few planes"):
        Depth(1, 0.5).positions_um(0)


def test_a_rig_without_a_stage_says_so(tmp_path: Path) -> None:
    with (
        open_rig(RIG.model_copy(update={"stage": None})) as rig,
        pytest.raises(ConfigError, match="no stage"),
    ):
        next(visit_plate(rig, TWO, "vertical", knowing(rig, 0), tmp_path))

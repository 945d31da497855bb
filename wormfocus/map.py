"""`wormfocus map`: the plane of focus over a slide."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wormfocus.application import app
from wormfocus.autofocus import finite, finite_or_none, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from calibration.focus_map.patches import PatchOffset
    from edge.bundle import Bundle
    from hw.config import RigConfig

__all__ = ["BundleJudge"]


class MapMethod(StrEnum):
    """How points are measured."""

    network = "network"
    contrast = "contrast"


class BundleJudge:
    """A bundle as a survey asks it.

    Parameters
    ----------
    bundle : of a network that fits the rig
    rig : the rig file

    Raises
    ------
    BundleError
        The bundle does not run here.
    """

    def __init__(self, bundle: "Bundle", rig: "RigConfig") -> None:
        from edge.bundle import Predictor, window_px

        self._predictor = Predictor(bundle)
        self.patch_px = window_px(bundle.card.input, rig.optics.um_per_px)

    def judge(self, patch: "NDArray[np.uint8]") -> "PatchOffset":
        """Judge one patch (H, W, 3) uint8 RGB."""
        from calibration.focus_map.patches import PatchOffset

        prediction = self._predictor.predict(patch)
        return PatchOffset(prediction.offset_um, prediction.sigma_um, prediction.in_range)


@app.command("map")
def survey_map(
    rig: Annotated[str, typer.Option(help="Rig with a stage: a YAML file or the name of a shipped rig.")],
    out: Annotated[Path, typer.Option(help="Folder of the map; the same command again goes on in it.")],
    bundle: Annotated[str, typer.Option(help="Bundle, or the name of a shipped one.")] = "slide",
    method: Annotated[
        MapMethod, typer.Option(help="One shot a point, or a stack at every point.")
    ] = MapMethod.network,
    grid: Annotated[str, typer.Option(help="Columns x rows.")] = "16x16",
    width_um: Annotated[
        float | None,
        typer.Option(
            min=1, callback=finite_or_none, help="First to last column; by default the stage's travel."
        ),
    ] = None,
    height_um: Annotated[
        float | None, typer.Option(min=1, callback=finite_or_none, help="First to last row; likewise.")
    ] = None,
    span_dof: Annotated[
        float, typer.Option(min=2, callback=finite, help="Range of a point's stack, in depths of field.")
    ] = 10.0,
    step_dof: Annotated[float, typer.Option(min=0.1, callback=finite, help="Step of it, likewise.")] = 1.0,
    uneven_dof: Annotated[
        float,
        typer.Option(min=0, callback=finite, help="Patches that differ by more are scanned, not averaged."),
    ] = 1.5,
    against: Annotated[
        Path | None,
        typer.Option(help="map.json of another survey of the same slide and grid."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of a simulated rig.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Survey the plane of focus over a slide: by single shots, or by a stack at every point."""
    from rich.progress import Progress

    from calibration.focus_map.path import places, plan_path
    from calibration.focus_map.picture import draw_map
    from calibration.focus_map.point import PointPlan
    from calibration.focus_map.result import check_comparable, compare, read_map, write_map
    from calibration.focus_map.survey import survey
    from edge.bundle import check_fits, load_bundle
    from hw.config import load_rig
    from hw.errors import ConfigError, StackError
    from hw.rig import open_rig

    config = load_rig(rig)
    if config.stage is None:
        raise ConfigError(
            f"rig '{config.name}' has no stage; a focus map needs a section 'stage' in its file"
        )
    columns, rows = _columns_and_rows(grid)
    path = plan_path(config.stage, columns, rows, width_um=width_um, height_um=height_um)
    plan = PointPlan(span_dof=span_dof, step_dof=step_dof, uneven_dof=uneven_dof)
    about: dict[str, Any] = {
        "rig": config.name,
        "seed": seed,
        "method": method.value,
        "grid": [columns, rows],
    }
    other = None
    if against is not None:
        other = read_map(against)
        # Not after half an hour at the microscope.
        check_comparable({**about, "places": places(path)}, other)
    judge = None
    if method is MapMethod.network:
        # The bundle first: a wrong one should not have started any motor.
        loaded = load_bundle(bundle)
        check_fits(loaded.card, config)
        judge = BundleJudge(loaded, config)
        about["bundle"] = {"name": loaded.card.name, "sha256": loaded.card.flatbuffer_sha256}
    with open_rig(config, seed=seed) as opened, Progress() as bar:
        notice = opened.notice
        task = bar.add_task(f"{notice} focus map".strip(), total=len(path))
        about["source"] = notice or "hardware"
        found = survey(opened, path, plan, judge, out, about, progress=lambda _: bar.advance(task))
    write_map(out / "map.json", found)
    figures = {"rig": config.name, "notice": notice, "seed": seed, "method": method.value, **found.figures()}
    comparison = compare(found, other) if other is not None else None
    if comparison is not None and other is not None:
        figures["against"] = {
            "method": other.about["method"],
            "time_ratio": found.seconds()["total"] / other.seconds()["total"],
            **comparison.figures(config.optics.dof_um),
        }
    try:
        name = str(other.about["method"]) if other is not None else ""
        draw_map(out / "map.png", found, notice=notice, against=comparison, name=name)
    except (ConfigError, StackError) as error:
        print(f"no picture: {error}")
    _tell(figures, out)
    if json_file is not None:
        write_json(json_file, figures)


def _columns_and_rows(grid: str) -> tuple[int, int]:
    from hw.errors import ConfigError

    columns, _, rows = grid.partition("x")
    if not (columns.isdecimal() and rows.isdecimal()):
        raise ConfigError(f"--grid {grid}: is no grid; write columns x rows, as in 16x16")
    return int(columns), int(rows)


def _tell(figures: dict[str, Any], out: Path) -> None:
    seconds = figures["seconds"]
    print(
        f"{figures['notice']} {figures['points']} points: {figures['shot']} by one shot, "
        f"{figures['scanned']} scanned ({figures['uneven']} uneven), {figures['failed']} failed; "
        f"{seconds['total']:.1f} s".strip()
    )
    if (surface := figures["surface"]) is not None:
        print(
            f"  surface: {surface['range_um']:.1f} um from lowest to highest, leave-one-out error "
            f"{surface['loo_rms_um']:.3f} um RMS, {len(surface['suspect'])} points suspect"
        )
    if (against := figures.get("against")) is not None:
        print(
            f"  against {against['method']}: |error| {against['mean_abs_um']:.3f} +- "
            f"{against['sd_abs_um']:.3f} um at {against['n']} points, {against['time_ratio']:.1%} of its time"
        )
    print(f"  {out / 'map.json'}, {out / 'map.png'}")

"""`wormfocus plate`: characterise an autofocus on a plate of beads."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import MethodName, finite, write_json

if TYPE_CHECKING:
    from calibration.plate_report import WellDepth
    from calibration.plate_visit import Autofocus
    from edge.bundle import Bundle
    from edge.loop import FocusResult
    from hw.rig import Rig

__all__ = ["autofocus_of", "plate"]


class SnakeName(StrEnum):
    """The ways over a plate."""

    horizontal = "horizontal"
    vertical = "vertical"


class ReferenceName(StrEnum):
    """What a well's distance is counted from."""

    autofocus = "autofocus"
    middle = "middle"


@dataclass(frozen=True)
class _Held:
    """What there is to say of a well where the lens was left as it was."""

    focused: None = None
    reason: str = "autofocus is off"
    seconds: float = 0.0
    frames: int = 0


@app.command("plate")
def plate(
    rig: Annotated[
        str | None, typer.Option(help="A YAML file or the name of a shipped rig; none with --stacks.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the stacks; a visit that was cut short goes on.")
    ] = None,
    method: Annotated[
        MethodName, typer.Option(help="Autofocus under test; contrast looks at the beads, none holds still.")
    ] = MethodName.network,
    bundle: Annotated[
        list[str] | None, typer.Option(help="Bundle; given again, the next one is of a narrower range.")
    ] = None,
    confirm: Annotated[
        bool, typer.Option(help="Look again after the last bundle's move, until its answer is small.")
    ] = True,
    snake: Annotated[SnakeName, typer.Option(help="The way over the plate.")] = SnakeName.horizontal,
    rows: Annotated[int, typer.Option(min=1, max=26, help="Of the plate.")] = 8,
    columns: Annotated[int, typer.Option(min=1, help="Of the plate.")] = 12,
    pitch_um: Annotated[float, typer.Option(min=1, callback=finite, help="From well to well.")] = 9000.0,
    span_um: Annotated[
        float, typer.Option(min=0.1, callback=finite, help="Depth of each well's stack.")
    ] = 8.0,
    step_um: Annotated[float, typer.Option(min=0.001, callback=finite, help="Between its planes.")] = 0.2,
    begin_span_um: Annotated[
        float,
        typer.Option(
            min=1,
            callback=finite,
            help="The first well is focused by contrast within this, about the lens.",
        ),
    ] = 250.0,
    dwell_s: Annotated[
        float, typer.Option(min=0, callback=finite, help="Time spent at each well beyond its stack, s.")
    ] = 0.0,
    timeout: Annotated[
        float, typer.Option(min=0.1, callback=finite, help="For focusing at a well, s on the rig's clock.")
    ] = 120.0,
    stacks: Annotated[
        Path | None, typer.Option(help="Measure these stacks instead, one per well, named _A01 and so on.")
    ] = None,
    reference: Annotated[
        ReferenceName, typer.Option(help="Where the autofocus stood: as noted in the stack, or its middle.")
    ] = ReferenceName.autofocus,
    seed: Annotated[int, typer.Option(min=0, help="Of a simulated rig.")] = 0,
    picture: Annotated[
        Path | None, typer.Option(help="Map and histogram; plate.png beside the stacks when absent.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Visit the wells of a plate of beads, focus at each, and measure how far from focus that was."""
    from rich.progress import track

    from calibration.picture import check_picture
    from calibration.plate_layout import PlateLayout
    from calibration.plate_report import draw_plate, figures, measure_plate
    from calibration.plate_visit import Depth, begin_folder, visit_plate
    from edge.bundle import load_bundle
    from hw.config import load_rig
    from hw.errors import ConfigError
    from hw.rig import open_rig

    if (rig is None) == (stacks is None):
        raise ConfigError("a plate is visited with --rig RIG --out FOLDER, or measured with --stacks FOLDER")
    check_picture(picture)
    title, values = "", dict[str, object]()
    if rig is not None:
        if out is None:
            raise ConfigError("--out is missing: a visit needs a folder for its stacks")
        layout, depth = PlateLayout(rows, columns, pitch_um), Depth(span_um, step_um)
        # The bundles first: a wrong one should not have started any motor.
        bundles = [load_bundle(name) for name in bundle or []]
        names = " then ".join(each.card.name for each in bundles)
        config = load_rig(rig)
        digests = " ".join(each.card.flatbuffer_sha256[:12] for each in bundles)
        asked = "" if confirm else " once"
        with open_rig(config, seed=seed) as opened:
            begin = _by_contrast(opened, begin_span_um, timeout)
            chosen = autofocus_of(opened, method, bundles, timeout, confirm=confirm)
            # Only now: the plan of a visit that was refused would keep the folder from the next.
            begin_folder(
                out, f"{config.name} {seed} {method}{asked} {digests} {snake} {layout} {depth} {dwell_s:g}"
            )
            visits = visit_plate(
                opened,
                layout,
                "horizontal" if snake is SnakeName.horizontal else "vertical",
                chosen,
                out,
                depth=depth,
                begin=begin,
                dwell_s=dwell_s,
            )
            for visit in track(visits, total=rows * columns, description=f"{opened.notice} plate".strip()):
                if visit.focused is False:
                    print(f"{visit.well.name}: not focused: {visit.reason}")
            notice = opened.notice
        title = " ".join(filter(None, (notice, config.name, str(method), names, f"{snake} snake")))
        values = {"rig": config.name, "notice": notice, "seed": seed, "method": str(method)}
        values |= {"bundles": [each.card.name for each in bundles], "networks": digests.split()}
        values |= {"snake": str(snake), "dwell_s": dwell_s, "confirm": confirm}
    folder = stacks if stacks is not None else out
    assert folder is not None
    measured = list(
        track(
            measure_plate(folder, "middle" if reference is ReferenceName.middle else "autofocus"),
            description="measuring beads",
            total=None,
        )
    )
    found = figures(measured)
    _show(measured, found, title or str(folder))
    draw_plate(measured, picture or folder / "plate.png", title or str(folder))
    if json_file is not None:
        write_json(json_file, {**values, **found, "by_well": [well.as_dict() for well in measured]})


def autofocus_of(
    rig: "Rig", method: MethodName, bundles: "list[Bundle]", timeout_s: float, *, confirm: bool = True
) -> "Autofocus":
    """Return what focuses a rig once by a method, for `calibration.plate_visit`.

    Raises
    ------
    ConfigError, BundleError
        The method lacks its bundle, or a bundle does not fit.
    """
    from edge.bundle import Predictor, check_fits
    from edge.loop import focus_once
    from edge.ranges import FocusRange, RangesFocuser
    from hw.errors import ConfigError

    if method is MethodName.contrast:
        return _by_contrast(rig, rig.config.control.search_span_um, timeout_s)
    if method is MethodName.none:
        return _Held
    if not bundles:
        raise ConfigError("the network method needs --bundle BUNDLE, once for each range")
    ranges = []
    for each in bundles:
        check_fits(each.card, rig.config)
        card = each.card
        ranges.append(FocusRange(card.name, Predictor(each), card.input, card.trained_range_um))
    # Told before anything moves.
    RangesFocuser(rig.config, ranges)

    def focus() -> "FocusResult":
        return focus_once(rig, RangesFocuser(rig.config, ranges, confirm=confirm), timeout_s=timeout_s)

    return focus


def _by_contrast(rig: "Rig", span_um: float, timeout_s: float) -> "Autofocus":
    """Return what focuses by the contrast of the beads, within a span about the lens."""
    from edge.focusers import ContrastFocuser
    from edge.loop import focus_once

    imaged = rig.imaged()
    control = imaged.config.control.model_copy(update={"search_span_um": span_um})
    config = imaged.config.model_copy(update={"control": control})

    def focus() -> "FocusResult":
        return focus_once(imaged, ContrastFocuser(config, full_scan=True), timeout_s=timeout_s)

    return focus


def _show(wells: "list[WellDepth]", found: dict[str, object], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    def um(value: object) -> str:
        return "-" if value is None else f"{value:.3f} um"

    table = Table(title=title, show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    truth = found["true"]
    assert isinstance(truth, dict)
    rows = [
        ("wells; focused, as the autofocus says", f"{found['wells']}; {found['focused']}"),
        ("of them measured; beads", f"{found['measured']}; {found['beads']}"),
        ("standard deviation of the wells' offsets", um(found["std_um"])),
        ("mean; largest", f"{um(found['mean_um'])}; {um(found['worst_um'])}"),
    ]
    if found["frames_median"] is not None:
        took = f"{found['frames_median']:g} frames, {found['seconds_median']:g} s"
        rows.append(("focusing a well, median", took))
    if truth["mean_um"] is not None:
        rows.append(("all wells by construction: standard deviation", um(truth["std_um"])))
        rows.append(("mean; largest", f"{um(truth['mean_um'])}; {um(truth['worst_um'])}"))
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)
    for well in wells:
        if well.offset_um is None:
            print(f"{well.well.name}: not measured: {well.reason}")

"""`wormfocus calibrate plane`: the reference plane, from control beads."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wormfocus.autofocus import finite, finite_each, finite_or_none, write_json
from wormfocus.calibrate import calibrate

if TYPE_CHECKING:
    from calibration.beads import BeadSearch
    from calibration.reference_plane import Survey
    from calibration.stack import ZStack
    from hw.config import RigConfig

BEAD_UM = 28.5
BeadUm = Annotated[float, typer.Option(min=0.1, callback=finite, help="Diameter of the beads.")]
UmPerPx = Annotated[
    float | None, typer.Option(min=1e-3, callback=finite_or_none, help="For stacks that do not say it.")
]


@calibrate.command("plane")
def plane(
    rig: Annotated[
        str | None, typer.Option(help="Record beads on this rig: a YAML file or a shipped one's name.")
    ] = None,
    stacks: Annotated[
        Path | None, typer.Option(help="Or take these: a folder of stacks of beads, of one microscope.")
    ] = None,
    bead_um: BeadUm = BEAD_UM,
    um_per_px: UmPerPx = None,
    crop_px: Annotated[int, typer.Option(min=16, help="Side of the square about each bead.")] = 64,
    exposure_ms: Annotated[
        list[float] | None,
        typer.Option(
            min=1e-3,
            callback=finite_each,
            help="Record at this exposure; more than once for several. By default the rig's.",
        ),
    ] = None,
    fields: Annotated[
        int, typer.Option(min=1, help="Fields to record, a field's width apart along x; needs a stage.")
    ] = 1,
    centre_um: Annotated[
        float | None,
        typer.Option(callback=finite_or_none, help="Middle of the stack; by default that of the travel."),
    ] = None,
    span_um: Annotated[
        float | None,
        typer.Option(callback=finite_or_none, help="First to last plane; by default the rig's."),
    ] = None,
    step_um: Annotated[
        float | None,
        typer.Option(callback=finite_or_none, help="Between planes; by default a quarter of the DOF."),
    ] = None,
    specimen: Annotated[
        str | None,
        typer.Option(help="Name of this slide of beads, which a split never divides; by default the rig's."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep the recorded stacks here, labelled with their reference plane.")
    ] = None,
    label: Annotated[
        bool, typer.Option("--label", help="With --stacks: write the plane of each as its label.")
    ] = False,
    crops: Annotated[
        Path | None, typer.Option(help="Write every bead's crops here, as labelled stacks to learn from.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw beads, profiles and features, as PNG.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of a simulated rig, and of the bootstrap.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Find the lens position where control beads look a defined way, with its uncertainty (paper 5)."""
    import re
    from dataclasses import replace

    from calibration.bead_crops import reference_label, write_crops
    from calibration.bead_features import measure_stack
    from calibration.label import write_label
    from calibration.picture import check_picture
    from calibration.reference_plane import find_reference_planes
    from calibration.reference_plane_picture import draw_reference_planes
    from calibration.stack import STACK_SUFFIX, make_folder, write_stack
    from hw.errors import ConfigError, StackError

    if (rig is None) == (stacks is None):
        raise ConfigError("give either --rig to record beads, or --stacks with recordings of them")
    if stacks is not None and (out is not None or exposure_ms or fields > 1 or specimen is not None):
        raise ConfigError(
            "--out, --exposure-ms, --fields and --specimen are for recording with --rig; leave them out"
        )
    if rig is not None and label:
        raise ConfigError("--label is for --stacks; with --rig, stacks kept by --out are labelled anyway")
    if specimen is not None and not re.fullmatch(r"[\w.-]+", specimen):
        raise ConfigError(
            f"--specimen {specimen!r} becomes part of file names; use letters, digits, '.', '-', '_'"
        )
    check_picture(picture)
    source = (
        _recorded(rig, exposure_ms or [], fields, (centre_um, span_um, step_um), seed, specimen, (out, crops))
        if rig is not None
        else _read(stacks or Path())
    )
    # Stacks are large: they stay only for what is still to be drawn or cut out of them.
    shown = crops is not None or picture is not None
    held: dict[str, tuple[ZStack | None, Path | None]] = {}
    features, searches, truths = [], {}, {}
    notice = ""
    refused: dict[str, str] = {}
    with closing(source):
        for name, stack, path, said, truth_um in source:
            notice = notice or said
            if um_per_px is not None:
                stack = replace(stack, um_per_px=um_per_px)
            try:
                search = _search(stack, bead_um, crop_px)
                with _progress(f"{name}: beads") as progress:
                    features.append(measure_stack(stack, search, name=name, progress=progress))
            except StackError as error:
                refused[name] = str(error)
                continue
            searches[name] = search
            if truth_um is not None:
                truths[name] = truth_um
            if out is not None:
                path = out / f"{name}{STACK_SUFFIX}"
                make_folder(out)
                write_stack(path, stack)
            held[name] = (stack if shown else None, path)
    if not features:
        name, reason = next(iter(refused.items()))
        raise StackError(f"{name}: {reason}")
    survey = find_reference_planes(features, seed=seed)
    refused |= {each.name: each.reason for each in survey.refused}
    cropped = 0
    for found in survey.planes:
        whole, path = held[found.name]
        if path is not None and (label or out is not None):
            write_label(path, reference_label(found))
        if crops is not None and whole is not None:
            of_stack = next(each for each in features if each.name == found.name)
            cropped += write_crops(crops, whole, of_stack, found, searches[found.name])
    first = survey.planes[0].name
    if picture is not None and (seen := held[first][0]) is not None:
        draw_reference_planes(picture, seen, features, survey, searches[first], notice=notice)
    _report(survey, refused, truths, notice)
    if crops is not None:
        print(f"{cropped} beads cut out, in {crops}")
    if json_file:
        write_json(json_file, _figures(survey, refused, truths, notice, bead_um))


_Source = Generator[tuple[str, "ZStack", Path | None, str, float | None]]


def _recorded(
    rig: str,
    exposures_ms: list[float],
    fields: int,
    where: tuple[float | None, float | None, float | None],
    seed: int,
    specimen: str | None,
    folders: tuple[Path | None, Path | None],
) -> _Source:
    """Record a stack at each exposure in each field; yields name, stack, no path, notice and truth.

    Nothing is recorded where one of the stacks would replace another, or one that the folders, of stacks and
    of crops, hold already.
    """
    from calibration.acquire import acquire_stack, move_stage_and_rest, plan_positions
    from calibration.truth import known_focus_um
    from hw.config import load_rig
    from hw.rig import open_rig

    base = load_rig(rig)
    slide = base.name if specimen is None else specimen
    _refuse_unfit(base, fields)
    exposures_ms = exposures_ms or [base.camera.exposure_s * 1e3]
    names = {
        (exposure, n): _name(slide, exposure, n, fields) for exposure in exposures_ms for n in range(fields)
    }
    _refuse_to_replace(list(names.values()), len(exposures_ms) * fields, *folders)
    for exposure in exposures_ms:
        with open_rig(_exposed(base, exposure), seed=seed) as opened:
            positions = plan_positions(opened.config, *where)
            width_um = base.camera.width_px * base.optics.um_per_px
            start = opened.stage.position_um if opened.stage is not None else (0.0, 0.0)
            for field in range(fields):
                if fields > 1:
                    move_stage_and_rest(opened, start[0] + field * width_um, start[1])
                name = names[exposure, field]
                title = " ".join(filter(None, (opened.notice, name, "planes")))
                with _progress(title) as progress:
                    stack = acquire_stack(opened, positions, specimen=slide, progress=progress)
                yield name, stack, None, opened.notice, known_focus_um(opened)


def _name(slide: str, exposure_ms: float, field: int, fields: int) -> str:
    return f"{slide}_{exposure_ms:g}ms" + (f"_field{field + 1}" if fields > 1 else "")


def _refuse_to_replace(names: Sequence[str], stacks: int, out: Path | None, crops: Path | None) -> None:
    from calibration.bead_crops import crop_path
    from calibration.stack import STACK_SUFFIX
    from hw.errors import ConfigError

    if len(set(names)) < stacks:
        raise ConfigError("--exposure-ms: one exposure is given twice; give different ones")
    kept = [] if out is None else [out / f"{name}{STACK_SUFFIX}" for name in names]
    cut = [] if crops is None else [crop_path(crops, name, 1) for name in names]
    for path in [*kept, *cut]:
        if path.exists():
            option = "--out" if path in kept else "--crops"
            raise ConfigError(
                f"{path}: is there already; name this slide with --specimen, or choose another folder with "
                f"{option}"
            )


def _refuse_unfit(config: "RigConfig", fields: int) -> None:
    """Refuse what cannot end well, before anything moves; a simulated rig's file says what lies there."""
    from hw.errors import ConfigError

    if fields > 1 and config.stage is None:
        raise ConfigError(f"rig '{config.name}' has no stage to go to other fields with; leave --fields out")
    if config.simulation is not None and config.simulation.specimen != "beads":
        raise ConfigError(
            f"rig '{config.name}' simulates a {config.simulation.specimen}, and a reference plane is that of "
            "control beads; name a rig with beads, such as beads_sim, or give --stacks"
        )


def _exposed(config: "RigConfig", exposure_ms: float) -> "RigConfig":
    camera = config.camera.model_copy(update={"exposure_s": exposure_ms / 1e3})
    return config.model_copy(update={"camera": camera})


def _read(folder: Path) -> _Source:
    """Read recorded stacks; yields name, stack, path, notice, and no truth."""
    from calibration.stack import read_recording, stack_name, stacks_at

    for path in stacks_at(folder):
        stack = read_recording(path, None)
        simulated = "SIMULATED" in stack.notes.get("source", "") or stack.notes.get("simulated") == "yes"
        yield stack_name(path), stack, path, "SIMULATED" if simulated else "", None


def _search(stack: "ZStack", bead_um: float, crop_px: int) -> "BeadSearch":
    import math

    from calibration.beads import BeadSearch
    from hw.errors import StackError

    if not math.isfinite(stack.um_per_px):
        raise StackError("it does not say its pixel size; give --um-per-px")
    return BeadSearch(bead_um / stack.um_per_px, crop_px)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        if not bar.console.is_terminal:
            bar.console.print(title, highlight=False, markup=False)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _report(survey: "Survey", refused: dict[str, str], truths: dict[str, float], notice: str) -> None:
    if notice:
        print(notice)
    width = max(len(name) for name in [*refused, *(found.name for found in survey.planes)])
    print(f"{'stack':{width}}  beads  reference um  sigma um  by slope um  by centre um  true um")
    for found in survey.planes:
        slope, centre = (each.position_um for each in found.by_feature.values())
        truth = f"{truths[found.name]:7.2f}" if found.name in truths else "      -"
        print(
            f"{found.name:{width}}  {found.beads:5}  {found.position_um:12.2f}  {found.sigma_um:8.2f}  "
            f"{slope:11.2f}  {centre:12.2f}  {truth}"
        )
    for name, reason in refused.items():
        print(f"{name:{width}}  refused: {reason}")


def _figures(
    survey: "Survey", refused: dict[str, str], truths: dict[str, float], notice: str, bead_um: float
) -> dict[str, Any]:
    return {
        "notice": notice,
        "bead_um": bead_um,
        "stacks": [
            {
                "name": found.name,
                "beads": found.beads,
                "reference_um": found.position_um,
                "sigma_um": found.sigma_um,
                "true_um": truths.get(found.name),
                "by_feature": {
                    name: {
                        "reference_um": each.position_um,
                        "sigma_um": each.sigma_um,
                        "planes": int(each.curve.used.sum()),
                        "saturated_planes": int(each.curve.saturated.sum()),
                    }
                    for name, each in found.by_feature.items()
                },
            }
            for found in survey.planes
        ],
        "refused": refused,
    }

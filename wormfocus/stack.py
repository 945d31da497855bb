"""`wormfocus stack`: record z-stacks on a rig."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json

if TYPE_CHECKING:
    from rich.progress import Progress

    from calibration.campaign import Campaign
    from hw.config import RigConfig
    from hw.rig import Rig


@app.command("stack")
def stack(
    rig: Annotated[str, typer.Option(help="A YAML file or the name of a shipped rig.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set; stacks in it are kept, numbers go on.")],
    number: Annotated[int | None, typer.Option("--number", "-n", min=1, help="Stacks; by default 1.")] = None,
    centre_um: Annotated[
        float | None, typer.Option(help="Middle of the stack; by default that of the axis's travel.")
    ] = None,
    span_um: Annotated[
        float | None, typer.Option(help="First to last plane; by default the rig's search span.")
    ] = None,
    step_um: Annotated[
        float | None, typer.Option(help="Between planes; by default a quarter of the depth of field.")
    ] = None,
    starts: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Starts, parts of a step apart, that stacks alternate between; by default 3.",
        ),
    ] = None,
    jitter: Annotated[
        float | None,
        typer.Option(min=0, max=0.45, help="Planes stray by up to this share of a step; by default 0."),
    ] = None,
    here: Annotated[
        bool, typer.Option("--here", help="Leave the stage where it is; by default it goes to random places.")
    ] = False,
    wait: Annotated[
        str | None, typer.Option(help="Between stacks: 'enter' for the operator's, or a number of seconds.")
    ] = None,
    specimen: Annotated[
        str | None, typer.Option(help="What is under the lens; by default each stack is its own specimen.")
    ] = None,
    plate: Annotated[str | None, typer.Option(help="Name of the plate, for a split by plate.")] = None,
    note: Annotated[str | None, typer.Option(help="Anything worth keeping.")] = None,
    compress: Annotated[
        bool, typer.Option("--compress", help="zlib: smaller files, slower to read.")
    ] = False,
    settle_s: Annotated[
        float | None, typer.Option(min=0, max=60, help="Settle time; by default measured in the images.")
    ] = None,
    measure_settle: Annotated[
        bool, typer.Option("--measure-settle", help="Measure it again, though this data set knows it.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Only go on with the last session; nothing to do if it is done.")
    ] = False,
    new_session: Annotated[
        bool, typer.Option("--new-session", help="Leave an unfinished session as it is and begin another.")
    ] = False,
    recording: Annotated[
        Path | None, typer.Option("--stack", help="The recording that a replayed rig shows.")
    ] = None,
    spacing_um: Annotated[
        float | None, typer.Option(min=0, help="Between its planes, where their names give only the order.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of places, jitter and simulated specimens; by default 0."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Afterwards check every stack of the data set.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Record z-stacks with the lens position of every plane, as OME-TIFF, in sessions of a data set.

    A session that was cut short is gone on with by the same command.
    """
    from calibration.campaign import Circumstances, begin, finish, go_on, record
    from calibration.dataset import Plan, locked, read_dataset
    from hw.config import load_rig
    from hw.errors import ConfigError, StackError

    if resume and new_session:
        raise ConfigError("--resume and --new-session are opposites; give one of them")
    config = load_rig(rig)
    if spacing_um is not None:
        config = config.with_spacing(spacing_um)
    pause = _pause(wait)
    asked: dict[str, Any] = {
        "stacks": number,
        "centre_um": centre_um,
        "span_um": span_um,
        "step_um": step_um,
        "starts": starts,
        "jitter": jitter,
        "specimen": specimen,
        "compress": compress or None,
        "places": False if here else None,
        "seed": seed,
    }
    asked = {name: value for name, value in asked.items() if value is not None}
    said = {name: value for name, value in (("plate", plate), ("note", note)) if value is not None}
    if resume and not out.is_dir():
        raise StackError(f"{out}: no such folder; name that of the session to go on with")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be made a folder ({error.strerror}); choose another") from error
    with locked(out):
        dataset = read_dataset(out)
        last = dataset.sessions[-1] if dataset and dataset.sessions else None
        if resume or (last is not None and not last.finished and not new_session):
            campaign = go_on(out, config, asked | said)
            first_seed = campaign.plan.seed
        else:
            campaign, first_seed = None, seed or 0
        with _rigs(config, first_seed, recording) as open_rig:
            if campaign is None:
                # A replayed rig has the planes that were recorded, and none between.
                plan = {
                    "stacks": 1,
                    "places": config.stage is not None,
                    "starts": 1 if config.kind == "replayed" else 3,
                } | asked
                _refuse_not_finite(asked)
                with open_rig(_number_of_next(out, config)) as opened:
                    campaign = begin(
                        out,
                        config,
                        opened,
                        Plan.model_validate(plan),
                        Circumstances(**said, settle_s=settle_s, measure_settle=measure_settle),
                    )
            else:
                done = f"{campaign.session.done} of {len(campaign.session.stacks)} stacks are there"
                print(f"{out}: session {len(campaign.dataset.sessions)} goes on, {done}")
            numbers = [_file_number(entry.file) for entry in campaign.session.stacks]
            with _progress() as bar:
                title = f"{campaign.session.notice} stack".strip()
                task = bar.add_task(title, total=len(numbers), completed=campaign.session.done)

                def show(index: int, plane: int, planes: int) -> None:
                    label = f"{title} {index + 1} of {len(numbers)}, plane {plane} of {planes}"
                    bar.update(task, description=label, completed=index + plane / planes)

                campaign = record(
                    campaign,
                    lambda index: open_rig(numbers[index]),
                    ready=lambda index, opened: pause(index, opened, bar),
                    progress=show,
                    tell=lambda line: bar.console.print(line, highlight=False, soft_wrap=True),
                )
        figures = _report(campaign, config)
        campaign = finish(campaign)
        if verify:
            from wormfocus.dataset import show_findings

            figures["verified"] = show_findings(out, campaign.dataset)
    if json_file:
        write_json(json_file, figures)


def _refuse_not_finite(asked: dict[str, Any]) -> None:
    """Tell which option is no number: the plan's own complaint would not know its name."""
    from hw.errors import StackError

    for name, value in asked.items():
        if isinstance(value, float) and not math.isfinite(value):
            option = "--" + name.replace("_", "-")
            raise StackError(f"{option} {value:g} is no place or length; give a number in um")


def _pause(wait: str | None) -> "Callable[[int, Rig, Progress], None]":
    """Return what is done before each stack but the first: nothing, a wait, or a question."""
    from hw.errors import ConfigError

    if wait is None:
        return lambda index, rig, bar: None
    if wait == "enter":

        def ask(index: int, rig: "Rig", bar: "Progress") -> None:
            bar.stop()
            try:
                input(f"stack {index + 1}: put the specimen in place, then press Enter ")
            except EOFError as error:
                raise ConfigError(
                    "--wait enter: nobody is there to press it; run it in a terminal, or give seconds"
                ) from error
            bar.start()

        return ask
    try:
        seconds = float(wait)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ConfigError(f"--wait {wait} is neither 'enter' nor a number of seconds; give one of them")

    def rest(index: int, rig: "Rig", bar: "Progress") -> None:
        if index:
            rig.clock.sleep(seconds)

    return rest


@contextmanager
def _rigs(
    config: "RigConfig", seed: int, recording: Path | None
) -> "Iterator[Callable[[int], AbstractContextManager[Rig]]]":
    """Yield what opens the rig for the stack with a number, counted over the whole data set.

    A seed of a simulated rig stands for one specimen: without a stage to go elsewhere with, every stack has
    another. Any other rig stays open, so that exposure and white balance are the same for all.
    """
    from hw.rig import open_rig

    if config.kind == "simulated" and config.stage is None:
        yield lambda number: open_rig(config, seed=seed + number - 1, stack=recording)
        return
    with open_rig(config, seed=seed, stack=recording) as opened:
        yield lambda number: nullcontext(opened)


@contextmanager
def _progress() -> "Iterator[Progress]":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield bar


def _file_number(file: str) -> int:
    from calibration.stack import stack_name

    return int(stack_name(Path(file)).rpartition("_")[2])


def _number_of_next(out: Path, config: "RigConfig") -> int:
    from calibration.campaign import first_number
    from calibration.dataset import read_dataset

    return first_number(out, read_dataset(out), config)


def _report(campaign: "Campaign", config: "RigConfig") -> dict[str, Any]:
    """Draw the session, print what came of it, and return its figures."""
    from calibration.contact_sheet import draw_contact_sheet

    session, folder = campaign.session, campaign.folder
    ordinal = len(campaign.dataset.sessions)
    picture = folder / f"session_{ordinal:02d}.png"
    parts = (session.notice, config.name, f"session {ordinal}", session.day, session.plate, session.note)
    judged = draw_contact_sheet(picture, folder, session, " · ".join(filter(None, parts)))
    rows = []
    for one in judged:
        positions, path = one.recorded.positions_um, folder / one.entry.file
        focus = f"focus {one.focus_um:.1f} um" if one.focus_um is not None else f"no focus: {one.reason}"
        line = f"{path}: {len(positions)} planes, {positions[0]:g} to {positions[-1]:g} um, {focus}"
        print(f"{session.notice} {line}".strip())
        rows.append(
            {
                "path": str(path),
                "specimen": one.entry.specimen,
                "planes": len(positions),
                "low_um": positions[0],
                "high_um": positions[-1],
                "start_um": one.entry.start_um,
                "place_um": one.entry.place_um,
                "focus_um": one.focus_um,
                "reason": one.reason,
            }
        )
    for end, way in (("lowest", "lower"), ("highest", "higher")):
        if count := sum(one.sharpest_end == end for one in judged):
            print(f"{count} stacks are sharpest in their {end} plane: focus is {way}; change --centre-um")
    found = sum(one.focus_um is not None for one in judged)
    print(f"{len(judged)} stacks, {found} with a focus to be trusted; {picture}")
    return {
        "rig": config.name,
        "notice": session.notice,
        "session": ordinal,
        "settle": session.settle.model_dump() if session.settle else None,
        "with_focus": found,
        "picture": str(picture),
        "stacks": rows,
    }

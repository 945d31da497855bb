"""`wormfocus stack`: record z-stacks on a rig."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json
from wormfocus.dataset import refuse_damaged, show_findings

if TYPE_CHECKING:
    from rich.progress import Progress

    from calibration.campaign import Campaign
    from hw.config import RigConfig
    from hw.rig import Rig

    OpenRig = Callable[[int], AbstractContextManager[Rig]]


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
    from calibration.campaign import Circumstances, begin, finish, first_number, go_on
    from calibration.dataset import Plan, locked, read_dataset
    from calibration.stack import make_folder
    from hw.config import load_rig
    from hw.errors import ConfigError, StackError

    if resume and new_session:
        raise ConfigError("--resume and --new-session are opposites; give one of them")
    config = load_rig(rig)
    if spacing_um is not None:
        config = config.with_spacing(spacing_um)
    pause = _pause(wait)
    given: dict[str, Any] = {
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
    asked = {name: value for name, value in given.items() if value is not None}
    said = {name: value for name, value in (("plate", plate), ("note", note)) if value is not None}
    _refuse_not_finite(asked)
    if resume and not out.is_dir():
        raise StackError(f"{out}: no such folder; name that of the session to go on with")
    make_folder(out)
    with locked(out):
        dataset = read_dataset(out)
        last = dataset.sessions[-1] if dataset and dataset.sessions else None
        if resume or (last is not None and not last.finished and not new_session):
            campaign = go_on(out, config, asked | said)
            ordinal, state = len(campaign.dataset.sessions), campaign.session
            word = "is finished" if state.finished else "goes on"
            print(f"{out}: session {ordinal} {word}, {state.done} of {len(state.stacks)} stacks are there")
            if state.done < len(state.stacks):
                with _rigs(config, campaign.plan.seed, recording) as open_rig:
                    campaign = _record(campaign, open_rig, pause)
        else:
            # A replayed rig has the planes that were recorded, and none between.
            usual = {
                "stacks": 1,
                "places": config.stage is not None,
                "starts": 1 if config.kind == "replayed" else 3,
            }
            plan = Plan.model_validate(usual | asked)
            circumstances = Circumstances(**said, settle_s=settle_s, measure_settle=measure_settle)
            with _rigs(config, plan.seed, recording) as open_rig:
                with open_rig(first_number(out, dataset, config)) as opened:
                    campaign = begin(out, config, opened, plan, circumstances)
                campaign = _record(campaign, open_rig, pause)
        figures = _report(campaign, config)
        campaign = finish(campaign)
        if verify:
            figures["verified"] = show_findings(out, campaign.dataset)
    if json_file:
        write_json(json_file, figures)
    if verify:
        refuse_damaged(out, figures["verified"])


def _record(
    campaign: "Campaign", open_rig: "OpenRig", pause: "Callable[[int, Rig, Progress], None]"
) -> "Campaign":
    """Record what is missing, with a bar that shows how far it is."""
    from calibration.campaign import record
    from calibration.dataset import require_dataset

    numbers = [_file_number(entry.file) for entry in campaign.session.stacks]
    title = f"{campaign.session.notice} stack".strip()
    try:
        with _progress() as bar:
            task = bar.add_task(title, total=len(numbers), completed=campaign.session.done)

            def show(index: int, plane: int, planes: int) -> None:
                label = f"{title} {index + 1} of {len(numbers)}, plane {plane} of {planes}"
                bar.update(task, description=label, completed=index + plane / planes)

            return record(
                campaign,
                lambda index: open_rig(numbers[index]),
                ready=lambda index, opened: pause(index, opened, bar),
                progress=show,
                tell=lambda line: bar.console.print(line, highlight=False, soft_wrap=True),
            )
    except KeyboardInterrupt:
        done = require_dataset(campaign.folder).sessions[-1].done
        print(f"interrupted: {done} of {len(numbers)} stacks are safe, the same command goes on")
        raise


def _refuse_not_finite(asked: dict[str, Any]) -> None:
    """Tell which option is no number: the plan's own complaint would not know its name."""
    from hw.errors import StackError

    for name, value in asked.items():
        if isinstance(value, float) and not math.isfinite(value):
            option = "--" + name.replace("_", "-")
            raise StackError(f"{option} {value:g} is no place or length; give a number in um")


def _pause(wait: str | None) -> "Callable[[int, Rig, Progress], None]":
    """Return what is done before each stack: nothing, a question, or, after the first, a wait."""
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
def _rigs(config: "RigConfig", seed: int, recording: Path | None) -> "Iterator[OpenRig]":
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

"""`wormfocus stack`: record z-stacks on a rig."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@app.command("stack")
def stack(
    rig: Annotated[str, typer.Option(help="A YAML file or the name of a shipped rig.")],
    out: Annotated[Path, typer.Option(help="Folder for the stacks; those in it are kept, numbers go on.")],
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="Stacks.")] = 1,
    centre_um: Annotated[
        float | None, typer.Option(help="Middle of the stack; by default that of the axis's travel.")
    ] = None,
    span_um: Annotated[
        float | None, typer.Option(help="First to last plane; by default the rig's search span.")
    ] = None,
    step_um: Annotated[
        float | None, typer.Option(help="Between planes; by default a quarter of the depth of field.")
    ] = None,
    specimen: Annotated[
        str | None, typer.Option(help="What is under the lens; by default each stack is its own specimen.")
    ] = None,
    compress: Annotated[
        bool, typer.Option("--compress", help="zlib: smaller files, slower to read.")
    ] = False,
    recording: Annotated[
        Path | None, typer.Option("--stack", help="The recording that a replayed rig shows.")
    ] = None,
    spacing_um: Annotated[
        float | None, typer.Option(min=0, help="Between its planes, where their names give only the order.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of a simulated rig's first specimen; the others count up.")
    ] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Record z-stacks with the lens position of every plane, as OME-TIFF."""
    from functools import partial

    from rich.progress import Progress

    from calibration.acquire import acquire_stack, plan_positions
    from calibration.stack import STACK_SUFFIX, stack_name, write_stack
    from hw.config import load_rig
    from hw.errors import ConfigError
    from hw.rig import open_rig

    config = load_rig(rig)
    if spacing_um is not None:
        config = config.with_spacing(spacing_um)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be made a folder ({error.strerror}); choose another") from error
    taken = [
        int(tail)
        for path in out.glob(f"{config.name}_*{STACK_SUFFIX}")
        if (tail := stack_name(path).removeprefix(f"{config.name}_")).isdecimal()
    ]
    first = max(taken, default=0) + 1
    figures = []
    for index in range(first, first + number):
        with open_rig(config, seed=seed + index - 1, stack=recording) as opened, Progress() as bar:
            positions = plan_positions(opened.config, centre_um, span_um, step_um)
            task = bar.add_task(f"{opened.notice} stack {index - first + 1} of {number}".strip(), total=None)
            name = specimen or f"{config.name}_{index:04d}"
            recorded = acquire_stack(
                opened,
                positions,
                specimen=name,
                progress=partial(_show, bar, task),
            )
            path = out / f"{config.name}_{index:04d}{STACK_SUFFIX}"
            write_stack(path, recorded, compress=compress)
        low, high = recorded.positions_um[0], recorded.positions_um[-1]
        print(f"{opened.notice} {path}: {len(positions)} planes, {low:g} to {high:g} um".strip())
        figures.append(
            {
                "path": str(path),
                "specimen": name,
                "planes": len(positions),
                "low_um": float(low),
                "high_um": float(high),
            }
        )
    if json_file:
        write_json(json_file, {"rig": config.name, "notice": opened.notice, "stacks": figures})


def _show(bar: "Progress", task: "TaskID", done: int, planes: int) -> None:
    bar.update(task, completed=done, total=planes)

"""`wormfocus run`: continuous autofocus."""

from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import (
    MethodName,
    Parts,
    finite,
    open_parts,
    show_figures,
    show_progress,
    write_json,
)

if TYPE_CHECKING:
    from edge.figures import RunFigures


@app.command("run")
def run(
    rig: Annotated[str, typer.Option(help="Rig file, or the name of a shipped rig.")],
    bundle: Annotated[str, typer.Option(help="Bundle, or the name of a shipped one.")] = "default",
    seconds: Annotated[
        float, typer.Option(min=0.1, callback=finite, help="Length of the run on the rig's clock.")
    ] = 60.0,
    method: Annotated[MethodName, typer.Option(help="How to focus.")] = MethodName.network,
    session: Annotated[Path | None, typer.Option(help="New folder to record the session in.")] = None,
    stack: Annotated[Path | None, typer.Option(help="Stack or folder of planes for a replayed rig.")] = None,
    spacing_um: Annotated[
        float | None, typer.Option(help="Distance of planes without positions, um.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of a simulated rig.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Keep a specimen in focus for a while, and say how well that went."""
    with open_parts(rig, bundle, method, stack=stack, spacing_um=spacing_um, seed=seed) as parts:
        begin = perf_counter()
        figures = run_recorded(parts, seconds, session)
        show_figures(figures, parts.rig, perf_counter() - begin)
        notice = parts.rig.notice
    if session is not None:
        print(f"session in {session}, picture in {session / 'summary.png'}")
    if json_file is not None:
        write_json(json_file, {"rig": rig, "notice": notice, "seed": seed, **figures.as_dict()})


def run_recorded(parts: Parts, seconds: float, folder: Path | None) -> "RunFigures":
    """Run, with progress and, where a folder is given, a session record."""
    from calibration.truth import true_focus
    from edge.loop import run_autofocus
    from edge.session import Session

    rig = parts.rig
    title = " ".join(filter(None, (rig.notice, rig.config.name)))
    with ExitStack() as stack:
        session = None
        if folder is not None:
            session = stack.enter_context(Session(folder, rig.config, parts.card, rig.notice))
        progress = stack.enter_context(show_progress(title, seconds))
        figures = run_autofocus(
            rig, parts.focuser, seconds=seconds, session=session, truth=true_focus(rig), progress=progress
        )
        if session is not None:
            session.finish(figures)
    return figures

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
    open_parts,
    show_figures,
    show_progress,
    write_json,
)
from wormfocus.notify import Notifier
from wormfocus.stop import StopRequest

if TYPE_CHECKING:
    from edge.figures import RunFigures, Step


@app.command("run")
def run(
    rig: Annotated[str, typer.Option(help="Rig file, or the name of a shipped rig.")],
    bundle: Annotated[str, typer.Option(help="Bundle, or the name of a shipped one.")] = "default",
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Length on the rig's clock; inf: until it is stopped.")
    ] = 60.0,
    method: Annotated[MethodName, typer.Option(help="How to focus.")] = MethodName.network,
    session: Annotated[Path | None, typer.Option(help="New folder to record the session in.")] = None,
    sessions: Annotated[
        Path | None, typer.Option(help="Folder that gets a numbered session every hour, for long runs.")
    ] = None,
    sessions_gb: Annotated[
        float, typer.Option(min=0.01, max=1e6, help="All of --sessions take no more; the oldest make room.")
    ] = 2.0,
    stack: Annotated[Path | None, typer.Option(help="Stack or folder of planes for a replayed rig.")] = None,
    spacing_um: Annotated[
        float | None, typer.Option(help="Distance of planes without positions, um.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of a simulated rig.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Keep a specimen in focus for a while, and say how well that went.

    SIGTERM, or Ctrl-C, ends it after the frame in hand, with figures and picture; a second one at once.
    Under systemd it says when it is ready, alive and stopping.
    """
    if session is not None and sessions is not None:
        raise typer.BadParameter("--session and --sessions exclude each other; give one of them")
    # The notifier first: a socket that is not there should not have started any motor either.
    with (
        Notifier.from_environment() as notifier,
        StopRequest() as stop,
        open_parts(rig, bundle, method, stack=stack, spacing_um=spacing_um, seed=seed) as parts,
    ):
        begin = perf_counter()
        figures, picture = _run(
            parts, seconds, session, sessions, int(sessions_gb * 1e9), notifier=notifier, stop=stop
        )
        show_figures(figures, parts.rig, perf_counter() - begin)
        notice = parts.rig.notice
    if picture is not None:
        print(f"session in {picture.parent}, picture in {picture}")
    if json_file is not None:
        write_json(json_file, {"rig": rig, "notice": notice, "seed": seed, **figures.as_dict()})


def run_recorded(parts: Parts, seconds: float, folder: Path | None) -> "RunFigures":
    """Run, with progress and, where a folder is given, a session record."""
    return _run(parts, seconds, folder, None, 0)[0]


def _run(
    parts: Parts,
    seconds: float,
    folder: Path | None,
    root: Path | None,
    limit_bytes: int,
    *,
    notifier: Notifier | None = None,
    stop: StopRequest | None = None,
) -> tuple["RunFigures", Path | None]:
    """Run; return the figures of the whole run and, where it was recorded, the path of its last picture."""
    from calibration.truth import true_focus
    from edge.loop import run_autofocus
    from edge.series import SessionSeries
    from edge.session import Session

    rig = parts.rig
    title = " ".join(filter(None, (rig.notice, rig.config.name)))
    with ExitStack() as stack:
        session: Session | SessionSeries | None = None
        if folder is not None:
            session = stack.enter_context(Session(folder, rig.config, parts.card, rig.notice))
        elif root is not None:
            series = SessionSeries(
                root, rig.config, parts.card, rig.notice, parts.focuser.method, limit_bytes=limit_bytes
            )
            session = stack.enter_context(series)
        show = stack.enter_context(show_progress(title, seconds))

        def progress(step: "Step") -> None:
            show(step)
            if notifier is not None:
                notifier.step(step)

        figures = run_autofocus(
            rig,
            parts.focuser,
            seconds=seconds,
            session=session,
            truth=true_focus(rig),
            progress=progress,
            stopped=stop.is_set if stop is not None else None,
        )
        if notifier is not None:
            notifier.stopping()
        if isinstance(session, SessionSeries):
            return figures, session.finish()
        return figures, session.finish(figures) if session is not None else None

"""`wormfocus bench`: how long networks take, here, and what to expect of a Raspberry Pi."""

import os
from pathlib import Path
from typing import Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import finite, write_json
from wormfocus.repeat import command_line
from wormfocus.stages import stage_teller

__all__ = ["bench"]

USUAL_THREADS = (1, 2, 4)


@app.command("bench")
def bench(
    context: typer.Context,
    bundles: Annotated[
        list[str] | None,
        typer.Argument(help="Bundles, shipped names, plain .tflite or .onnx files; 'default' when absent."),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(
            min=1, max=64, help="Of the runtime; may be given again. Default: 1, 2, 4, up to the cores."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, callback=finite, help="Measured per network, runtime and threads.")
    ] = 5.0,
    python: Annotated[
        list[str] | None,
        typer.Option(help="Python of another environment, whose runtimes run too; may be given again."),
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Time every operator by itself too.")] = False,
    top: Annotated[int, typer.Option(min=0, help="How many of the longest operators --profile prints.")] = 10,
    against: Annotated[
        Path | None, typer.Option(help="Another machine's --json, to stand beside this one's.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise that networks look at.")] = 0,
) -> None:
    """Time networks warm and cold, in turns, with their memory; predict a Pi's times. Works offline."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from edge.bench.against import beside, load_results
    from edge.bench.candidate import open_candidates
    from edge.bench.report import beside_text, result_text
    from edge.bench.run import run_bench
    from edge.bench.workers import find_runtimes
    from hw.clock import SystemClock

    other = load_results(against) if against is not None else None
    candidates = open_candidates(bundles or ["default"])
    # Beyond the cores, threads only wait for each other; who wants to see that asks for it.
    counts = sorted(set(threads or [n for n in USUAL_THREADS if n <= len(os.sched_getaffinity(0))]))
    runtimes, missing = find_runtimes(python or ())
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        result = run_bench(
            candidates,
            runtimes,
            counts,
            SystemClock(),
            stage_teller(bar, bar.add_task("", total=None), "bench"),
            seconds=seconds,
            seed=seed,
            by_operator=profile,
        )
    typer.echo(result_text(result, top))
    if other is not None:
        pairs, warnings = beside(result["rows"], other["rows"])
        typer.echo(f"\n{beside_text(pairs, warnings, other['machine'])}")
        result["against"] = {"machine": other["machine"], "rows": pairs, "warnings": warnings}
    if json_file is not None:
        write_json(json_file, {"command": command_line(context), **result, "not_found": missing})

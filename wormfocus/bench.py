"""`wormfocus bench`: how long networks take, here, and what to expect of a Raspberry Pi."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wormfocus.application import app
from wormfocus.autofocus import finite, write_json
from wormfocus.repeat import command_line
from wormfocus.stages import stage_teller

if TYPE_CHECKING:
    from edge.bench.candidate import Candidate
    from edge.bench.workers import Runtime

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
) -> None:
    """Time networks warm and cold, in turns, with their memory; predict a Pi's times. Needs no network."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from edge.bench import report
    from edge.bench.against import beside, load_results
    from edge.bench.by_operator import left_in_float
    from edge.bench.by_operator import profile as profile_of
    from edge.bench.candidate import open_candidates
    from edge.bench.cost_model import load_cost_model
    from edge.bench.energy import EnergyMeter
    from edge.bench.machine import describe_machine, state_of_machine
    from edge.bench.timing import Contender, cold_rows, model_files, warm_rows
    from edge.bench.workers import find_runtimes
    from hw.clock import SystemClock
    from hw.errors import BundleError

    other = load_results(against) if against is not None else None
    candidates = open_candidates(bundles or ["default"])
    # Beyond the cores, threads only wait for each other; who wants to see that asks for it.
    counts = sorted(set(threads or [n for n in USUAL_THREADS if n <= len(os.sched_getaffinity(0))]))
    runtimes, missing = find_runtimes(python or ())
    pairs = [(candidate, runtime) for candidate in candidates for runtime in _reading(candidate, runtimes)]
    for candidate in candidates:
        if not _reading(candidate, runtimes):
            raise BundleError(
                f"{candidate.name}: no runtime here reads {candidate.format} ({'; '.join(missing)}); install "
                "one, or name an environment that has it with --python"
            )
    meter = EnergyMeter()
    before = state_of_machine()
    profiles: list[dict[str, Any]] = []
    with (
        Progress(
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as bar,
        model_files(candidates) as files,
    ):
        tell = stage_teller(bar, bar.add_task("", total=None), "bench")
        cold, refused = cold_rows(
            [Contender(candidate, runtime, counts[0]) for candidate, runtime in pairs],
            files,
            SystemClock(),
            tell,
        )
        ran = {(row["sha256"], row["runtime"]) for row in cold}
        contenders = [
            Contender(candidate, runtime, count)
            for count in counts
            for candidate, runtime in pairs
            if (candidate.sha256, runtime.label) in ran
        ]
        rows = warm_rows(contenders, files, seconds, meter, tell) if contenders else []
        if profile:
            folder = next(iter(files.values())).parent
            for candidate in candidates:
                readers = [r for r in _reading(candidate, runtimes) if (candidate.sha256, r.label) in ran]
                if candidate.operators and readers:
                    profiles.append(profile_of(candidate, readers[0], seconds, folder, tell))
    model = load_cost_model()
    machine = {
        **describe_machine(),
        "runtimes": [runtime.label for runtime in runtimes],
        "energy": meter.why_not or "counter of the whole processor (RAPL)",
        "before": before,
        "after": state_of_machine(),
    }
    predicted = _predicted(candidates)
    typer.echo(report.machine_text(machine))
    typer.echo(f"\nwarm, per answer\n{report.warm_text(rows)}")
    typer.echo(f"\ncold, {counts[0]} threads\n{report.cold_text(cold)}")
    for row in refused:
        typer.echo(f"refused: {row['bundle']}: {row['refused']}")
    for found in profiles:
        typer.echo(f"\noperators of {report.profile_text(found, top)}")
    if predicted:
        typer.echo(f"\nexpected, per answer\n{report.predicted_text(predicted, model)}")
    result: dict[str, Any] = {
        "command": command_line(context),
        "machine": machine,
        "rows": rows,
        "cold": cold,
    }
    if other is not None:
        both, warnings = beside(rows, other["rows"])
        typer.echo(f"\n{report.beside_text(both, warnings, other['machine'])}")
        result["against"] = {"machine": other["machine"], "rows": both, "warnings": warnings}
    if json_file is not None:
        operators = {c.name: left_in_float(c.operators) for c in candidates if c.operators}
        write_json(
            json_file,
            result
            | {
                "refused": refused,
                "not_found": missing,
                "operators": operators,
                "profiles": profiles,
                "predicted": predicted,
                "cost_model": model.model_dump(mode="json"),
            },
        )
    if not rows:
        raise BundleError("no runtime could run any of the networks; see the refusals above")


def _reading(candidate: "Candidate", runtimes: "list[Runtime]") -> "list[Runtime]":
    return [runtime for runtime in runtimes if runtime.reads == candidate.format]


def _predicted(candidates: "list[Candidate]") -> list[dict[str, Any]]:
    """Say what each network is expected to take on each Pi."""
    from edge.bench.cost_model import MACHINES, predictions

    return [
        {
            "bundle": candidate.name,
            "precision": candidate.precision,
            "machine": MACHINES[expected.machine],
            "threads": expected.threads,
            "asks": candidate.asks,
            "ms": expected.ms,
            "low_ms": expected.low_ms,
            "high_ms": expected.high_ms,
        }
        for candidate in candidates
        if candidate.operators
        for expected in predictions(candidate.operators, candidate.asks)
    ]

"""`wormfocus label`: find the focus of recorded stacks."""

from pathlib import Path
from typing import Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json


@app.command("label")
def label(
    stacks: Annotated[Path, typer.Argument(help="Folder of stacks, one stack, or one folder of planes.")],
    measure: Annotated[str, typer.Option(help="Focus measure.")] = "vollath_f5",
    spacing_um: Annotated[
        float | None, typer.Option(help="Between planes whose names give only their order.")
    ] = None,
    relabel: Annotated[bool, typer.Option("--relabel", help="Replace the labels that are there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the labels, write none.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Write NAME.label.json beside each stack whose focus curve has a peak to be trusted; say why not."""
    from rich.progress import track

    from calibration.label import label_stacks
    from calibration.measure import focus_measure
    from calibration.stack import stack_name, stacks_at
    from hw.errors import StackError

    focus_measure(measure)
    paths = stacks_at(stacks)
    results = list(
        track(
            label_stacks(paths, measure, spacing_um=spacing_um, relabel=relabel, write=not dry_run),
            total=len(paths),
            description="Labels",
        )
    )
    if len(results) == 1 and results[0].reason:
        raise StackError(f"{paths[0]}: {results[0].reason}")
    width = max(len(stack_name(result.path)) for result in results)
    print(f"{'stack':{width}}  {'focus um':>10}  {'sigma um':>9}  result")
    for result in results:
        focus, sigma = "-", "-"
        if result.label is not None:
            focus, sigma = f"{result.label.focus_um:.3f}", f"{result.label.sigma_um:.3f}"
        text = f"refused: {result.reason}" if result.reason else result.outcome
        print(f"{stack_name(result.path):{width}}  {focus:>10}  {sigma:>9}  {text}")
    counts = {
        outcome: sum(result.outcome == outcome for result in results)
        for outcome in ("labelled", "kept", "refused")
    }
    print(
        ", ".join(f"{count} {outcome}" for outcome, count in counts.items()), "(dry run)" if dry_run else ""
    )
    if json_file:
        figures = {
            "measure": measure,
            "stacks": len(results),
            **counts,
            "results": [
                {
                    "path": str(result.path),
                    "outcome": result.outcome,
                    "focus_um": result.label.focus_um if result.label else None,
                    "sigma_um": result.label.sigma_um if result.label else None,
                    "reason": result.reason,
                }
                for result in results
            ],
        }
        write_json(json_file, figures)
    if counts["refused"] == len(results):
        raise StackError(f"{stacks}: no stack can be labelled, for the reasons above; record others")

"""`wormfocus sweep`: many runs of a recipe with other values, on this machine or a cluster."""

import importlib.util
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json
from wormfocus.repeat import command_line

__all__ = ["Method", "sweep"]


class Method(StrEnum):
    """How values are chosen."""

    random = "random"
    grid = "grid"
    population = "population"


@app.command("sweep")
def sweep(
    context: typer.Context,
    space: Annotated[Path, typer.Option(help="YAML file: keys of the recipe and the values to try.")],
    stacks: Annotated[list[Path], typer.Option(help="Folder of OME-TIFF stacks; may be given again.")],
    out: Annotated[Path, typer.Option(help="Folder of the sweep; the same command again goes on.")],
    recipe: Annotated[str, typer.Option(help="Recipe file, or the name of a shipped recipe.")] = "default",
    method: Annotated[
        Method,
        typer.Option(
            help="Draw values, try every combination of choices, or let a population learn them in training."
        ),
    ] = Method.random,
    trials: Annotated[
        int, typer.Option(min=1, help="Number of runs; a grid has as many as it has combinations.")
    ] = 8,
    every: Annotated[
        int, typer.Option(min=1, help="Epochs after which a population takes over the weights of its best.")
    ] = 1,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to use, as HOST:PORT or 'auto'; this machine when absent.")
    ] = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="Most runs at a time.")] = None,
    cpus: Annotated[float, typer.Option(min=0.1, help="Processor cores for each run.")] = 1,
    gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs for each run; one by default, where there are any.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for decoded images.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the values that are drawn.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the table here.")] = None,
) -> None:
    """Try a recipe with other values, and write down the best; interrupt it as you like.

    Runs are compared by their mean error on the validation specimens.
    """
    # Before anything that takes time: without it there is no sweep. It is imported later, with its settings.
    if importlib.util.find_spec("ray") is None:
        raise ModuleNotFoundError("no module named 'ray'", name="ray")

    from training.recipe import load_recipe
    from training.sweep.engine import Machines
    from training.sweep.space import load_space
    from training.sweep.sweep import Asked, run_sweep

    asked = Asked(method.value, trials, every, seed)
    rows, best = run_sweep(
        load_recipe(recipe),
        load_space(space),
        asked,
        stacks,
        out,
        cache=cache,
        machines=Machines(address, at_once, cpus, gpus),
        tell=_say,
    )
    if json_file is not None:
        write_json(json_file, {"command": command_line(context), "best": best, "trials": rows})
    if any(not row["finished"] for row in rows):
        typer.echo("wormfocus: some runs have failed, see above; the same command tries them again", err=True)
        raise typer.Exit(1)


def _say(line: str) -> None:
    print(line, flush=True)

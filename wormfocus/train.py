"""`wormfocus train`: learn a network from stacks."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json

__all__ = ["train"]


@app.command("train")
def train(
    stacks: Annotated[list[Path], typer.Option(help="Folder of OME-TIFF stacks; may be given again.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the same command again resumes it.")],
    recipe: Annotated[str, typer.Option(help="Recipe file, or the name of a shipped recipe.")] = "default",
    cache: Annotated[Path | None, typer.Option(help="Folder for decoded images.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Overrides the recipe's seed.")] = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Overrides the recipe's time limit.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures of the finished run here.")
    ] = None,
) -> None:
    """Train a network by a recipe; interrupt it as you like, the same command goes on."""
    from training.recipe import load_recipe

    chosen = load_recipe(recipe)
    overrides = {"seed": seed, "max_minutes": max_minutes}
    chosen = chosen.model_copy(update={key: value for key, value in overrides.items() if value is not None})
    # Lightning takes seconds to import: a mistake in the recipe is told before.
    from training.fit import train as fit

    run = fit(chosen, stacks, out, cache=cache, bar=sys.stdout.isatty(), tell=_say)
    if run is not None and json_file is not None:
        write_json(json_file, json.loads((out / "evaluation.json").read_bytes()))


def _say(line: str) -> None:
    print(line, flush=True)

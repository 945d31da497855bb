"""`wormfocus train`: learn a network from stacks."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json

if TYPE_CHECKING:
    from training.recipe import Recipe

__all__ = ["train"]


@app.command("train")
def train(
    stacks: Annotated[list[Path], typer.Option(help="Folder of OME-TIFF stacks; may be given again.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the same command again resumes it.")],
    recipe: Annotated[
        str | None,
        typer.Option(help="Recipe file, or the name of a shipped recipe; by default 'default', or --from's."),
    ] = None,
    parent: Annotated[
        Path | None,
        typer.Option("--from", help="Finished run to fine-tune: its network, head, input and normalisation."),
    ] = None,
    freeze: Annotated[
        int | None, typer.Option(min=0, help="First layers that stay as they are; overrides the recipe's.")
    ] = None,
    quantization_aware: Annotated[
        bool,
        typer.Option(
            "--quantization-aware",
            help="Fine-tune with the rounding of static int8, on the run's own stacks, where its export "
            "loses too much.",
        ),
    ] = False,
    cache: Annotated[Path | None, typer.Option(help="Folder for decoded images.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Overrides the recipe's seed.")] = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Overrides the recipe's time limit.")
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="GPUs to share each batch among, by default all; without a GPU, processes on the processor.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures of the finished run here.")
    ] = None,
) -> None:
    """Train a network by a recipe; interrupt it as you like, the same command goes on.

    Fine-tuning without a recipe follows that of the run, with a tenth of its images and learning rate.
    """
    from training.recipe import load_recipe

    if parent is None:
        chosen = load_recipe(recipe or "default")
    else:
        chosen = _fine_tuned(recipe, parent, quantization_aware)
    overrides = {
        "seed": seed,
        "max_minutes": max_minutes,
        "freeze": freeze,
        "quantization_aware": quantization_aware or None,
    }
    chosen = chosen.model_copy(update={key: value for key, value in overrides.items() if value is not None})
    # Lightning takes seconds to import: a mistake in the recipe is told before.
    from training.fit import train as fit

    run = fit(chosen, stacks, out, cache=cache, devices=devices, bar=sys.stdout.isatty(), tell=_say)
    if run is not None and json_file is not None:
        write_json(json_file, json.loads((out / "evaluation.json").read_bytes()))


def _fine_tuned(recipe: str | None, parent: Path, rounded: bool) -> "Recipe":
    """Return the recipe given, or that of the run to start from, made to start from it."""
    from hw.errors import ConfigError
    from training.recipe import load_recipe

    if recipe is None:
        from training.run import read_record
        from training.transfer import fine_tuning, quantization_aware

        return (quantization_aware if rounded else fine_tuning)(read_record(parent).recipe, parent)
    chosen = load_recipe(recipe)
    if chosen.pretrained or chosen.weights is not None:
        key = "pretrained" if chosen.pretrained else "weights"
        raise ConfigError(f"recipe '{recipe}' starts from its '{key}' and --from {parent}; keep one of them")
    return chosen.model_copy(update={"weights": parent})


def _say(line: str) -> None:
    print(line, flush=True)

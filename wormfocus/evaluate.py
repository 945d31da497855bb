"""`wormfocus evaluate`: how good a bundle or a run is on stacks."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json

if TYPE_CHECKING:
    from training.run import Run

__all__ = ["Part", "evaluate"]


class Part(StrEnum):
    """Which specimens of the stacks are used."""

    test = "test"
    validation = "validation"
    all = "all"


@app.command("evaluate")
def evaluate(
    stacks: Annotated[list[Path], typer.Option(help="Folder of OME-TIFF stacks; may be given again.")],
    bundle: Annotated[str | None, typer.Option(help="Bundle to judge: a path or a shipped name.")] = None,
    run: Annotated[
        Path | None, typer.Option(help="Run to judge; with --bundle, only names the split.")
    ] = None,
    split: Annotated[
        Part | None,
        typer.Option(help="Default: test on the stacks that --run was trained on, all on others."),
    ] = None,
    rig: Annotated[str | None, typer.Option(help="Rig whose steps and depth of field are used.")] = None,
    seen: Annotated[bool, typer.Option(help="Allow specimens that were learnt from.")] = False,
    full: Annotated[bool, typer.Option(help="Show whole frames too, as a group of their own.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Compare predictions with labels on every plane of the stacks."""
    from rich.progress import track

    from edge.bundle import load_bundle
    from hw.config import load_rig
    from hw.errors import ConfigError, StackError
    from training.evaluate import evaluate as compare
    from training.evaluate import judge_of_bundle, judge_of_run
    from training.labelled import collect, fingerprint
    from training.metrics import in_words
    from training.run import load_run

    if bundle is None and run is None:
        raise ConfigError("nothing to evaluate; give --bundle BUNDLE or --run RUN")
    loaded = load_bundle(bundle) if bundle is not None else None
    trained = load_run(run) if run is not None else None
    if split not in {None, Part.all} and trained is None:
        raise ConfigError(
            f"--split {split}: a bundle does not list its specimens; give its run too, with --run"
        )
    labelled = collect(stacks, typer.echo)
    data = fingerprint(labelled)
    if split is None:
        split = Part.test if trained and data == trained.fingerprint else Part.all
    if loaded and not trained and not seen and data == loaded.card.training.fingerprint:
        raise StackError(
            f"bundle '{loaded.card.name}' was trained on these stacks, so figures would flatter; give other "
            "stacks, its run with '--run RUN --split test', or allow it with '--seen'"
        )
    if rig is not None:
        chosen = load_rig(rig)
        um_per_step, dof_um = chosen.axis.um_per_step, chosen.optics.dof_um
    elif trained:
        um_per_step, dof_um = trained.record.um_per_step, trained.record.optics.dof_um
    else:
        assert loaded is not None
        um_per_step, dof_um = load_rig(loaded.card.rig).axis.um_per_step, loaded.card.optics.dof_um
    if loaded:
        judge = judge_of_bundle(loaded)
    else:
        assert trained is not None
        judge = judge_of_run(trained)
    figures = compare(
        judge,
        track(labelled, "evaluating", transient=True),
        um_per_step,
        dof_um,
        only=trained.split[split] if trained and split is not Part.all else None,
        never=_used(trained, split) if trained and not seen else (),
        full=full,
    )
    typer.echo(f"{figures['specimens']} specimens ({split}): {in_words(figures)}")
    for kind, groups in figures["groups"].items():
        for name, group in groups.items():
            typer.echo(f"  {kind} {name}: {in_words(group)}")
    if json_file is not None:
        write_json(json_file, {"split": str(split), **figures})


def _used(run: "Run", part: Part) -> frozenset[str]:
    """Specimens that a run learnt from, or chose its weights by."""
    parts = ["train"] if part is Part.validation else ["train", "validation"]
    return frozenset(name for used in parts for name in run.split[used])

"""`wormfocus evaluate`: how good a bundle or a run is on stacks."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json
from wormfocus.judging import Field, Full, JsonFile, Report, RigName, Seed, Seen, Stacks
from wormfocus.repeat import command_line

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
    context: typer.Context,
    stacks: Stacks,
    bundle: Annotated[str | None, typer.Option(help="Bundle to judge: a path or a shipped name.")] = None,
    run: Annotated[
        Path | None, typer.Option(help="Run to judge; with --bundle, only names the split.")
    ] = None,
    split: Annotated[
        Part | None,
        typer.Option(help="Default: test on the stacks that --run was trained on, all on others."),
    ] = None,
    rig: RigName = None,
    seen: Seen = False,
    full: Full = False,
    field: Field = None,
    report: Report = None,
    json_file: JsonFile = None,
    seed: Seed = 0,
) -> None:
    """Compare predictions with labels on every plane of the stacks."""
    from rich.progress import track

    from edge.bundle import load_bundle
    from hw.errors import ConfigError
    from training.assessment import Assessment, Circumstances, circumstances_in_json
    from training.candidate import candidate_of_bundle, candidate_of_run, common_scale
    from training.evaluate import figures_of, judge_stacks
    from training.labelled import collect, fingerprint
    from training.metrics import in_words
    from training.remeasure import check_unseen
    from training.report import write_report
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
    if loaded and not trained and not seen:
        check_unseen(loaded, data, ", its run with '--run RUN --split test', or allow it with '--seen'")
    if loaded:
        candidate = candidate_of_bundle(loaded, trained)
    else:
        assert trained is not None
        candidate = candidate_of_run(trained)
    scale = common_scale([candidate], labelled, rig)
    frames, answers = judge_stacks(
        {candidate.name: candidate.judge},
        track(labelled, "evaluating", transient=True),
        only=trained.split[split] if trained and split is not Part.all else None,
        never={f"{candidate.kind} '{candidate.name}'": _used(trained, split)} if trained and not seen else {},
        full=full,
        fields_um=field or (),
        tell=typer.echo,
    )
    given = answers[candidate.name]
    figures = figures_of(frames, given, scale.um_per_step, scale.dof_um, seed=seed)
    typer.echo(f"{figures['specimens']} specimens ({split}): {in_words(figures)}")
    for kind, groups in figures["groups"].items():
        # In the JSON and the report; hundreds of lines here would hide the others.
        if kind != "specimen":
            for name, group in groups.items():
                typer.echo(f"  {kind} {name}: {in_words(group)}")
    circumstances = Circumstances(
        command_line(context), split.value, data, scale, seed, _notes(trained is not None, seen)
    )
    if report is not None:
        written = write_report(report, [Assessment(candidate, given, figures)], frames, [], circumstances)
        typer.echo(f"report: {written}")
    if json_file is not None:
        cost = {
            "multiply_adds": candidate.cost.multiply_adds,
            "parameters": candidate.cost.parameters,
        }
        provenance = circumstances_in_json(circumstances) | {"facts": candidate.facts}
        write_json(json_file, {"split": split.value, **figures, **cost, "provenance": provenance})


def _used(run: "Run", part: Part) -> frozenset[str]:
    """Specimens that a run, or one that it came from, learnt from or chose its weights by."""
    return run.trained if part is Part.validation else run.learnt


def _notes(knows_specimens: bool, seen: bool) -> tuple[str, ...]:
    """Say what a reader of the figures must know."""
    if seen:
        return ("Specimens that were learnt from are allowed (--seen): the figures flatter.",)
    if not knows_specimens:
        return ("The bundle does not list its specimens: that none of these was learnt from is not checked.",)
    return ()

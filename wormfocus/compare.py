"""`wormfocus compare`: runs and bundles against each other, on the same frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json
from wormfocus.judging import Field, Full, JsonFile, Report, RigName, Seed, Seen, Stacks
from wormfocus.repeat import command_line

if TYPE_CHECKING:
    from training.candidate import Candidate

__all__ = ["compare"]


@app.command("compare")
def compare(
    context: typer.Context,
    networks: Annotated[
        list[str], typer.Argument(help="RUN or BUNDLE, two or more: folders, files or shipped names.")
    ],
    stacks: Stacks,
    origin: Annotated[
        list[Path] | None,
        typer.Option(help="Run that a bundle was exported from: it lists the specimens; may be given again."),
    ] = None,
    rig: RigName = None,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Leave out specimens that any of the networks learnt from.")
    ] = False,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Judge the mean of all their answers too, without outliers.")
    ] = False,
    seen: Seen = False,
    full: Full = False,
    field: Field = None,
    report: Report = None,
    json_file: JsonFile = None,
    seed: Seed = 0,
) -> None:
    """Judge networks on the same frames of specimens that none of them learnt from.

    On stacks that one of the runs was trained on, its test specimens are used; on others, all of them.
    """
    from rich.progress import track

    from hw.errors import ConfigError
    from training.assessment import Assessment, Circumstances, comparison_in_json, paired
    from training.candidate import common_scale, open_candidates
    from training.ensemble import combined, ensemble_of
    from training.evaluate import figures_of, judge_stacks
    from training.labelled import collect, fingerprint
    from training.metrics import in_words
    from training.report import write_report

    if len(networks) < 2:
        raise ConfigError(f"{networks[0]}: nothing to compare it with; give another RUN or BUNDLE")
    if seen and unseen:
        raise ConfigError("--seen and --unseen contradict each other; keep one")
    candidates = open_candidates(networks, origin or ())
    labelled = collect(stacks, typer.echo)
    data = fingerprint(labelled)
    only = _set_aside(candidates, data)
    learnt = {f"{c.kind} '{c.name}'": c.learnt for c in candidates if c.learnt is not None}
    notes = _notes(candidates, data, seen)
    for note in notes:
        typer.echo(f"note: {note}")
    scale = common_scale(candidates, labelled, rig)
    together = ensemble_of(candidates) if ensemble else None
    frames, answers = judge_stacks(
        {candidate.name: candidate.judge for candidate in candidates},
        track(labelled, "comparing", transient=True),
        only=only,
        never={} if seen or unseen else learnt,
        skip=frozenset().union(*learnt.values()) if unseen else frozenset(),
        full=full,
        fields_um=field or (),
        tell=typer.echo,
    )
    if together is not None:
        # From what its members said already: nobody is asked twice.
        answers[together.name] = combined([answers[candidate.name] for candidate in candidates])
        candidates.append(together)
    assessments = [
        Assessment(
            candidate,
            answers[candidate.name],
            figures_of(frames, answers[candidate.name], scale.um_per_step, scale.dof_um, seed=seed),
        )
        for candidate in candidates
    ]
    pairs = paired(assessments, frames, seed=seed)
    split = "all" if only is None else "test specimens of the runs that were trained on these stacks"
    if unseen:
        split += ", without those that any network learnt from"
    circumstances = Circumstances(command_line(context), split, data, scale, seed, notes)
    typer.echo(f"{assessments[0].figures['specimens']} specimens ({split})")
    for assessment in assessments:
        typer.echo(f"{assessment.candidate.name}: {in_words(assessment.figures)}")
    for pair in pairs:
        typer.echo(_in_words(pair))
    if report is not None:
        typer.echo(f"report: {write_report(report, assessments, frames, pairs, circumstances)}")
    if json_file is not None:
        write_json(json_file, comparison_in_json(assessments, pairs, circumstances))


def _set_aside(candidates: Sequence["Candidate"], data: str) -> frozenset[str] | None:
    """Return the specimens that were set aside to test with, of those trained on these very stacks."""
    tests = [c.test for c in candidates if c.test is not None and c.fingerprint == data]
    return frozenset().union(*tests) if tests else None


def _notes(candidates: Sequence["Candidate"], data: str, seen: bool) -> tuple[str, ...]:
    """Say what a reader must know; refuse a bundle that learnt from these very stacks."""
    from hw.errors import StackError

    if seen:
        return ("Specimens that were learnt from are allowed (--seen): figures flatter.",)
    notes = []
    for candidate in candidates:
        if candidate.learnt is not None:
            continue
        if data in candidate.fingerprints:
            raise StackError(
                f"bundle '{candidate.name}' was trained on these stacks, so the comparison would flatter it; "
                "give other stacks, its run with '--origin RUN', or allow it with '--seen'"
            )
        notes.append(
            f"Bundle '{candidate.name}' does not list its specimens: that none of these was learnt from is "
            "not checked; '--origin RUN' would tell."
        )
    return tuple(notes)


def _in_words(pair: dict[str, object]) -> str:
    frames, specimens = pair["frames"], pair["specimens"]
    assert isinstance(frames, dict)
    assert isinstance(specimens, dict)
    interval = pair["mean_interval_um"]
    between = f" ({interval[0]:+.1f} to {interval[1]:+.1f})" if isinstance(interval, list) else ""
    if specimens["wilcoxon_p"] is None:
        return f"{pair['first']} - {pair['second']}: no difference"
    return (
        f"{pair['first']} - {pair['second']}: {frames['mean']:+.1f} um{between}, Wilcoxon over "
        f"{specimens['n']} specimens p = {specimens['wilcoxon_p_holm']:.2g}, effect "
        f"{specimens['effect_size']:+.2f}"
    )

"""`wormfocus diff`: two bundles side by side, and only what differs."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from export.difference import Change

# Of the card, in the order in which they are shown; what begins with none of them is "other".
_TITLES = {
    "network": ("name", "architecture", "outputs.", "trained_range_um"),
    "input": ("input", "normalisation.", "mirrors"),
    "rig": ("rig", "optics."),
    "quantization": ("quantization", "parity."),
    "training": ("training.",),
    "figures": ("validation.",),
    "made": ("created", "versions.", "flatbuffer_sha256", "signature", "schema_version"),
}


@app.command("diff")
def diff(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A .tflite bundle, or the name of a shipped one.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    stacks: Annotated[
        list[Path] | None,
        typer.Option(
            help="Compare their answers on these OME-TIFF stacks, on a workstation; may be given again."
        ),
    ] = None,
    images: Annotated[
        int,
        typer.Option(
            min=2, max=10_000, help="Without stacks: how many generated images they are asked about."
        ),
    ] = 64,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all differences here.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated images.")] = 0,
) -> None:
    """Say in what two bundles differ: cards, operators, weights, and their answers to the same images."""
    from edge.bundle import load_bundle
    from export.difference import (
        answers_apart,
        card_changes,
        changes_in_json,
        constants_apart,
        generated_answers,
        operator_changes,
    )

    bundles = load_bundle(first), load_bundle(second)
    changes, operators = card_changes(*bundles), operator_changes(*bundles)
    weights = constants_apart(*bundles)
    if stacks:
        answers, what = _answers_on(bundles, stacks), "planes of stacks"
    else:
        answers, what = generated_answers(*bundles, images, seed), "generated images, which show no specimen"
    apart = answers_apart(*answers, bundles[0].card.optics.dof_um)

    sizes = [len(bundle.flatbuffer) for bundle in bundles]
    for name, bundle, size in zip("AB", bundles, sizes, strict=True):
        print(f"{name}: {bundle.card.name} ({bundle.path}), network of {size} bytes")
    for line in _in_words(changes, operators):
        print(line)
    print("weights")
    print(f"  {_weights_in_words(weights)}")
    print("answers")
    print(f"  {_answers_in_words(apart, what)}")
    if json_file is not None:
        write_json(
            json_file,
            {
                "first": str(bundles[0].path),
                "second": str(bundles[1].path),
                "bytes": sizes,
                "card": changes_in_json(changes),
                "operators": operators,
                "weights": weights,
                "answers": {"images": what, "seed": None if stacks else seed, **apart},
            },
        )


def _answers_on(bundles: tuple["Bundle", "Bundle"], stacks: list[Path]) -> tuple[Any, Any]:
    """Ask both about every plane; labels are not needed, but stacks are found and checked as elsewhere."""
    from rich.progress import track

    from training.evaluate import judge_stacks
    from training.judge import judge_of_bundle
    from training.labelled import collect

    judges = {name: judge_of_bundle(bundle) for name, bundle in zip("AB", bundles, strict=True)}
    labelled = collect(stacks, typer.echo)
    _, answers = judge_stacks(judges, track(labelled, "asking", transient=True), tell=typer.echo)
    return answers["A"].predicted_um, answers["B"].predicted_um


def _in_words(changes: Iterable["Change"], operators: Iterable[dict[str, Any]]) -> Iterator[str]:
    by_title: dict[str, list[str]] = {}
    for change in changes:
        # Figures by group are in the JSON; dozens of lines here would hide the others.
        if ".groups." in change.key:
            continue
        title = next((t for t, starts in _TITLES.items() if change.key.startswith(starts)), "other")
        percent = "" if change.relative is None else f"  ({change.relative:+.1%})"
        line = f"  {change.key:<32} {_short(change.first)} -> {_short(change.second)}{percent}"
        by_title.setdefault(title, []).append(line)
    for title in (*_TITLES, "other"):
        if title in by_title:
            yield title
            yield from by_title[title]
    rows = [
        f"  {row['operator']:<20} {row['type']:<16} {row['first']} -> {row['second']}" for row in operators
    ]
    if rows:
        yield "operators"
        yield from rows


def _short(value: Any) -> str:
    text = "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _weights_in_words(weights: dict[str, Any]) -> str:
    if not weights["changed"] and weights["matched"] == weights["first"] == weights["second"]:
        return f"the same {weights['matched']} constants"
    words = (
        f"{weights['first']} constants in A, {weights['second']} in B; {weights['matched']} match, of "
        f"them {weights['changed']} with other values, {weights['stored_otherwise']} in another type"
    )
    if weights["changed"]:
        words += "; relative difference {relative_median:.2g} median, {relative_max:.2g} at most".format(
            **weights
        )
    return words


def _answers_in_words(apart: dict[str, Any], what: str) -> str:
    if apart["identical"] == apart["n"]:
        return f"the same on {apart['n']} {what}"
    correlation, opposite = apart["correlation"], apart["opposite_sign_rate"]
    return (
        f"on {apart['n']} {what}: {apart['mean_abs_difference_um']:.3g} um apart on average, "
        f"{apart['p95_difference_um']:.3g} um at 95 %, {apart['max_difference_um']:.3g} um at most, B - A "
        f"{apart['bias_um']:+.3g} um, correlation {'-' if correlation is None else f'{correlation:.4f}'}, "
        f"opposite signs beyond a depth of field {'-' if opposite is None else f'{opposite:.1%}'}"
    )

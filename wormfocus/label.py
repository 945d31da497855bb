"""`wormfocus label`: find the focus of recorded stacks."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json
from wormfocus.stages import watched

if TYPE_CHECKING:
    from calibration.examine import Plan
    from calibration.label import LabelResult


class CriterionName(StrEnum):
    """What focus is on a measure's curve, as the command line spells it."""

    measure = "measure"
    max = "max"
    min = "min"
    auto = "auto"


_CRITERIA: dict[CriterionName, Literal["max", "min", "auto"] | None] = {
    CriterionName.measure: None,
    CriterionName.max: "max",
    CriterionName.min: "min",
    CriterionName.auto: "auto",
}


@app.command("label")
def label(
    stacks: Annotated[Path, typer.Argument(help="Folder of stacks, one stack, or one folder of planes.")],
    measure: Annotated[str, typer.Option(help="Focus measure.")] = "vollath_f5",
    criterion: Annotated[
        CriterionName,
        typer.Option(help="Focus is the curve's max or min, what the measure says, or a min if no max."),
    ] = CriterionName.measure,
    region: Annotated[
        str, typer.Option(help="'subject', the one object of a stack; 'whole'; or x,y,width,height.")
    ] = "subject",
    patches: Annotated[
        str, typer.Option(help="Rows x columns of parts of the region with a focus of their own; 1x1: none.")
    ] = "3x3",
    witness: Annotated[
        list[str] | None,
        typer.Option(help="Measure that has to agree, instead of the usual ones; repeat it, or 'none'."),
    ] = None,
    linear: Annotated[
        bool,
        typer.Option("--linear", help="Grey levels are in proportion to the light, though no stack says so."),
    ] = False,
    spacing_um: Annotated[
        float | None, typer.Option(help="Between planes whose names give only their order.")
    ] = None,
    relabel: Annotated[bool, typer.Option("--relabel", help="Replace the labels that are there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the labels, write none.")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Draw focus curves, labels and planes here, to be looked at (PNG).")
    ] = None,
    set_um: Annotated[
        float | None, typer.Option(help="Correct one stack by hand: this is its focus; with --who and --why.")
    ] = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Correct one stack by hand: it shall not be used.")
    ] = False,
    who: Annotated[str, typer.Option(help="Who corrects.")] = "",
    why: Annotated[str, typer.Option(help="Why.")] = "",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Write NAME.label.json beside each stack whose focus can be trusted; say why not of the others.

    A correction by hand goes to NAME.correction.json and stands above whatever is measured, now or later.
    """
    from calibration.label import label_stacks
    from calibration.label_picture import draw_labels
    from calibration.measure import focus_measure
    from calibration.stack import stacks_at
    from hw.errors import StackError

    focus_measure(measure)
    plan = _plan(criterion, region, patches, witness, linear)
    paths = stacks_at(stacks)
    if set_um is not None or leave_out:
        if paths != [stacks]:
            raise StackError(f"{stacks}: a correction is of one stack; give its file instead of the folder")
        _correct(stacks, set_um, leave_out, who, why, spacing_um)
    results = list(
        watched(
            label_stacks(
                paths,
                measure,
                plan=plan,
                spacing_um=spacing_um,
                relabel=relabel,
                write=not dry_run,
                examine_all=picture is not None,
            ),
            len(paths),
            "labels",
        )
    )
    if picture is not None:
        shown = draw_labels(results, picture, spacing_um=spacing_um)
        print(f"{picture}: {shown} of {len(results)} stacks, the most doubtful first")
    if len(results) == 1 and results[0].reason and not leave_out:
        raise StackError(f"{paths[0]}: {results[0].reason}")
    counts = _print_table(results, dry_run)
    if json_file:
        write_json(
            json_file, {"measure": measure, "stacks": len(results), **counts, "results": _rows(results)}
        )
    if counts["refused"] == len(results) and not leave_out:
        raise StackError(f"{stacks}: no stack can be labelled, for the reasons above; record others")


def _plan(
    criterion: CriterionName, region: str, patches: str, witness: list[str] | None, linear: bool
) -> "Plan":
    from calibration.examine import Plan
    from calibration.measure import focus_measure
    from hw.errors import ConfigError
    from hw.frame import Box

    try:
        rows, columns = (int(part) for part in patches.lower().split("x"))
        if not (rows > 0 and columns > 0):
            raise ValueError
    except ValueError:
        raise ConfigError(f"--patches {patches}: give rows and columns, as in 3x3, or 1x1 for none") from None
    witnesses = None
    if witness:
        witnesses = tuple(name for name in witness if name != "none")
        for name in witnesses:
            focus_measure(name)
    where: Box | Literal["subject", "whole"] = "whole" if region == "whole" else "subject"
    if region not in ("whole", "subject"):
        try:
            x, y, width, height = (int(part) for part in region.split(","))
        except ValueError:
            raise ConfigError(
                f"--region {region}: give 'subject', 'whole', or x,y,width,height in pixels"
            ) from None
        where = Box(x, y, width, height)
    return Plan(_CRITERIA[criterion], where, (rows, columns), witnesses, linear or None)


def _correct(
    path: Path, set_um: float | None, leave_out: bool, who: str, why: str, spacing_um: float | None
) -> None:
    from calibration.correction import add_correction, correction_path, read_correction
    from calibration.stack import read_recording
    from hw.errors import ConfigError, StackError

    if set_um is not None and leave_out:
        raise ConfigError("--set-um and --leave-out contradict each other; give one of them")
    positions = read_recording(path, spacing_um).positions_um
    low, high = float(positions.min()), float(positions.max())
    # A stack may end before focus, though never by more than its own length: that is a slip of the hand.
    if set_um is not None and not low - (high - low) <= set_um <= high + (high - low):
        raise StackError(
            f"{path}: --set-um {set_um:g} is far from its planes, {low:g} to {high:g} um; check the number"
        )
    before = read_correction(path)
    add_correction(path, set_um, who=who, why=why)
    instead = "" if before is None else f", instead of {before.who} on {before.when}"
    print(f"{correction_path(path)}: corrected by {who}{instead}")


def _print_table(results: list["LabelResult"], dry_run: bool) -> dict[str, int]:
    from calibration.stack import stack_name

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
        for outcome in ("labelled", "kept", "corrected", "refused")
    }
    print(
        ", ".join(
            f"{count} {outcome}" for outcome, count in counts.items() if count or outcome != "corrected"
        ),
        "(dry run)" if dry_run else "",
    )
    return counts


def _rows(results: list["LabelResult"]) -> list[dict[str, Any]]:
    return [
        {
            "path": str(result.path),
            "outcome": result.outcome,
            "focus_um": result.label.focus_um if result.label else None,
            "sigma_um": result.label.sigma_um if result.label else None,
            "patches_um": [patch.focus_um for patch in result.label.patches] if result.label else [],
            "reason": result.reason,
        }
        for result in results
    ]

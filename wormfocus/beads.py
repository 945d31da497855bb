"""`wormfocus beads`: how far images are from the reference plane, by the beads in them and networks."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json
from wormfocus.calibrate_plane import BEAD_UM, BeadUm, UmPerPx
from wormfocus.judging import JsonFile, Stacks

if TYPE_CHECKING:
    from calibration.stack import ZStack
    from training.judge import Judge

__all__ = ["beads"]


@app.command("beads")
def beads(
    networks: Annotated[
        list[str], typer.Argument(help="RUN or BUNDLE that learnt from crops of beads; several are averaged.")
    ],
    stacks: Stacks,
    bead_um: BeadUm = BEAD_UM,
    um_per_px: UmPerPx = None,
    json_file: JsonFile = None,
) -> None:
    """Tell each image's distance to the reference plane from its beads alone (paper 5).

    Beads that lie elsewhere are left out by their interquartile range. Where a stack has a label and none of
    the networks learnt from it, its errors are told too.
    """
    from dataclasses import replace

    import numpy as np

    from calibration.label import read_label
    from calibration.stack import find_stacks, read_stack, stack_name
    from hw.errors import StackError
    from training.bead_offset import ENOUGH_BEADS
    from training.candidate import open_candidates

    candidates = open_candidates(networks)
    judges = [candidate.judge for candidate in candidates]
    learnt = frozenset().union(*(candidate.learnt or frozenset() for candidate in candidates))
    rows: list[dict[str, Any]] = []
    print("stack  lens um  beads  offset um  spread um  error um")
    for path in (path for folder in stacks for path in find_stacks(folder)):
        stack = read_stack(path)
        if um_per_px is not None:
            stack = replace(stack, um_per_px=um_per_px)
        label = read_label(path)
        if label is not None and stack.specimen in learnt:
            print(f"{path.name}: its slide was learnt from, so no errors are told")
            label = None
        for row in _rows(stack_name(path), stack, judges, bead_um):
            if label is not None and row["offset_um"] is not None:
                row["error_um"] = row["offset_um"] - (label.focus_um - row["position_um"])
            rows.append(row)
            print(_in_words(row))
    if not rows:
        raise StackError(f"{', '.join(map(str, stacks))}: no stacks; give folders of images with beads")
    errors = np.array([abs(row["error_um"]) for row in rows if row["error_um"] is not None])
    blind = sum(row["offset_um"] is None for row in rows)
    few = sum(0 < row["found"] < ENOUGH_BEADS for row in rows)
    said = (
        f"{len(rows)} images, {blind} without a bead, {few} with fewer than {ENOUGH_BEADS}: not to be trusted"
    )
    figures: dict[str, float] = {}
    if len(errors):
        figures = {
            "mae_um": float(errors.mean()),
            "p95_um": float(np.percentile(errors, 95)),
            "worst_um": float(errors.max()),
        }
        said += "; MAE {mae_um:.2f} um, 95 % within {p95_um:.2f}, worst {worst_um:.2f}".format(**figures)
    print(said)
    if json_file is not None:
        names = [candidate.name for candidate in candidates]
        counts = {"images": len(rows), "without_beads": blind, "too_few_beads": few, "judged": len(errors)}
        write_json(json_file, {"networks": names, **counts, **figures, "rows": rows})


def _rows(name: str, stack: "ZStack", judges: "list[Judge]", bead_um: float) -> list[dict[str, Any]]:
    """Judge every plane of a stack."""
    import math

    from hw.errors import StackError
    from training.bead_offset import ask, cut_beads, pool, search_for
    from training.views import rgb_planes

    if not math.isfinite(stack.um_per_px):
        raise StackError(f"{name}: does not say its pixel size; give --um-per-px")
    search = search_for(judges[0], bead_um, stack.um_per_px)
    rows = []
    for image, position_um in zip(rgb_planes(stack), stack.positions_um, strict=True):
        cut = cut_beads(image, search)
        pooled = pool(ask(cut, judges))
        rows.append(
            {
                "stack": name,
                "position_um": float(position_um),
                "found": len(cut.crops),
                "beads": pooled.beads if pooled else 0,
                "offset_um": pooled.offset_um if pooled else None,
                "spread_um": pooled.spread_um if pooled else None,
                "error_um": None,
            }
        )
    return rows


def _in_words(row: dict[str, Any]) -> str:
    def um(value: float | None) -> str:
        return "-" if value is None else f"{value:+.2f}"

    return (
        f"{row['stack']}  {row['position_um']:.2f}  {row['beads']}  {um(row['offset_um'])}  "
        f"{um(row['spread_um'])}  {um(row['error_um'])}"
    )

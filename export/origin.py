"""Where the specimens of an export come from, and the commands that make them and the bundle again."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.stack import read_stack
from edge.bundle import AncestorRecord, FocusCard
from hw.config import RigConfig
from training.labelled import LabelledStack, specimen_of
from training.prepared import VIEWS, Prepared
from training.run import Run
from training.transfer import FINE_TUNED, ROUNDED

__all__ = ["Source", "ancestor_records", "commands", "named_range", "round_up", "sources"]


@dataclass(frozen=True)
class Source:
    """A folder of stacks, one specimen each.

    Attributes
    ----------
    specimens : their names, by seed where they have one
    planes : of each stack; None where they differ
    range_um : offsets lie between plus and minus this
    shape : rows and columns of a plane
    um_per_px : of the planes
    """

    specimens: tuple[str, ...]
    planes: int | None
    range_um: float
    shape: tuple[int, int]
    um_per_px: float


def sources(labelled: Sequence[LabelledStack], data: Prepared) -> list[Source]:
    """Describe the folders of stacks; nothing where a specimen has several stacks."""
    if len(data.specimens) != len(labelled):
        return []
    folders: dict[Path, list[LabelledStack]] = {}
    for stack in labelled:
        folders.setdefault(stack.path.parent, []).append(stack)
    windows = data.views == VIEWS.index("window")
    planes = np.bincount(data.specimen[windows], minlength=len(labelled))
    found = []
    for stacks in folders.values():
        # Specimens are numbered as their stacks came when they were decoded: folder by folder, though perhaps
        # not in today's order of folders.
        first, last = (specimen_of(stack, read_stack(stack.path)) for stack in (stacks[0], stacks[-1]))
        start = data.specimens.index(first) if first in data.specimens else -1
        block = range(start, start + len(stacks))
        if start < 0 or block[-1] >= len(planes) or data.specimens[block[-1]] != last:
            return []
        found.append(_source(stacks[0].path, data, block, planes))
    return found


def named_range(names: Sequence[str]) -> tuple[str, str]:
    """Return the first and the last of some names, by seed where all have one."""
    ordered = _ordered(names)
    return ordered[0], ordered[-1]


def round_up(value: float) -> float:
    """Round up to two significant figures: the largest offset drawn stands for the range drawn from."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    # A value that is round already may lie a rounding error above itself.
    return round(math.ceil(value / unit - 1e-9) * unit, 9)


def ancestor_records(run: Run) -> tuple[AncestorRecord, ...]:
    """Return what a bundle's card says of the runs that a run learnt from."""
    return tuple(
        AncestorRecord(
            role=ancestor.role,
            recipe=ancestor.recipe,
            architecture=ancestor.network,
            fingerprint=ancestor.fingerprint,
            earlier=ancestor.earlier,
            specimens=len(ancestor.trained),
            seed=ancestor.seed,
            weights_sha256=ancestor.weights_sha256,
        )
        for ancestor in run.record.ancestors
    )


def commands(
    run: Run, folders: Sequence[Source], rig: RigConfig | None, card: FocusCard, bundle: str
) -> list[str]:
    """Return the commands that make a bundle again, stacks included where one command makes them.

    Parameters
    ----------
    run : that was exported
    folders : of all stacks of the export
    rig : on which they were simulated; None for recorded ones
    card : of the bundle
    bundle : name of the file
    """
    lines, learnt, given = [], [], []
    known = set(run.split["train"]) | set(run.split["validation"])
    numbers = count(1)
    for source in folders:
        used = not known.isdisjoint(source.specimens)
        name = ("STACKS" if used else "NEW") + ("" if (number := next(numbers)) == 1 else str(number))
        given.append(f"--stacks {name}")
        if used:
            learnt.append(given[-1])
        line = _simulate(source, rig, name) if rig is not None else None
        if line is not None:
            lines.append(line)
    learnt, given = learnt or ["--stacks STACKS"], given or ["--stacks STACKS"]
    recipe = run.recipe
    taken = f"--recipe {recipe.name}"
    for ancestor in run.record.ancestors:
        role = "PARENT" if ancestor.role == "weights" else "TEACHER"
        lines.append(
            f"# {role}: a run of recipe {ancestor.recipe}, seed {ancestor.seed}, whose weights have the "
            f"SHA-256 {ancestor.weights_sha256[:16]}"
        )
        if ancestor.role == "weights":
            mark = ROUNDED if recipe.quantization_aware else FINE_TUNED
            usual = recipe.name == ancestor.recipe.removesuffix(mark) + mark
            taken = "--from PARENT" if usual else f"{taken} --from PARENT"
            taken += " --quantization-aware" if recipe.quantization_aware else ""
            taken += f" --freeze {recipe.freeze}" if recipe.freeze else ""
    mirrors = "" if card.mirrors == 1 else f" --mirrors {card.mirrors}"
    # Only a network that normalises takes uint8: other files have float borders.
    pixels = " --pixels" if card.input_dtype == "uint8" else ""
    limit = "" if recipe.max_minutes is None else f" --max-minutes {recipe.max_minutes:g}"
    return [
        *lines,
        f"wormfocus train {taken} --seed {recipe.seed}{limit} {' '.join(learnt)} --out RUN",
        f"wormfocus export RUN {' '.join(given)} --quantization {card.quantization}{mirrors}{pixels} "
        f"--out {bundle}",
    ]


def _source(first: Path, data: Prepared, indices: range, planes: NDArray[np.int64]) -> Source:
    stack = read_stack(first)
    rows = (data.specimen >= indices.start) & (data.specimen < indices.stop)
    numbers = {int(planes[index]) for index in indices}
    return Source(
        specimens=tuple(_ordered([data.specimens[index] for index in indices])),
        planes=numbers.pop() if len(numbers) == 1 else None,
        range_um=round_up(float(np.abs(data.offsets_um[rows]).max())),
        shape=(stack.images.shape[1], stack.images.shape[2]),
        um_per_px=stack.um_per_px,
    )


def _simulate(source: Source, rig: RigConfig, folder: str) -> str | None:
    """Return the command that simulates a folder, if its names are those of seeds without a gap."""
    seeds = [_seed(name) for name in source.specimens]
    first = seeds[0]
    if first is None or source.planes is None:
        return None
    if list(source.specimens) != [f"{rig.name}-{seed}" for seed in range(first, first + len(seeds))]:
        return None
    binned = source.um_per_px > 1.01 * rig.optics.um_per_px
    rows, columns = source.shape
    # Windows are square, frames of a camera are not.
    view = f"--window-um {rows * source.um_per_px:g}" if rows == columns else "--full"
    return (
        f"wormfocus simulate --rig {rig.name} --seed {first} -n {len(seeds)} --planes {source.planes} "
        f"--range-um {source.range_um:g} {view}{'' if binned else ' --no-binned'} --out {folder}"
    )


def _ordered(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: (name.rpartition("-")[0], _seed(name) or 0, name))


def _seed(name: str) -> int | None:
    number = name.rpartition("-")[2]
    return int(number) if number.isdigit() else None

"""Which specimens are learnt from, and which only ever tested on; whole plates or days of them at a time."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hw.errors import StackError
from training.labelled import LabelledStack
from training.recipe import SplitConfig

__all__ = ["PARTS", "group_specimens", "part_of", "place_of", "rows_of", "split_specimens"]

PARTS = ("train", "validation", "test")


def part_of(specimen: str, config: SplitConfig) -> str:
    """Return the part, one of `PARTS`, that a specimen, or a group of them, belongs to.

    It depends on nothing but the name and the seed, so that stacks added later move no specimen.
    """
    place = place_of(specimen, config)
    if place < config.test:
        return "test"
    return "validation" if place < config.test + config.validation else "train"


def place_of(specimen: str, config: SplitConfig) -> float:
    """Return the place, from 0 to 1, that a specimen or group has by its name and the seed."""
    digest = hashlib.sha256(f"{config.seed}:{specimen}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def group_specimens(stacks: Sequence[LabelledStack], config: SplitConfig) -> dict[str, str]:
    """Return the plate or day of each specimen, where a split is by these; nothing where it is by specimen.

    Raises
    ------
    StackError
        A stack has none or does not say its specimen, or a specimen has several.
    """
    groups: dict[str, str] = {}
    if config.by == "specimen":
        return groups
    for stack in stacks:
        group = stack.plate if config.by == "plate" else stack.day
        if not group:
            raise StackError(
                f"{stack.path}: split.by is '{config.by}', and no manifest says this stack's {config.by}; "
                "write it there, enter stacks with 'wormfocus dataset --add', or split by specimen"
            )
        # Its specimen would then be told by the stack alone, and be divided from its plate unnoticed.
        if not stack.specimen:
            raise StackError(
                f"{stack.path}: split.by is '{config.by}', and the manifest says no specimen for this stack; "
                "write it there, or split by specimen"
            )
        if groups.setdefault(stack.specimen, group) != group:
            raise StackError(
                f"{stack.path}: specimen '{stack.specimen}' is of {config.by} {groups[stack.specimen]} and "
                f"of {group}, so it would stand on both sides; split by specimen"
            )
    return groups


def split_specimens(
    specimens: Iterable[str], config: SplitConfig, groups: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """Return the sorted names of the specimens of each part.

    Parameters
    ----------
    specimens : names
    config : of the split
    groups : what specimens belong to that must not be divided either, as `group_specimens` returns it

    Returns
    -------
    dict of str to list of str
        Of few specimens, all may fall to training. Where some are to validate, those of the specimen or group
        then do that lies nearest to validation: nine of ten learn and one validates (paper 4, discussion).
    """
    names = sorted(set(specimens))
    group_of = {name: (groups or {}).get(name, name) for name in names}
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in names:
        parts[part_of(group_of[name], config)].append(name)
    learning = {group_of[name] for name in parts["train"]}
    if config.validation and not parts["validation"] and len(learning) > 1:
        nearest = min(learning, key=lambda group: place_of(group, config))
        parts["validation"] = [name for name in parts["train"] if group_of[name] == nearest]
        parts["train"] = [name for name in parts["train"] if group_of[name] != nearest]
    return parts


def rows_of(
    specimens: Sequence[str], specimen_of_row: NDArray[np.int32], wanted: Iterable[str]
) -> NDArray[np.int64]:
    """Return the rows whose specimen is among those wanted, sorted.

    Parameters
    ----------
    specimens : (S,) names
    specimen_of_row : (N,), index into `specimens`
    wanted : names
    """
    names = set(wanted)
    chosen = np.array([specimen in names for specimen in specimens], bool)
    return np.flatnonzero(chosen[specimen_of_row])

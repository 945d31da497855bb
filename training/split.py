"""Which specimens are learnt from, and which only ever tested on."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from training.recipe import SplitConfig

__all__ = ["PARTS", "part_of", "rows_of", "split_specimens"]

PARTS = ("train", "validation", "test")


def part_of(specimen: str, config: SplitConfig) -> str:
    """Return the part, one of `PARTS`, that a specimen belongs to.

    It depends on nothing but the name and the seed, so that stacks added later move no specimen.
    """
    digest = hashlib.sha256(f"{config.seed}:{specimen}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < config.test:
        return "test"
    return "validation" if place < config.test + config.validation else "train"


def split_specimens(specimens: Iterable[str], config: SplitConfig) -> dict[str, list[str]]:
    """Return the sorted names of the specimens of each part."""
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for specimen in sorted(set(specimens)):
        parts[part_of(specimen, config)].append(specimen)
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

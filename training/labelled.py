"""Stacks with their labels, and the fingerprint of a set of them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.label import NoFocusPeak, label_stack, read_label
from calibration.stack import find_stacks, read_stack
from hw.errors import StackError

__all__ = ["LabelledStack", "collect", "fingerprint"]


@dataclass(frozen=True, slots=True)
class LabelledStack:
    """A stack's file and the lens position at which its specimen is in focus, um."""

    path: Path
    focus_um: float


def collect(folders: Sequence[Path], tell: Callable[[str], None]) -> list[LabelledStack]:
    """Find all stacks of some folders with their labels.

    A stack without a label gets that of the default measure, for this time only; one that the measure cannot
    judge is left out. Both are told.

    Parameters
    ----------
    folders : folders of OME-TIFF stacks
    tell : takes a line meant for a person

    Raises
    ------
    StackError
        A folder or file cannot be used, or nothing remains.
    """
    found: list[LabelledStack] = []
    measured, refused = 0, 0
    for path in (path for folder in folders for path in find_stacks(folder)):
        measuring = False
        try:
            label = read_label(path)
            if measuring := label is None:
                label = label_stack(read_stack(path))
        except NoFocusPeak as error:
            refused += measuring
            tell(f"left out {path}: {error}")
            continue
        measured += measuring
        found.append(LabelledStack(path, label.focus_um))
    if measured:
        tell(f"{measured} stacks had no label: labelled by the default measure ({measured + refused} tried)")
    if not found:
        raise StackError(
            f"{', '.join(map(str, folders))}: no stack with a focus label; run 'wormfocus label'"
        )
    return found


def fingerprint(stacks: Sequence[LabelledStack]) -> str:
    """Return the SHA-256, in hexadecimal, over the names, file sizes and labels of stacks, in any order."""
    lines = sorted(f"{s.path.name}\t{s.path.stat().st_size}\t{s.focus_um:.6f}\n" for s in stacks)
    return hashlib.sha256("".join(lines).encode()).hexdigest()

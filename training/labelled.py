"""Stacks with their labels, what manifests say of them, and the fingerprint of a set of them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.dataset import MANIFEST, Session, StackEntry, read_dataset
from calibration.label import NoFocusPeak, label_stack, read_label
from calibration.stack import ZStack, find_stacks, read_stack, stack_name
from hw.errors import StackError

__all__ = ["LabelledStack", "check_one_rig", "collect", "fingerprint", "identity", "specimen_of"]


@dataclass(frozen=True, slots=True)
class LabelledStack:
    """A stack's file, its label, and what the manifest of its folder says of it.

    Attributes
    ----------
    path : the file
    focus_um : lens position at which its specimen is in focus
    specimen, plate, day : empty where no manifest says
    """

    path: Path
    focus_um: float
    specimen: str = ""
    plate: str = ""
    day: str = ""


def specimen_of(labelled: LabelledStack, stack: ZStack) -> str:
    """Return a stack's specimen: by the manifest, else by the stack, else the stack is its own."""
    return labelled.specimen or stack.specimen or stack_name(labelled.path)


def collect(folders: Sequence[Path], tell: Callable[[str], None]) -> list[LabelledStack]:
    """Find all stacks of some folders with their labels.

    A stack without a label gets that of the default measure, for this time only; one that the measure cannot
    judge is left out. Both are told. Specimen, plate and day come from a folder's manifest, if it has one.

    Parameters
    ----------
    folders : folders of OME-TIFF stacks
    tell : takes a line meant for a person

    Raises
    ------
    StackError
        A folder or file cannot be used, a stack is not the one that the manifest lists, or nothing remains.
    """
    found: list[LabelledStack] = []
    measured, refused = 0, 0
    for path, listed in (found for folder in folders for found in _listed(folder)):
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
        if listed is None:
            found.append(LabelledStack(path, label.focus_um))
        else:
            session, entry = listed
            found.append(LabelledStack(path, label.focus_um, entry.specimen, session.plate, session.day))
    if measured:
        tell(f"{measured} stacks had no label: labelled by the default measure ({measured + refused} tried)")
    if not found:
        raise StackError(
            f"{', '.join(map(str, folders))}: no stack with a focus label; run 'wormfocus label'"
        )
    return found


def _listed(folder: Path) -> list[tuple[Path, tuple[Session, StackEntry] | None]]:
    """Find the stacks of a folder with their entries in its manifest."""
    dataset = read_dataset(folder)
    entries = {} if dataset is None else {entry.file: (session, entry) for session, entry in dataset.stacks()}
    found = [(path, entries.get(path.name)) for path in find_stacks(folder)]
    for path, listed in found:
        recorded = listed[1].recorded if listed else None
        if recorded is not None and path.stat().st_size != recorded.size:
            raise StackError(
                f"{path}: not as large as {MANIFEST} says; run 'wormfocus dataset {folder}' and copy it again"
            )
    return found


def fingerprint(stacks: Sequence[LabelledStack]) -> str:
    """Return the SHA-256 over the names, file sizes, labels and listed specimens of stacks, in any order."""
    lines = sorted(f"{identity(stack)}\n" for stack in stacks)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def identity(stack: LabelledStack) -> str:
    """Return the name, file size, label and listed specimen of a stack, in one line."""
    listed = f"\t{stack.specimen}" if stack.specimen else ""
    return f"{stack.path.name}\t{stack.path.stat().st_size}\t{stack.focus_um:.6f}{listed}"


def check_one_rig(rigs: dict[str, Path], rig: str, path: Path) -> None:
    """Note a stack's rig, where it says one, and refuse a second.

    Parameters
    ----------
    rigs : those found so far, with a stack of each; the stack's is added
    rig : that the stack says it is of, or ''
    path : of the stack

    Raises
    ------
    StackError
        There are two.
    """
    if rig:
        rigs.setdefault(rig, path)
    if len(rigs) > 1:
        (first, one), (second, other) = rigs.items()
        raise StackError(
            f"{one} is of rig '{first}', {other} of rig '{second}': their errors have no common step or "
            "depth of field; give stacks of one rig"
        )

"""Stacks turned into the images that a network is shown."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.stack import read_stack
from edge.bundle import InputSpec
from hw.errors import StackError
from training.decode_journal import DecodedView, Journal, StackLine
from training.labelled import LabelledStack, check_one_rig, identity, specimen_of
from training.views import full_view, rgb_planes, shows_more, window_view

__all__ = ["IMAGES", "INDEX", "decode"]

IMAGES, INDEX = "images.u8", "index.npz"

_STACKS_AT_ONCE = 32
_NAMED = 5


@dataclass(frozen=True, slots=True)
class _View:
    images: NDArray[np.uint8]
    offsets_um: NDArray[np.float64]
    margins: tuple[int, int]
    view: int


@dataclass(frozen=True, slots=True)
class _Decoded:
    specimen: str
    rig: str
    views: tuple[_View, ...]


def decode(
    stacks: Sequence[LabelledStack],
    spec: InputSpec,
    folder: Path,
    frame: tuple[int, int, int],
    *,
    margin_px: int,
    full: bool,
    progress: Callable[[int, int], None],
) -> None:
    """Decode stacks into a folder, or go on with it.

    Those that cannot be used are told together, once all others are decoded and kept.

    Parameters
    ----------
    stacks : with their labels
    spec : the network's input
    folder : for the images and their index, which is written last
    frame : shape of an image
    margin_px, full, progress : as for `training.prepared.prepare`

    Raises
    ------
    StackError
        Stacks cannot be used, or are of several rigs.
    OSError
        The folder cannot be written.
    """
    rigs: dict[str, Path] = {}
    _check_first_of_each_folder(stacks, rigs)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [f"{stack.path}\t{identity(stack)}" for stack in stacks]
    refused: dict[Path, StackError] = {}
    journal = Journal(folder / IMAGES, folder / "journal.jsonl", folder / INDEX, frame, wanted)
    try:
        start = len(journal.kept)
        for stack, line in zip(stacks, journal.kept, strict=False):
            check_one_rig(rigs, line.rig, stack.path)
        left = zip(
            stacks[start:], wanted[start:], _decoded_all(stacks[start:], spec, margin_px, full), strict=True
        )
        for done, (stack, name, found) in enumerate(left, start + 1):
            if isinstance(found, StackError):
                refused[stack.path] = found
            else:
                check_one_rig(rigs, found.rig, stack.path)
                views = tuple(
                    DecodedView(v.view, v.margins, tuple(v.offsets_um.tolist())) for v in found.views
                )
                line = StackLine(name, found.specimen, found.rig, views)
                journal.add(line, [view.images for view in found.views])
            progress(done, len(stacks))
        if refused:
            raise StackError(_refused(refused, len(stacks)))
        journal.finish()
    finally:
        journal.close()


def _check_first_of_each_folder(stacks: Sequence[LabelledStack], rigs: dict[str, Path]) -> None:
    """Find folders of several rigs before the time for the first is spent."""
    firsts: dict[Path, LabelledStack] = {}
    for stack in stacks:
        firsts.setdefault(stack.path.parent, stack)
    for first in firsts.values():
        try:
            rig = read_stack(first.path).notes.get("rig", "")
        except StackError:
            # Told later, with all others that are damaged.
            continue
        check_one_rig(rigs, rig, first.path)


def _refused(refused: dict[Path, StackError], total: int) -> str:
    first, *others = refused
    told = f"{refused[first]}; or move it away"
    if others:
        names = ", ".join(path.name for path in others[:_NAMED])
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        told += f"; nor can {names}{more} be used"
    kept = total - len(refused)
    return f"{told}; the other {kept} are decoded and kept" if kept else told


def _decoded_all(
    stacks: Sequence[LabelledStack], spec: InputSpec, margin_px: int, full: bool
) -> Iterator[_Decoded | StackError]:
    """Decode in parallel, in order, never far ahead of the writer."""

    def one(stack: LabelledStack) -> _Decoded | StackError:
        try:
            return _decoded(stack, spec, margin_px, full)
        except StackError as error:
            return error

    with ThreadPoolExecutor(max_workers=4) as pool:
        for start in range(0, len(stacks), _STACKS_AT_ONCE):
            yield from pool.map(one, stacks[start : start + _STACKS_AT_ONCE])


def _decoded(labelled: LabelledStack, spec: InputSpec, margin_px: int, full: bool) -> _Decoded:
    stack = read_stack(labelled.path)
    planes = rgb_planes(stack)
    offsets_um = labelled.focus_um - stack.positions_um
    try:
        windows, margins = window_view(planes, stack.um_per_px, spec, margin_px)
    except StackError as error:
        raise StackError(f"{labelled.path}: {error}") from error
    views = [_View(windows, offsets_um, margins, 0)]
    if full and shows_more(planes, stack.um_per_px, spec):
        views.append(_View(full_view(planes, spec), offsets_um, (0, 0), 1))
    return _Decoded(specimen_of(labelled, stack), stack.notes.get("rig", ""), tuple(views))

"""Stacks decoded once, as one array of uint8 images on disk, so that every pass over them is quick."""

import hashlib
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.stack import read_stack
from edge.bundle import InputSpec
from hw.errors import StackError
from training.labelled import LabelledStack, fingerprint, specimen_of
from training.views import WHOLE_FRAME, full_view, rgb_planes, shows_more, window_view

__all__ = ["VIEWS", "Prepared", "prepare"]

VIEWS = ("window", "full")

_VERSION = 1
_STACKS_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Prepared:
    """Images of many planes, N in all, with their labels.

    Attributes
    ----------
    images : (N, H, W, 3) uint8, on disk; the part in use starts at the top left corner
    offsets_um : (N,) float32, focus position minus the plane's position
    margins : (N, 2) uint8, rows and columns on each side that the image has beyond the network's input
    views : (N,) uint8, index into `VIEWS`
    specimen : (N,) int32, index into `specimens`
    specimens : names
    spec : the network's input
    fingerprint : of the stacks and labels
    """

    images: NDArray[np.uint8]
    offsets_um: NDArray[np.float32]
    margins: NDArray[np.uint8]
    views: NDArray[np.uint8]
    specimen: NDArray[np.int32]
    specimens: list[str]
    spec: InputSpec
    fingerprint: str

    def centred(self, row: int) -> NDArray[np.uint8]:
        """Return one image as validation and the rig see it: (height_px, width_px, 3), without its margin."""
        down, right = map(int, self.margins[row])
        return self.images[row, down : down + self.spec.height_px, right : right + self.spec.width_px]


def prepare(
    stacks: Sequence[LabelledStack],
    spec: InputSpec,
    folder: Path,
    *,
    margin_px: int = 0,
    full: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Decode stacks, or open what an earlier call decoded from the same stacks in the same way.

    Parameters
    ----------
    stacks : with their labels
    spec : the network's input
    folder : where decoded images are kept, in a subfolder per set of stacks and input
    margin_px : kept around windows for shifts, pixels of the input
    full : keep whole frames beside windows, of stacks that show more than a window
    progress : called with the number of stacks done and their total

    Raises
    ------
    StackError
        A stack cannot be used, or the folder cannot be written.
    """
    data = fingerprint(stacks)
    key = json.dumps([_VERSION, data, spec.model_dump(), margin_px, full and WHOLE_FRAME])
    home = folder / hashlib.sha256(key.encode()).hexdigest()[:16]
    index, pixels = home / "index.npz", home / "images.u8"
    frame = (spec.height_px + 2 * margin_px, spec.width_px + 2 * margin_px, 3)
    if not _is_whole(index, pixels, frame):
        try:
            home.mkdir(parents=True, exist_ok=True)
            _decode(stacks, spec, margin_px, full, index, pixels, progress)
        except OSError as error:
            raise StackError(
                f"{home}: decoded images cannot be written ({error.strerror}); make space, or give --cache"
            ) from error
    with np.load(index) as table:
        return Prepared(
            images=np.memmap(pixels, np.uint8, "r", shape=(len(table["offsets_um"]), *frame)),
            offsets_um=table["offsets_um"],
            margins=table["margins"],
            views=table["views"],
            specimen=table["specimen"],
            specimens=[str(name) for name in table["specimens"]],
            spec=spec,
            fingerprint=data,
        )


def _is_whole(index: Path, pixels: Path, frame: tuple[int, int, int]) -> bool:
    """Return whether there are as many decoded images as the index says: disks fill, copies break off."""
    try:
        with index.open("rb") as file, np.load(file) as table:
            count = len(table["offsets_um"])
        return pixels.stat().st_size == count * math.prod(frame)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return False


@dataclass(frozen=True, slots=True)
class _Decoded:
    images: NDArray[np.uint8]
    offsets_um: NDArray[np.float64]
    margins: tuple[int, int]
    view: int
    specimen: str


def _decode(
    stacks: Sequence[LabelledStack],
    spec: InputSpec,
    margin_px: int,
    full: bool,
    index: Path,
    pixels: Path,
    progress: Callable[[int, int], None],
) -> None:
    """Write images as they come and the index last: without an index there is no cache."""
    columns: dict[str, list[NDArray[Any]]] = {"offsets_um": [], "margins": [], "views": [], "specimen": []}
    names: dict[str, int] = {}
    frame = (spec.height_px + 2 * margin_px, spec.width_px + 2 * margin_px, 3)
    with pixels.open("wb") as sink:
        for done, views in enumerate(_views_of_all(stacks, spec, margin_px, full), start=1):
            for view in views:
                block = np.zeros((len(view.images), *frame), np.uint8)
                height, width = view.images.shape[1:3]
                block[:, :height, :width] = view.images
                sink.write(block.data)
                count = len(block)
                specimen = names.setdefault(view.specimen, len(names))
                columns["offsets_um"].append(view.offsets_um.astype(np.float32))
                columns["margins"].append(np.tile(np.array(view.margins, np.uint8), (count, 1)))
                columns["views"].append(np.full(count, view.view, np.uint8))
                columns["specimen"].append(np.full(count, specimen, np.int32))
            progress(done, len(stacks))
    partial = index.with_suffix(".partial.npz")
    table = {name: np.concatenate(parts) for name, parts in columns.items()}
    table["specimens"] = np.array(list(names))
    np.savez(partial, allow_pickle=False, **table)
    partial.replace(index)


def _views_of_all(
    stacks: Sequence[LabelledStack], spec: InputSpec, margin_px: int, full: bool
) -> Iterator[list[_Decoded]]:
    """Decode in parallel, in order, never far ahead of the writer."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        for start in range(0, len(stacks), _STACKS_AT_ONCE):
            some = stacks[start : start + _STACKS_AT_ONCE]
            yield from pool.map(lambda stack: _views_of(stack, spec, margin_px, full), some)


def _views_of(labelled: LabelledStack, spec: InputSpec, margin_px: int, full: bool) -> list[_Decoded]:
    stack = read_stack(labelled.path)
    planes = rgb_planes(stack)
    offsets_um = labelled.focus_um - stack.positions_um
    specimen = specimen_of(labelled, stack)
    try:
        windows, margins = window_view(planes, stack.um_per_px, spec, margin_px)
    except StackError as error:
        raise StackError(f"{labelled.path}: {error}") from error
    views = [_Decoded(windows, offsets_um, margins, 0, specimen)]
    if full and shows_more(planes, stack.um_per_px, spec):
        views.append(_Decoded(full_view(planes, spec), offsets_um, (0, 0), 1, specimen))
    return views

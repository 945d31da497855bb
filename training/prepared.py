"""Stacks decoded once, as one array of uint8 images on disk, so that every pass over them is quick."""

import hashlib
import json
import math
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle import InputSpec
from hw.errors import StackError
from training.decoding import IMAGES, INDEX, decode
from training.held import held
from training.labelled import LabelledStack, fingerprint
from training.views import WHOLE_FRAME

__all__ = ["VIEWS", "Prepared", "prepare"]

VIEWS = ("window", "full")

_VERSION = 1


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

    def __getstate__(self) -> dict[str, Any]:
        """Go to another process as the place of the images, which may be larger than its memory."""
        assert isinstance(self.images, np.memmap)
        return self.__dict__ | {"images": (self.images.filename, self.images.shape)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the images there."""
        path, shape = state["images"]
        self.__dict__.update(state | {"images": np.memmap(path, np.uint8, "r", shape=shape)})

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
    waiting: Callable[[], None] = lambda: None,
) -> Prepared:
    """Decode stacks, or open what an earlier call decoded from the same stacks in the same way.

    A decoding that broke off goes on where it stopped.

    Parameters
    ----------
    stacks : with their labels
    spec : the network's input
    folder : where decoded images are kept, in a subfolder per set of stacks and input
    margin_px : kept around windows for shifts, pixels of the input
    full : keep whole frames beside windows, of stacks that show more than a window
    progress : called with the number of stacks done and their total
    waiting : called if another program decodes into the folder, which is waited for

    Raises
    ------
    StackError
        Stacks cannot be used or are of several rigs, or the folder cannot be written.
    """
    data = fingerprint(stacks)
    key = json.dumps([_VERSION, data, spec.model_dump(), margin_px, full and WHOLE_FRAME])
    home = folder / hashlib.sha256(key.encode()).hexdigest()[:16]
    index, pixels = home / INDEX, home / IMAGES
    frame = (spec.height_px + 2 * margin_px, spec.width_px + 2 * margin_px, 3)
    if not _is_whole(index, pixels, frame):
        settings = json.dumps([_VERSION, spec.model_dump(), margin_px, full and WHOLE_FRAME])
        unfinished = folder / f"{hashlib.sha256(settings.encode()).hexdigest()[:16]}.unfinished"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with held(folder, waiting):
                # Another program may have done it meanwhile.
                if not _is_whole(index, pixels, frame):
                    decode(stacks, spec, unfinished, frame, margin_px=margin_px, full=full, progress=progress)
                    shutil.rmtree(home, ignore_errors=True)
                    unfinished.replace(home)
        except OSError as error:
            raise StackError(
                f"{home}: decoded images cannot be written ({error.strerror}); make space, or give --cache; "
                "what is decoded is kept"
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

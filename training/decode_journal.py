"""A decoding that can be broken off: images in one file, and beside it a line for every stack that is in it.

What stands in the journal is on the disk: lines are written after the images of their stacks have reached it.
"""

import io
import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from hw.whole_file import write_whole

__all__ = ["DecodedView", "Journal", "StackLine"]

_STACKS_BETWEEN_SYNCS = 32


@dataclass(frozen=True, slots=True)
class DecodedView:
    """What is known of the images of one view of a stack, n in all.

    Attributes
    ----------
    view : index into `training.prepared.VIEWS`
    margins : rows and columns on each side that the images have beyond the network's input
    offsets_um : (n,)
    """

    view: int
    margins: tuple[int, int]
    offsets_um: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StackLine:
    """What is known of a decoded stack.

    Attributes
    ----------
    stack : its identity
    specimen, rig : their names; the rig's is empty where the stack does not say it
    views : in the order of their images
    """

    stack: str
    specimen: str
    rig: str
    views: tuple[DecodedView, ...]

    @property
    def count(self) -> int:
        """Number of its images."""
        return sum(len(view.offsets_um) for view in self.views)


class Journal:
    """Images of stacks, appended.

    Parameters
    ----------
    images, lines, index : the files: of the images, of the journal, and of the finished whole
    frame : shape of an image
    wanted : identities of the stacks that are to be decoded, in their order

    What is there already is kept as far as it is what is wanted, from the first stack on.

    Raises
    ------
    OSError
        The files cannot be written.
    """

    def __init__(
        self, images: Path, lines: Path, index: Path, frame: tuple[int, int, int], wanted: Sequence[str]
    ) -> None:
        self._index = index
        self._bytes = math.prod(frame)
        self._frame = frame
        self.kept = _kept(lines, wanted, images.stat().st_size // self._bytes if images.exists() else 0)
        write_whole(lines, "".join(_text(line) for line in self.kept).encode())
        self._images: IO[bytes] = images.open("ab")
        self._images.truncate(sum(line.count for line in self.kept) * self._bytes)
        self._lines: IO[bytes] = lines.open("ab")
        self._waiting: list[StackLine] = []

    def add(self, line: StackLine, images: Sequence[NDArray[np.uint8]]) -> None:
        """Append a stack.

        Parameters
        ----------
        line : what is known of it
        images : of each view, (n, h, w, 3), not larger than the frame, whose rest stays black
        """
        for view in images:
            block = np.zeros((len(view), *self._frame), np.uint8)
            block[:, : view.shape[1], : view.shape[2]] = view
            self._images.write(block.data)
        self._waiting.append(line)
        if len(self._waiting) >= _STACKS_BETWEEN_SYNCS:
            self.sync()

    def sync(self) -> None:
        """Write down what was appended, once it is on the disk."""
        self._images.flush()
        os.fsync(self._images.fileno())
        self._lines.write("".join(_text(line) for line in self._waiting).encode())
        self._lines.flush()
        self.kept.extend(self._waiting)
        self._waiting.clear()

    def finish(self) -> None:
        """Write the index of all images: without it, they are not whole."""
        self.sync()
        views = [(line, view) for line in self.kept for view in line.views]
        counts = [len(view.offsets_um) for _, view in views]
        names = list(dict.fromkeys(line.specimen for line in self.kept))
        place = {name: number for number, name in enumerate(names)}
        table = io.BytesIO()
        np.savez(
            table,
            allow_pickle=False,
            offsets_um=np.concatenate([np.array(view.offsets_um, np.float32) for _, view in views]),
            margins=np.repeat(np.array([view.margins for _, view in views], np.uint8), counts, axis=0),
            views=np.repeat(np.array([view.view for _, view in views], np.uint8), counts),
            specimen=np.repeat(np.array([place[line.specimen] for line, _ in views], np.int32), counts),
            specimens=np.array(names),
        )
        write_whole(self._index, table.getvalue())

    def close(self) -> None:
        """Write down what was appended whole, if the disk takes that much, and close the files."""
        # The error of a full disk was raised when it did not take an image.
        with suppress(OSError):
            self._images.flush()
        fits = os.fstat(self._images.fileno()).st_size // self._bytes - sum(line.count for line in self.kept)
        while sum(line.count for line in self._waiting) > fits:
            self._waiting.pop()
        with suppress(OSError):
            self.sync()
        for file in (self._images, self._lines):
            with suppress(OSError):
                file.close()


def _text(line: StackLine) -> str:
    return json.dumps(asdict(line)) + "\n"


def _kept(lines: Path, wanted: Sequence[str], images: int) -> list[StackLine]:
    """Return the lines that are whole, wanted, and whose images are there, from the first on."""
    kept: list[StackLine] = []
    try:
        texts = lines.read_bytes().splitlines()
    except FileNotFoundError:
        return kept
    for text, stack in zip(texts, wanted, strict=False):
        try:
            found = json.loads(text)
            views = tuple(
                DecodedView(view["view"], tuple(view["margins"]), tuple(view["offsets_um"]))
                for view in found["views"]
            )
            line = StackLine(found["stack"], found["specimen"], found["rig"], views)
        except (ValueError, KeyError, TypeError):
            break
        images -= line.count
        if line.stack != stack or images < 0:
            break
        kept.append(line)
    return kept

"""Batches of images for training and for validation, cut from the decoded stacks.

Augmentation is geometric only: a flip, a rotation by quarter turns, a shift. All three move pixels without
mixing them, so that sharpness, and with it the label, stays what it was. A rotation by any angle, which mixes
them, is done where a recipe asks for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.prepared import Prepared
from training.rank import ALONE, Rank
from training.recipe import ViewsConfig

__all__ = ["Batch", "FixedBatches", "ShuffledBatches", "rotated", "turned"]

Batch = tuple[Tensor, Tensor]


def turned(image: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Return an image in one of eight orientations; OpenCV moves pixels many times as fast as numpy does.

    Parameters
    ----------
    image : (H, W, 3)
    turn : bit 0 flips rows, bit 1 flips columns, bit 2 swaps rows and columns
    """
    rows, columns = bool(turn & 1), bool(turn & 2)
    if turn & 4:
        image, rows, columns = np.asarray(cv2.transpose(image), np.uint8), columns, rows
    if not (rows or columns):
        return image
    return np.asarray(cv2.flip(image, -1 if rows and columns else 0 if rows else 1), np.uint8)


def rotated(image: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """Return an image turned about its middle, anticlockwise; what comes in from outside is mirrored.

    Parameters
    ----------
    image : (H, W, 3)
    """
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    whole = np.ascontiguousarray(image)
    return np.asarray(
        cv2.warpAffine(whole, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101), np.uint8
    )


@dataclass(frozen=True, eq=False)
class FixedBatches:
    """The given rows in their order, each once, as the rig would see them.

    Iterating gives batches of (n, 3, H, W) uint8 images and (n,) float32 offsets in um. Several ranks have
    the batches of one among them, in their order; one for whom none is left has a batch of nothing.
    """

    data: Prepared
    rows: NDArray[np.int64]
    batch: int
    rank: Rank = ALONE

    def __len__(self) -> int:
        least = 0 if self.rank == ALONE else 1
        return max(least, -(-len(self._shown) // self.batch))

    def __iter__(self) -> Iterator[Batch]:
        spec, shown = self.data.spec, self._shown
        for start in range(0, len(self) * self.batch, self.batch):
            rows = shown[start : start + self.batch]
            images = np.empty((len(rows), spec.height_px, spec.width_px, 3), np.uint8)
            for image, row in zip(images, rows, strict=True):
                image[...] = self.data.centred(int(row))
            yield _tensors(images, self.data.offsets_um[rows])

    @property
    def _shown(self) -> NDArray[np.int64]:
        return self.rows[self.rank.block(len(self.rows), self.batch)]


@dataclass(frozen=True, eq=False)
class ShuffledBatches:
    """One epoch of augmented batches, the same for the same seed and epoch.

    Rows come in passes: each shows every window once, in random order, and as many whole frames among them as
    the mix of views asks for. An epoch is the next `samples` rows, wherever a pass ends. Of every batch a
    rank has its share, the very images that one alone would have there.
    """

    data: Prepared
    rows: NDArray[np.int64]
    batch: int
    samples: int
    views: ViewsConfig
    seed: int
    epoch: int
    orientations: int = 8
    rotation_deg: float = 0.0
    rank: Rank = ALONE

    def __len__(self) -> int:
        return self.samples // self.batch

    def __iter__(self) -> Iterator[Batch]:
        random = np.random.default_rng([self.seed, 1, self.epoch])
        spec = self.data.spec
        # Rotations by a quarter turn need a square input; elsewhere half the orientations remain.
        turns = self.orientations if spec.height_px == spec.width_px else min(4, self.orientations)
        order = self._order()
        share = self.rank.block(self.batch)
        for start in range(0, len(self) * self.batch, self.batch):
            # Drawn for the whole batch, so that an image is the same whichever rank has it.
            shifts = random.random((self.batch, 2))[share]
            chosen = random.integers(turns, size=self.batch)[share]
            degrees = random.uniform(-1, 1, self.batch if self.rotation_deg else 0)[share] * self.rotation_deg
            rows = order[start : start + self.batch][share]
            images = np.empty((len(rows), spec.height_px, spec.width_px, 3), np.uint8)
            for place, row in enumerate(rows):
                top, left = (shifts[place] * (2 * self.data.margins[row].astype(int) + 1)).astype(int)
                window = self.data.images[row, top : top + spec.height_px, left : left + spec.width_px]
                if self.rotation_deg:
                    window = rotated(window, float(degrees[place]))
                images[place] = turned(window, int(chosen[place]))
            yield _tensors(images, self.data.offsets_um[rows])

    def _order(self) -> NDArray[np.int64]:
        """Return the epoch's rows, (samples,)."""
        windows = self.rows[self.data.views[self.rows] == 0]
        frames = self.rows[self.data.views[self.rows] == 1]
        if not self.views.window:
            windows, shown = windows[:0], len(frames)
        else:
            shown = round(len(windows) * self.views.full / self.views.window) if len(frames) else 0
        length = len(windows) + shown
        first = self.epoch * self.samples
        parts = []
        for number in range(first // length, (first + self.samples - 1) // length + 1):
            random = np.random.default_rng([self.seed, 0, number])
            chosen = random.choice(frames, shown, replace=shown > len(frames)) if shown else frames[:0]
            parts.append(random.permutation(np.concatenate([windows, chosen])))
        start = first % length
        return np.concatenate(parts)[start : start + self.samples]


def _tensors(images: NDArray[np.uint8], offsets_um: NDArray[np.float32]) -> Batch:
    # Seen as NCHW, the bytes are already in torch's channels_last order.
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(np.asarray(offsets_um))

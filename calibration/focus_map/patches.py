"""Patches of a field: where they are, whether they show anything, and what their offsets say together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calibration.measure import luminance

__all__ = ["Judge", "PatchOffset", "Verdict", "block_contrast", "patch_boxes", "weigh"]

BLOCK_PX = 8
"""Contrast is that of means over so many pixels: noise hardly shows in them, blurred tissue does."""

MOST_PER_SIDE = 3
LEAST_PATCHES = 2
"""One patch cannot tell whether the field is even."""


@dataclass(frozen=True)
class PatchOffset:
    """What a network says about one patch.

    Attributes
    ----------
    offset_um : the move that brings the patch into focus
    sigma_um : standard deviation of that; None when the network does not tell
    in_range : the offset lies within what the network was trained on
    """

    offset_um: float
    sigma_um: float | None
    in_range: bool


class Judge(Protocol):
    """A network that judges patches.

    Attributes
    ----------
    patch_px : (width, height) of a patch in camera pixels
    """

    patch_px: tuple[int, int]

    def judge(self, patch: NDArray[np.uint8]) -> PatchOffset:
        """Judge one patch (H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class Verdict:
    """What the patches of one shot say together.

    Attributes
    ----------
    offset_um, sigma_um : mean weighted by the patches' certainty, and its standard deviation
    low_um, high_um : least and largest offset of a patch
    patches : how many were trusted
    in_range : most of them lie within the network's range
    """

    offset_um: float
    sigma_um: float
    low_um: float
    high_um: float
    patches: int
    in_range: bool

    @property
    def spread_um(self) -> float:
        """From the least to the largest offset of a patch, um."""
        return self.high_um - self.low_um


def patch_boxes(
    frame: tuple[int, int], patch: tuple[int, int], most_per_side: int = MOST_PER_SIDE
) -> list[tuple[int, int, int, int]]:
    """Return boxes (x, y, width, height) of patches spread evenly over a frame, none overlapping.

    Parameters
    ----------
    frame, patch : (width, height), px; the frame holds at least one patch
    most_per_side : at most so many columns and rows; paper 2 takes nine patches at 20x
    """
    starts = []
    for size, side in zip(frame, patch, strict=True):
        count = max(1, min(most_per_side, size // side))
        gap = (size - count * side) / count
        starts.append([round(gap / 2 + number * (side + gap)) for number in range(count)])
    return [(x, y, *patch) for y in starts[1] for x in starts[0]]


def block_contrast(image: NDArray[np.uint8]) -> float:
    """Return deviation over mean of the luminance in blocks of `BLOCK_PX` pixels; 0 when black."""
    height, width = (size // BLOCK_PX * BLOCK_PX for size in image.shape[:2])
    grey = luminance(image[:height, :width])
    blocks = grey.reshape(height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX).mean(axis=(1, 3))
    mean = float(blocks.mean())
    return float(blocks.std()) / mean if mean > 0 else 0.0


def weigh(offsets: Sequence[PatchOffset], *, most_sigma_um: float) -> Verdict | None:
    """Put the patches of one shot together; None when fewer than `LEAST_PATCHES` can be trusted.

    Parameters
    ----------
    offsets : one for each patch that shows something
    most_sigma_um : patches that are less certain than this are left out, in range or not
    """
    trusted = [
        each
        for each in offsets
        if math.isfinite(each.offset_um) and (each.sigma_um is None or each.sigma_um <= most_sigma_um)
    ]
    if len(trusted) < LEAST_PATCHES:
        return None
    values = np.array([each.offset_um for each in trusted])
    sigmas = np.array([most_sigma_um if each.sigma_um is None else each.sigma_um for each in trusted])
    weights = 1 / np.maximum(sigmas, 1e-9) ** 2
    return Verdict(
        offset_um=float(np.average(values, weights=weights)),
        sigma_um=float(1 / np.sqrt(weights.sum())),
        low_um=float(values.min()),
        high_um=float(values.max()),
        patches=len(trusted),
        in_range=sum(each.in_range for each in trusted) > len(trusted) / 2,
    )

"""Control beads in a z-stack: found, followed through the planes, cut out (paper 5).

A bead in brightfield is a dark disc or ring, round and of known size. Found are dark clusters of pixels whose
filled outline has the area of a bead, is nearly a circle and stands out from its surroundings; touching
beads, debris and cells fail one of these.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.measure import luminance
from calibration.radial_profile import find_centre
from calibration.stack import ZStack
from hw.errors import StackError

__all__ = ["BeadSearch", "BeadTrack", "crop", "crop_corner", "find_beads", "track_beads"]

CENTRE_REACH = 0.65
"""Pixels this many diameters from a bead's middle tell its centre: the bead and its rim."""


@dataclass(frozen=True)
class BeadSearch:
    """What counts as a bead.

    Attributes
    ----------
    diameter_px : of a bead
    crop_px : side of the square that is cut out about each; a bead closer to the border is left out
    least_area, most_area : area of the filled outline as a share of a disc of that diameter
    least_circularity : of 4 pi area / perimeter^2, 1 for a circle; touching beads have 0.5 to 0.7
    least_contrast : standard deviation over mean within the outline and half as far again
    """

    diameter_px: float
    crop_px: int = 64
    least_area: float = 0.5
    most_area: float = 1.8
    least_circularity: float = 0.8
    least_contrast: float = 0.1

    def __post_init__(self) -> None:
        if not 6 <= self.diameter_px <= self.crop_px / 3:
            raise StackError(
                f"beads of {self.diameter_px:.1f} px do not suit crops of {self.crop_px} px: they need 6 px "
                "across and twice their diameter around them; set --bead-um or --crop-px"
            )


@dataclass(frozen=True, eq=False)
class BeadTrack:
    """One bead through a stack.

    Attributes
    ----------
    centres_px : (Z, 2) x and y in every plane; in planes where it was not made out, that of the nearest plane
        where it was
    seen : (Z,) bool, where it was made out
    """

    centres_px: NDArray[np.float64]
    seen: NDArray[np.bool_]


def find_beads(image: NDArray[Any], search: BeadSearch) -> NDArray[np.float64]:
    """Find beads in one plane.

    Parameters
    ----------
    image : (H, W) grey or (H, W, 3) RGB
    search : what counts as a bead

    Returns
    -------
    (N, 2) float64
        x and y of the middle of each outline, px, good to about a pixel.
    """
    grey = luminance(image).astype(np.float32)
    side = search.diameter_px
    # Light that differs from place to place is taken out by what lies around several beads.
    small = cv2.resize(grey, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    around = cv2.blur(small, (max(3, round(side)) | 1,) * 2, borderType=cv2.BORDER_REFLECT)
    level = cv2.resize(around, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    flat = grey / np.maximum(level, 1e-6)
    middle = float(np.median(flat))
    darkest = float(np.percentile(flat, 0.5))
    if middle - darkest < search.least_contrast / 2 * middle:
        return np.empty((0, 2))
    dark = (flat < (middle + darkest) / 2).astype(np.uint8)
    outlines, _ = cv2.findContours(dark, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = [_middle(np.asarray(outline, np.int32), grey, search) for outline in outlines]
    return np.array([place for place in found if place is not None], np.float64).reshape(-1, 2)


def _middle(
    outline: NDArray[np.int32], grey: NDArray[np.float32], search: BeadSearch
) -> tuple[float, float] | None:
    """Return the middle of an outline that is a bead's, else None."""
    # The outline runs through the middles of its pixels: half a pixel inside the cluster's true border.
    length = cv2.arcLength(outline, True)
    area = cv2.contourArea(outline) + length / 2 + 1
    disc = math.pi * search.diameter_px**2 / 4
    if not search.least_area <= area / disc <= search.most_area:
        return None
    if 4 * math.pi * area / (length + math.pi) ** 2 < search.least_circularity:
        return None
    (x, y), radius = cv2.minEnclosingCircle(outline)
    if area < search.least_circularity * math.pi * radius**2:
        return None
    half = search.crop_px / 2
    height, width = grey.shape
    if not (half <= x <= width - half and half <= y <= height - half):
        return None
    reach = round(search.diameter_px * 0.75)
    near = grey[round(y) - reach : round(y) + reach + 1, round(x) - reach : round(x) + reach + 1]
    if float(near.std()) < search.least_contrast * float(near.mean()):
        return None
    return float(x), float(y)


def track_beads(
    stack: ZStack, search: BeadSearch, progress: Callable[[int, int], None] | None = None
) -> list[BeadTrack]:
    """Find the beads of a stack and their centres, to a fraction of a pixel, in its planes.

    A bead is what is made out at one place in at least three planes, or a tenth of them if that is more.

    Parameters
    ----------
    stack : the planes
    search : what counts as a bead
    progress : called with planes done and their number

    Raises
    ------
    StackError
        No beads.
    """
    places: list[tuple[int, float, float]] = []
    for number, image in enumerate(stack.images):
        places += [(number, x, y) for x, y in find_beads(image, search)]
        if progress is not None:
            progress(number + 1, 2 * len(stack.images))
    groups = _same_place(places, search.diameter_px / 3)
    planes = len(stack.images)
    least = max(min(3, planes), math.ceil(planes / 10))
    groups = [group for group in groups if len({number for number, _, _ in group}) >= least]
    if not groups:
        raise StackError(
            f"no beads of {search.diameter_px:.1f} px in {planes} planes; check --bead-um and the pixel "
            "size, or record where beads are"
        )
    centres = np.full((len(groups), planes, 2), np.nan)
    wanted: list[list[tuple[int, float, float]]] = [[] for _ in range(planes)]
    for index, group in enumerate(groups):
        for number, x, y in group:
            wanted[number].append((index, x, y))
    for number, image in enumerate(stack.images):
        grey = luminance(image)
        for index, x, y in wanted[number]:
            centre = find_centre(grey, (x, y), CENTRE_REACH * search.diameter_px, search.diameter_px / 4)
            if centre is not None:
                centres[index, number] = centre
        if progress is not None:
            progress(planes + number + 1, 2 * planes)
    return [track for each in centres if (track := _filled(each, stack.positions_um, least)) is not None]


def _same_place(
    places: Sequence[tuple[int, float, float]], within_px: float
) -> list[list[tuple[int, float, float]]]:
    """Group sightings of planes by place; a bead that drifts sideways is followed from plane to plane."""
    groups: list[list[tuple[int, float, float]]] = []
    for sighting in places:
        for group in groups:
            _, x, y = group[-1]
            if math.hypot(sighting[1] - x, sighting[2] - y) <= within_px:
                group.append(sighting)
                break
        else:
            groups.append([sighting])
    return groups


def _filled(centres: NDArray[np.float64], positions_um: NDArray[np.float64], least: int) -> BeadTrack | None:
    """Complete a bead's centres with those of the nearest planes; None for one made out in too few."""
    seen = np.isfinite(centres[:, 0])
    if seen.sum() < least:
        return None
    known = np.flatnonzero(seen)
    nearest = known[np.abs(positions_um[:, None] - positions_um[known]).argmin(axis=1)]
    return BeadTrack(centres[nearest], seen)


def crop(image: NDArray[Any], centre_px: tuple[float, float], side_px: int) -> NDArray[Any]:
    """Cut out the square about a centre, moved inwards where it would reach past the border."""
    left, top = crop_corner(image, centre_px, side_px)
    return image[top : top + side_px, left : left + side_px]


def crop_corner(image: NDArray[Any], centre_px: tuple[float, float], side_px: int) -> tuple[int, int]:
    """First column and row of the square that `crop` cuts out."""
    height, width = image.shape[:2]
    left = min(max(round(centre_px[0]) - side_px // 2, 0), width - side_px)
    top = min(max(round(centre_px[1]) - side_px // 2, 0), height - side_px)
    return left, top

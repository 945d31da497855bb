"""Z-stacks as folders of images, as other programs leave them: the position stands in each plane's name."""

import math
import re
from itertools import pairwise
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from hw.errors import StackError
from hw.zstack import Pixels, ZStack, read_stack

__all__ = ["read_plane_folder", "read_recording"]

_IMAGE_SUFFIXES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"}
# A signed number directly before 'um': z+0450um, defocus-0.60um.
_POSITION = re.compile(r"(?<![\d.])([+-]?\d+(?:\.\d+)?)(?:um|µm)(?![a-zµ])", re.IGNORECASE)
_ORDER = re.compile(r"^(.*?)(\d+)$")


def read_recording(path: Path, spacing_um: float | None = None) -> ZStack:
    """Read a recorded stack, be it a TIFF file or a folder of planes.

    Parameters
    ----------
    path : file or folder
    spacing_um : distance between planes, for a folder whose names give only an order

    Raises
    ------
    StackError
        As `hw.zstack.read_stack` and `read_plane_folder`.
    """
    return read_plane_folder(path, spacing_um) if path.is_dir() else read_stack(path)


def read_plane_folder(folder: Path, spacing_um: float | None = None) -> ZStack:
    """Read a folder of 8 or 16 bit planes, grey or colour, in ascending order of position.

    Names with a number before `um` (`z+0450um.png`, `idx0063_defocus-0.60um.png`) give positions, sign
    included. Where no name does, names that end in a number (`lapse_3.png`) give the order, and the position
    is that number times `spacing_um`. Images with neither, such as masks, are left out.

    Parameters
    ----------
    folder : where the planes lie
    spacing_um : distance between planes, um; only where the names give no positions

    Raises
    ------
    StackError
        No planes; order known but not the spacing; two planes at one position, two numberings, or planes
        that differ in size or type.
    """
    try:
        images = sorted(p for p in folder.iterdir() if p.suffix.lower() in _IMAGE_SUFFIXES)
    except OSError as error:
        raise StackError(f"{folder}: cannot be read ({error.strerror}); check the path") from error
    positions = _positions_by_name(folder, images)
    source = "the planes' names"
    if positions and spacing_um is not None:
        raise StackError(f"{folder}: its names give positions in um; leave out --spacing-um")
    if not positions:
        numbers = _numbers_by_name(folder, images)
        if spacing_um is None:
            raise StackError(
                f"{folder}: names give the planes' order, their positions are unknown; give --spacing-um"
            )
        if not 0 < spacing_um < math.inf:
            raise StackError(f"planes {spacing_um:g} um apart make no stack; give --spacing-um above 0")
        positions = {path: number * spacing_um for path, number in numbers.items()}
        source = f"order of names, {spacing_um:g} um apart as given"
    ordered = sorted(positions, key=lambda p: positions[p])
    for first, second in pairwise(ordered):
        if positions[first] == positions[second]:
            raise StackError(
                f"{folder}: {first.name} and {second.name} have the same position; keep one stack to a folder"
            )
    planes = [_read_plane(p) for p in ordered]
    for path, plane in zip(ordered, planes, strict=True):
        if plane.shape != planes[0].shape or plane.dtype != planes[0].dtype:
            raise StackError(
                f"{path}: differs from {ordered[0].name} in size or type; keep one stack to a folder"
            )
    return ZStack(
        cast(Pixels, np.stack(planes)),
        np.array([positions[p] for p in ordered], dtype=np.float64),
        specimen=folder.resolve().name,
        notes={"positions_from": source},
    )


def _positions_by_name(folder: Path, images: list[Path]) -> dict[Path, float]:
    positions: dict[Path, float] = {}
    for path in images:
        found = _POSITION.findall(path.stem)
        if len(found) > 1:
            raise StackError(f"{path}: more than one position in the name; keep one number before 'um'")
        if found:
            positions[path] = float(found[0])
    # Names of one stack differ in their numbers only.
    patterns = {re.sub(r"[+-]?\d+(?:\.\d+)?", "#", p.stem): p for p in positions}
    if len(patterns) > 1:
        first, second = sorted(patterns.values())[:2]
        raise StackError(
            f"{folder}: {first.name} and {second.name} are not of one stack; keep one to a folder"
        )
    return positions


def _numbers_by_name(folder: Path, images: list[Path]) -> dict[Path, int]:
    matches = {p: m for p in images if (m := _ORDER.match(p.stem))}
    prefixes = {m[1]: p for p, m in matches.items()}
    if not matches:
        raise StackError(
            f"{folder}: no stack in it (*.ome.tif), and no image named by its position, as in z+0450um.png; "
            "check the folder"
        )
    if len(prefixes) > 1:
        first, second = sorted(prefixes.values())[:2]
        raise StackError(
            f"{folder}: {first.name} and {second.name} are not of one stack; keep one to a folder"
        )
    return {p: int(m[2]) for p, m in matches.items()}


def _read_plane(path: Path) -> Pixels:
    """Return a plane as (H, W) or (H, W, 3) RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise StackError(f"{path}: damaged or no image; copy it again or take it out of the folder")
    if image.dtype not in (np.uint8, np.uint16) or (image.ndim == 3 and image.shape[2] != 3):
        raise StackError(f"{path}: neither grey nor RGB of 8 or 16 bit; convert it")
    return cast(Pixels, image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1]))

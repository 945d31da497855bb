"""Z-stacks as files: one OME-TIFF per stack, with the lens position of every plane.

It stands in `hw` because a replayed rig reads stacks too; `calibration.stack` offers the same names.
"""

import json
import logging
import math
import os
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from hw.errors import StackError
from hw.whole_file import put_in_place

__all__ = ["STACK_SUFFIX", "Pixels", "ZStack", "find_stacks", "read_stack", "stack_name", "write_stack"]

STACK_SUFFIX = ".ome.tif"

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

_MICRONS = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "mm": 1e3, "m": 1e6}

# What is wrong with a file is told by a StackError; tifffile's own log would say it a second time.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True, eq=False)
class ZStack:
    """Images of one specimen at known lens positions.

    Attributes
    ----------
    images : (Z, H, W) or (Z, H, W, 3) RGB, uint8 or uint16
    positions_um : (Z,) float64, lens position of each plane, in the order of the planes
    um_per_px : specimen distance per pixel, um; nan where the recording does not say
    specimen : what was imaged; stacks of one specimen never stand on both sides of a split
    notes : anything else worth keeping, among it `positions_from` where positions were not recorded as such

    Raises
    ------
    StackError
        Shapes or types that do not fit this description.
    """

    images: Pixels
    positions_um: NDArray[np.float64]
    um_per_px: float = math.nan
    specimen: str = ""
    notes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.images.shape
        if self.images.dtype not in (np.uint8, np.uint16):
            raise StackError(
                f"planes of type {self.images.dtype}: a stack holds 8 or 16 bit images; convert them"
            )
        if not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)) or 0 in shape:
            raise StackError(
                f"planes of shape {shape}: a stack is (Z, H, W) or (Z, H, W, 3); rearrange the axes"
            )
        if self.positions_um.shape != shape[:1] or not np.isfinite(self.positions_um).all():
            raise StackError(f"{shape[0]} planes need as many finite positions; record the stack again")

    @property
    def spacing_um(self) -> float:
        """Smallest distance between two planes in um; nan for fewer than two positions."""
        gaps = np.diff(np.unique(self.positions_um))
        return float(gaps.min()) if gaps.size else math.nan


def stack_name(path: Path) -> str:
    """Return the name of a stack: its file's name without the suffix, or its folder's name."""
    lower = path.name.lower()
    for suffix in (".ome.tif", ".ome.tiff", ".tif", ".tiff"):
        if lower.endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def find_stacks(folder: Path) -> list[Path]:
    """Return the OME-TIFF stacks directly inside a folder, sorted by name.

    Raises
    ------
    StackError
        The folder does not exist or holds no stack.
    """
    if not folder.is_dir():
        raise StackError(f"{folder}: no such folder; give a folder of *{STACK_SUFFIX} stacks")
    suffixes = (STACK_SUFFIX, ".ome.tiff")
    found = sorted(p for p in folder.iterdir() if p.name.lower().endswith(suffixes) and p.name[0] != ".")
    if not found:
        raise StackError(f"{folder}: no *{STACK_SUFFIX} stack in it; record some with 'wormfocus stack'")
    return found


def write_stack(path: Path, stack: ZStack, *, compress: bool = False) -> None:
    """Write a stack as OME-TIFF, whole or not at all, and not only to the disk's memory.

    Axes are ZYX or ZYXS; positions go to `Plane/@PositionZ`, the pixel size to `PhysicalSizeX/Y`, the
    specimen to the image's name and the notes, as JSON, to its description (OME data model 2016-06).

    Parameters
    ----------
    path : NAME.ome.tif; an existing file is replaced
    stack : what to write
    compress : zlib; smaller, and several times slower to read

    Raises
    ------
    StackError
        The name does not end in `.ome.tif`, or the file cannot be written.
    """
    if not path.name.endswith(STACK_SUFFIX):
        raise StackError(f"{path}: a stack's name ends in {STACK_SUFFIX}; rename it")
    colour = stack.images.ndim == 4
    metadata: dict[str, Any] = {
        "axes": "ZYXS" if colour else "ZYX",
        "Name": stack.specimen,
        "Plane": {
            "PositionZ": [float(z) for z in stack.positions_um],
            "PositionZUnit": ["µm"] * len(stack.positions_um),
        },
    }
    if math.isfinite(stack.um_per_px):
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": stack.um_per_px, f"PhysicalSize{axis}Unit": "µm"}
    if stack.notes:
        metadata["Description"] = json.dumps(stack.notes, ensure_ascii=False)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with tifffile.TiffWriter(partial, ome=True) as writer:
            writer.write(
                stack.images,
                photometric="rgb" if colour else "minisblack",
                compression="zlib" if compress else None,
                metadata=metadata,
            )
        put_in_place(partial, path)
    except OSError as error:
        # What numpy says of a disk that is full comes without the system's reason.
        reason = error.strerror or f"disk full, {error}"
        raise StackError(f"{path}: cannot be written ({reason}); check folder and space") from error
    finally:
        partial.unlink(missing_ok=True)


def read_stack(path: Path) -> ZStack:
    """Read a z-stack with known positions from an OME-TIFF or an ImageJ TIFF.

    Positions are those of the planes; where a file gives only the distance between planes (OME
    `PhysicalSizeZ`, ImageJ `spacing`), they count up from 0 and `notes['positions_from']` says so.

    Raises
    ------
    StackError
        The file is missing, damaged or truncated, holds more than one channel or time, or says nothing about
        positions.
    """
    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            ome, imagej = tiff.ome_metadata, tiff.imagej_metadata
            series = tiff.series[0]
            axes, images = series.axes, series.asarray()
            resolution = tiff.pages.first.get_resolution() if imagej else (0.0, 0.0)
    except OSError as error:
        raise StackError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    # A damaged file fails in tifffile or a decoder in many ways; all of them mean the same to the caller.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StackError(
            f"{path}: damaged, truncated or no TIFF ({reason}); copy or record it again"
        ) from error
    if not ome and not (imagej and imagej.get("spacing")):
        raise StackError(
            f"{path}: no OME metadata (truncated, or never had any), so the positions of its planes are "
            "unknown; copy it again, or write it as OME-TIFF"
        )
    if axes in {"YX", "YXS"}:
        axes, images = f"Z{axes}", images[None]
    if axes not in {"ZYX", "ZYXS"}:
        raise StackError(
            f"{path}: axes {axes} where a z-stack has ZYX or ZYXS; keep one channel and one time"
        )
    try:
        if ome:
            return _from_ome(images, ET.fromstring(ome))
        return _from_imagej(images, imagej or {}, resolution)
    except ET.ParseError as error:
        raise StackError(f"{path}: its OME-XML is damaged ({error}); record it again") from error
    except StackError as error:
        raise StackError(f"{path}: {error}") from error
    except ValueError as error:
        raise StackError(f"{path}: a number in its metadata is none ({error}); record it again") from error


def _from_ome(images: Pixels, root: ET.Element) -> ZStack:
    """Take positions, pixel size, specimen and notes from OME-XML."""
    image = root.find("{*}Image")
    pixels = image.find("{*}Pixels") if image is not None else None
    if image is None or pixels is None:
        raise StackError("its OME-XML describes no image; record it again")
    notes = _notes(image.findtext("{*}Description", ""))
    planes = len(images)
    if int(pixels.get("SizeZ", planes)) != planes:
        raise StackError(f"truncated: {planes} of {pixels.get('SizeZ')} planes are there; copy it again")
    positions = np.full(planes, np.nan)
    for plane in pixels.iterfind("{*}Plane"):
        z = plane.get("PositionZ")
        scale = _MICRONS.get(plane.get("PositionZUnit", "reference frame"))
        if z is not None and scale is not None and int(plane.get("TheZ", 0)) < planes:
            positions[int(plane.get("TheZ", 0))] = float(z) * scale
    if np.isnan(positions).any():
        spacing = _length_um(pixels, "PhysicalSizeZ")
        if not np.isnan(positions).all() or not spacing > 0:
            raise StackError(
                f"{np.isnan(positions).sum()} of {planes} planes lack a position in um (Plane/@PositionZ); "
                "record it again, or write the positions into it"
            )
        positions = np.arange(planes, dtype=np.float64) * spacing
        notes["positions_from"] = f"OME PhysicalSizeZ: planes {spacing:g} um apart, the first at 0"
    return ZStack(images, positions, _length_um(pixels, "PhysicalSizeX"), image.get("Name", ""), notes)


def _notes(description: str) -> dict[str, str]:
    """Read the notes back from an image's description; another program's is one note."""
    try:
        notes = json.loads(description)
    except ValueError:
        return {"description": description} if description else {}
    return (
        {str(k): str(v) for k, v in notes.items()}
        if isinstance(notes, dict)
        else {"description": description}
    )


def _length_um(pixels: ET.Element, name: str) -> float:
    """Return a length attribute in um, by default in um (OME 2016-06); nan when absent or not above 0."""
    length = float(pixels.get(name, "nan")) * _MICRONS.get(pixels.get(f"{name}Unit", "µm"), math.nan)
    return length if length > 0 else math.nan


def _from_imagej(images: Pixels, metadata: dict[str, Any], resolution: tuple[float, float]) -> ZStack:
    """Take the distance between planes and the pixel size from ImageJ's metadata."""
    unit = str(metadata.get("unit", "")).replace("\\u00B5", "µ")
    scale = _MICRONS.get(unit)
    if scale is None:
        raise StackError(f"the distance between planes is in '{unit}', not in um; set the unit in ImageJ")
    spacing = float(metadata["spacing"]) * scale
    return ZStack(
        images,
        np.arange(len(images), dtype=np.float64) * spacing,
        scale / resolution[0] if resolution[0] > 0 else math.nan,
        notes={"positions_from": f"ImageJ spacing: planes {spacing:g} um apart, the first at 0"},
    )

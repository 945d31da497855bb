"""Squares about single beads as labelled stacks: what a network learns the reference plane from (paper 5)."""

from pathlib import Path

import numpy as np

from calibration.bead_features import BeadFeatures
from calibration.beads import BeadSearch, crop
from calibration.label import Label, write_label
from calibration.reference_plane import ReferencePlane
from calibration.stack import STACK_SUFFIX, ZStack, make_folder, write_stack

__all__ = ["crop_path", "reference_label", "write_crops"]

METHOD = "reference plane of beads"


def reference_label(plane: ReferencePlane) -> Label:
    """Label of a stack, or of a bead in it, by the stack's reference plane."""
    planes = {
        f"{name}_um": f"{each.position_um:.3f} +- {each.sigma_um:.3f}"
        for name, each in plane.by_feature.items()
    }
    return Label(plane.position_um, plane.sigma_um, METHOD, {"beads": str(plane.beads), **planes})


def crop_path(folder: Path, name: str, number: int) -> Path:
    """Return the file of a stack's bead; they are numbered from 1."""
    return folder / f"{name}_bead{number:02d}{STACK_SUFFIX}"


def write_crops(
    folder: Path, stack: ZStack, features: BeadFeatures, plane: ReferencePlane, search: BeadSearch
) -> int:
    """Write every bead of a stack as a stack of its own, labelled with the reference plane.

    All beads of a stack are one specimen: a split never puts some of them on its other side.

    Parameters
    ----------
    folder : for the stacks, NAME_bead01.ome.tif and so on
    stack, features : the beads
    plane : the stack's
    search : gives the side of the squares

    Returns
    -------
    int
        Number of beads.

    Raises
    ------
    StackError
        The folder cannot be written to.
    """
    make_folder(folder)
    label = reference_label(plane)
    for number, track in enumerate(features.tracks, 1):
        planes = [
            crop(image, (float(x), float(y)), search.crop_px)
            for image, (x, y) in zip(stack.images, track.centres_px, strict=True)
        ]
        path = crop_path(folder, features.name, number)
        specimen = stack.specimen or features.name
        notes = {**stack.notes, "bead": str(number)}
        write_stack(path, ZStack(np.stack(planes), stack.positions_um, stack.um_per_px, specimen, notes))
        write_label(path, label)
    return len(features.tracks)

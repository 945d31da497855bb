"""Z-stacks: what they are, where they lie, and how they are read and written.

Most of the code stands in `hw`, whose replayed rig reads stacks too.
"""

from pathlib import Path

from hw.errors import StackError
from hw.plane_folder import read_plane_folder, read_recording
from hw.zstack import STACK_SUFFIX, ZStack, find_stacks, read_stack, stack_name, write_stack

__all__ = [
    "STACK_SUFFIX",
    "ZStack",
    "find_stacks",
    "make_folder",
    "read_plane_folder",
    "read_recording",
    "read_stack",
    "stack_name",
    "stacks_at",
    "write_stack",
]


def make_folder(folder: Path) -> None:
    """Make a folder for stacks, unless it is there.

    Raises
    ------
    StackError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"{folder}: cannot be made a folder ({error.strerror}); choose another") from error


def stacks_at(path: Path) -> list[Path]:
    """Return the stacks that a path stands for: those of a folder, or the one file or folder of planes.

    Raises
    ------
    StackError
        There is nothing at this path.
    """
    if not path.exists():
        raise StackError(
            f"{path}: no such file or folder; give a folder of *{STACK_SUFFIX} stacks, or a stack"
        )
    if path.is_dir() and any(p.name.lower().endswith((STACK_SUFFIX, ".ome.tiff")) for p in path.iterdir()):
        return find_stacks(path)
    return [path]

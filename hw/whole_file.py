"""Files that are there whole or not at all, whenever a program or the power fails."""

import os
from pathlib import Path

__all__ = ["put_in_place", "write_whole"]


def write_whole(path: Path, content: bytes, scratch: Path | None = None) -> None:
    """Write or replace a file; when this returns, its content and its name have reached the disk.

    Parameters
    ----------
    path : where it shall stand; its folder exists
    content : all of it
    scratch : where it is written first, in the same folder; by default `.NAME.partial`

    Raises
    ------
    OSError
        It cannot be written; what was there before is still there.
    """
    scratch = path.with_name(f".{path.name}.partial") if scratch is None else scratch
    try:
        scratch.write_bytes(content)
        put_in_place(scratch, path)
    except OSError:
        # What is left of it would only take up the room that is missing.
        scratch.unlink(missing_ok=True)
        raise


def put_in_place(scratch: Path, path: Path) -> None:
    """Give a finished file its name, after its content and before anybody relies on it.

    Parameters
    ----------
    scratch : the file, closed
    path : its name from now on, in the same folder; what was there is replaced

    Raises
    ------
    OSError
        The disk is full or fails.
    """
    file = os.open(scratch, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)
    scratch.replace(path)
    # The new name, too, is only safe once the folder is on the disk.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

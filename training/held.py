"""A folder that one program at a time works in."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hw.errors import ConfigError

__all__ = ["held"]

_LOCK = ".lock"
# File systems without locks, as some shared ones are: there nobody is kept out.
_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def held(folder: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a folder; the system lets go of it when the program ends in any way.

    Parameters
    ----------
    folder : is there
    waiting : called once if another program holds it, and then waited for; None to be refused instead

    Raises
    ------
    ConfigError
        Another program holds it.
    OSError
        Its lock file cannot be made.
    """
    # A file, and open for writing: what NFS makes of a lock needs that.
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(handle, folder, waiting)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path, waiting: Callable[[], None] | None) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        if waiting is None:
            raise ConfigError(
                f"{folder}: another 'wormfocus' works in this folder; wait for it, or choose another folder"
            ) from error
        waiting()
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise

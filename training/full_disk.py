"""A disk that takes no more, told in one line; what is on it stays as it was."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hw.errors import ConfigError

__all__ = ["telling_of_full_disk"]

# Of disks, quotas and permissions. Sockets raise OSErrors too, for weights that are downloaded.
_OF_DISKS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR,
    errno.EEXIST, errno.ESTALE, errno.ENAMETOOLONG,
}  # fmt: skip


@contextmanager
def telling_of_full_disk(run: Path) -> Iterator[None]:
    """Tell of errors of the disk while a run's folder is written to.

    Raises
    ------
    ConfigError
        The disk is full, fails, or may not be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_DISKS:
            raise
        raise ConfigError(
            f"{run}: cannot be written to ({error.strerror}); make space there, then give the same command "
            "again: it goes on from the last checkpoint"
        ) from error

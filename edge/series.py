"""Sessions of a run without an end: one folder after the other, and no more than the disk has for them.

A rig that runs for weeks writes some 20 MB of frames.csv an hour. A new folder begins every hour, or earlier
where the frames are many; the oldest folders make room for it.
"""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from edge.bundle import FocusCard
from edge.figures import Step, Tally
from edge.session import Session
from hw.config import RigConfig
from hw.errors import ConfigError

__all__ = ["SessionSeries"]

# Number, then the date for a person: the number alone is the order, for a Pi without a network has no date.
FOLDER = re.compile(r"(\d{6,})-\d{8}T\d{6}Z")
PART_S = 3600.0
# One session takes at most one share of the limit; two are kept free, so that pictures fit in too.
SHARES = 8


class SessionSeries:
    """Records a run into numbered folders under one root; use it as a context manager.

    Every folder is a session of its own, with its own figures; the last one has a picture. Decisions depend
    on what was seen before, so only the first folder of a run replays to the very same decisions.

    Parameters
    ----------
    root : folder of the sessions, created; other things in it are left alone
    config, card, notice : as for `edge.session.Session`
    method : of the focuser, for the figures
    limit_bytes : what all sessions under `root` may take together

    Raises
    ------
    ConfigError
        The folder cannot be made or read.
    """

    def __init__(
        self,
        root: Path,
        config: RigConfig,
        card: FocusCard | None,
        notice: str,
        method: str,
        *,
        limit_bytes: int,
    ) -> None:
        self._root, self._limit_bytes = root, limit_bytes
        self._config, self._card, self._notice, self._method = config, card, notice, method
        self._begin_s = self._elapsed_s = 0.0
        self._lens_steps = 0.0
        self._open()

    @property
    def folder(self) -> Path:
        """The session that is being written."""
        return self._session.folder

    def record(self, step: Step) -> None:
        """Write one step; begin another session when this one has had its hour or its share of the disk."""
        self._elapsed_s = step.elapsed_s
        full = self._session.size_bytes >= self._limit_bytes // SHARES
        if full or step.elapsed_s - self._begin_s >= PART_S:
            self._session.end(self._tally.figures(self._method, self._lens_steps), "continued in the next")
            self._session.close()
            self._begin_s = step.elapsed_s
            self._open()
        self._session.record(step)
        self._tally.add(step)
        self._lens_steps = step.axis.position_steps

    def finish(self) -> Path:
        """Write figures and picture of the last session; return the picture's path."""
        return self._session.finish(self._tally.figures(self._method, self._lens_steps))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session.__exit__(kind, error, traceback)

    def _open(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            folders = _sessions(self._root)
            _make_room(folders, self._limit_bytes * (SHARES - 2) // SHARES)
        except OSError as error:
            raise ConfigError(
                f"{self._root}: sessions cannot be kept there ({error.strerror}); name another folder"
            ) from error
        number = max(folders, default=0) + 1
        name = f"{number:06d}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        self._session = Session(self._root / name, self._config, self._card, self._notice)
        self._tally = Tally(self._config, self._begin_s)


def _sessions(root: Path) -> dict[int, Path]:
    """Folders that a series made under `root`, by their numbers."""
    return {
        int(match[1]): path
        for path in root.iterdir()
        if (match := FOLDER.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()
    }


def _make_room(folders: dict[int, Path], most_bytes: int) -> None:
    """Delete the oldest sessions until the others take no more than `most_bytes`."""
    sizes = {number: _size(path) for number, path in folders.items()}
    excess = sum(sizes.values()) - most_bytes
    for number in sorted(folders):
        if excess <= 0:
            break
        shutil.rmtree(folders[number])
        excess -= sizes[number]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

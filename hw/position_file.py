"""The focus axis's position, kept across restarts in a file that no crash can damage.

The file says whether its position can be trusted. It is marked untrusted before the first step of a move and
trusted again when the motor rests, and is replaced as a whole each time: whenever a program or the power
fails, either the old or the new content is there, and one that says trusted is true.
"""

import json
import math
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from hw.errors import AxisFault
from hw.section import Section
from hw.whole_file import write_whole

__all__ = ["KeptPosition", "PositionFile", "PositionKeeper"]


class KeptPosition(Section):
    """What the file holds.

    Attributes
    ----------
    version : of this format
    um_per_step : of the axis whose steps are counted
    motor_steps : whole step that the motor stands on
    lens_steps : lens position, which backlash may hold apart from the motor's
    trusted : whether motor and lens stand there
    """

    version: Literal[1] = 1
    um_per_step: float
    motor_steps: int
    lens_steps: float
    trusted: bool


class PositionFile:
    """A position file, which may not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser()
        self._scratch = self._path.with_name(self._path.name + ".new")

    def read(self) -> KeptPosition | None:
        """Return what is kept; None when there is no file.

        Raises
        ------
        AxisFault
            The file cannot be read, or is no position file.
        """
        try:
            return KeptPosition.model_validate(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AxisFault(
                f"position file {self._path}: cannot be read ({error.strerror}); check its permissions"
            ) from error
        except (ValueError, ValidationError) as error:
            raise AxisFault(
                f"position file {self._path}: not a position; delete it and home the axis"
            ) from error

    def write(self, position: KeptPosition) -> None:
        """Replace the file; when this returns, the new content has reached the disk.

        Raises
        ------
        AxisFault
            The disk is full or read-only, or the folder belongs to somebody else.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, (position.model_dump_json() + "\n").encode(), self._scratch)
        except OSError as error:
            raise AxisFault(
                f"position file {self._path}: cannot be written ({error.strerror}); check folder and disk"
            ) from error


class PositionKeeper:
    """Decides when the position file must say something else.

    Parameters
    ----------
    path : of the file; None keeps nothing
    um_per_step : of the axis; kept steps of another size are not its steps
    keep_after_s : time at rest after which the position is written

    Attributes
    ----------
    found : the position that was kept, if it can be trusted
    doubt : why it cannot
    """

    def __init__(self, path: Path | None, um_per_step: float, keep_after_s: float) -> None:
        self._file = None if path is None else PositionFile(path)
        self._um_per_step = um_per_step
        self._keep_after_s = keep_after_s
        self.found: KeptPosition | None = None
        self.doubt = ""
        if self._file is not None:
            self._read(self._file)
        # What the file says is to be trusted now.
        self._claim: KeptPosition | None = self.found

    def due(
        self, motor: int, lens: float, *, trusted: bool, still_s: float, now: float
    ) -> KeptPosition | None:
        """Return what the file must say now and does not, or None.

        Parameters
        ----------
        motor, lens : steps
        trusted : whether both rest there for certain
        still_s : when they came to rest
        now : seconds
        """
        if self._file is None or (not trusted and self._claim is None):
            return None
        record = self._record(motor, lens, trusted)
        if trusted and (record == self._claim or now < still_s + self._keep_after_s):
            return None
        return record

    def due_s(self, motor: int, lens: float, still_s: float) -> float:
        """When a position at rest is to be written; inf when the file says it already."""
        done = self._file is None or self._record(motor, lens, True) == self._claim
        return math.inf if done else still_s + self._keep_after_s

    def write(self, record: KeptPosition) -> None:
        """Write the file.

        Raises
        ------
        AxisFault
            As `PositionFile.write`.
        """
        assert self._file is not None
        self._file.write(record)
        self._claim = record if record.trusted else None

    def _record(self, motor: int, lens: float, trusted: bool) -> KeptPosition:
        return KeptPosition(
            um_per_step=self._um_per_step, motor_steps=motor, lens_steps=lens, trusted=trusted
        )

    def _read(self, file: PositionFile) -> None:
        try:
            kept = file.read()
        except AxisFault as error:
            self.doubt = str(error)
            return
        if kept is None:
            self.doubt = "no position has been kept yet"
        elif not kept.trusted:
            self.doubt = "the program ended in mid-move"
        elif kept.um_per_step != self._um_per_step:
            self.doubt = (
                f"the kept position counts steps of {kept.um_per_step:g} um, not of {self._um_per_step:g} um"
            )
        else:
            self.found = kept

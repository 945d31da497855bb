"""A data set: a folder of stacks with a manifest, `dataset.json`, that grows from day to day.

The manifest says what was planned and what was recorded, on which rig, plate and day, and how each file can
be told from a damaged one. It is replaced as a whole after every stack, so that it is never half written.
"""

import fcntl
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from hw.config import RigConfig
from hw.errors import StackError
from hw.section import Section
from hw.whole_file import write_whole

__all__ = [
    "MANIFEST",
    "Dataset",
    "Plan",
    "Recorded",
    "RigIdentity",
    "Session",
    "SettleRecord",
    "StackEntry",
    "file_sha256",
    "locked",
    "new_dataset",
    "now",
    "our_version",
    "read_dataset",
    "require_dataset",
    "write_dataset",
]

MANIFEST = "dataset.json"

Count = Annotated[int, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class RigIdentity(Section):
    """What must be the same for two sessions to be of one data set.

    The rest of a rig file may change between them, as a calibration changes it.
    """

    name: str
    kind: str
    um_per_px: float
    na: float
    dof_um: float

    @classmethod
    def of(cls, rig: RigConfig) -> "RigIdentity":
        """Return that of a rig file."""
        optics = rig.optics
        return cls(
            name=rig.name,
            kind=rig.kind,
            um_per_px=optics.um_per_px,
            na=optics.na,
            dof_um=optics.dof_um,
        )


class Plan(Section):
    """What a session is to record; None stands for what the rig file makes of it."""

    stacks: Count
    centre_um: float | None = None
    span_um: float | None = None
    step_um: float | None = None
    starts: Count = Field(
        3, description="Starts that stacks alternate between, a plane's distance over their number apart."
    )
    jitter: Annotated[float, Field(ge=0, le=0.45)] = Field(
        0.0, description="Planes stray by up to this share of their distance."
    )
    places: bool = Field(False, description="Every stack has a random place on the stage.")
    specimen: str = Field("", description="The only specimen; where empty, each stack is its own.")
    compress: bool = False
    seed: Annotated[int, Field(ge=0)] = 0


class SettleRecord(Section):
    """How long after a move a frame counts."""

    settle_s: NonNegative
    source: Literal["measured", "given", "rig file"]
    resolves_um: float | None = Field(
        None, description="Lens movements below this would have drowned in the image's noise, um."
    )
    frame_s: float | None = Field(None, description="Time between the frames it was measured with, s.")
    moves: int = 0
    reason: str = Field("", description="Why it was not measured.")


class Recorded(Section):
    """A stack that stands whole on the disk."""

    sha256: str
    size: int = Field(description="Bytes.")
    at: str = Field(description="Date and time, ISO 8601; empty where nobody noted it.")
    positions_um: tuple[float, ...]
    focus_curve: tuple[float, ...] = Field(description="The default measure of each plane.")


class StackEntry(Section):
    """One stack of a session."""

    file: str
    specimen: str
    start_um: float = Field(0.0, description="How much higher than the plan says this stack lies.")
    place_um: tuple[float, float] | None = Field(None, description="Of the stage, x and y.")
    recorded: Recorded | None = None


class Session(Section):
    """What was recorded on one day, of one plate, by one plan."""

    day: str = Field(description="Local date, ISO 8601.")
    started: str
    finished: str | None = None
    plate: str = ""
    note: str = ""
    rig_sha256: str = Field("", description="Of everything that the rig file said.")
    notice: str = Field("", description="SIMULATED or REPLAYED; empty on hardware.")
    um_per_step: float | None = None
    exposure_s: float | None = None
    analogue_gain: float | None = Field(None, description="Where the rig file fixes it.")
    colour_gains: tuple[float, float] | None = Field(None, description="Likewise, red and blue.")
    version: str = Field(description="Of wormfocus.")
    plan: Plan | None = Field(None, description="None for stacks that were there before the manifest.")
    settle: SettleRecord | None = None
    stacks: tuple[StackEntry, ...]

    @property
    def done(self) -> int:
        """Number of stacks recorded."""
        return sum(stack.recorded is not None for stack in self.stacks)

    def with_recorded(self, index: int, recorded: Recorded) -> "Session":
        """Return this session with one more stack recorded."""
        stacks = list(self.stacks)
        stacks[index] = stacks[index].model_copy(update={"recorded": recorded})
        return self.model_copy(update={"stacks": tuple(stacks)})


class Dataset(Section):
    """The manifest."""

    format: Literal["wormfocus stacks"] = "wormfocus stacks"
    version: Literal[1] = 1
    id: str
    rig: RigIdentity | None = Field(description="None for stacks of a rig that nobody noted.")
    sessions: tuple[Session, ...] = ()

    def with_last(self, session: Session) -> "Dataset":
        """Return this data set with its last session replaced."""
        return self.model_copy(update={"sessions": (*self.sessions[:-1], session)})

    def stacks(self) -> Iterator[tuple[Session, StackEntry]]:
        """Yield every stack that is recorded, with its session."""
        for session in self.sessions:
            for entry in session.stacks:
                if entry.recorded is not None:
                    yield session, entry

    def files(self) -> set[str]:
        """Names of all files, recorded and planned."""
        return {entry.file for session in self.sessions for entry in session.stacks}


def new_dataset(rig: RigConfig | None) -> Dataset:
    """Return an empty data set of a rig."""
    return Dataset(id=uuid.uuid4().hex, rig=None if rig is None else RigIdentity.of(rig))


def read_dataset(folder: Path) -> Dataset | None:
    """Read a folder's manifest; None where it has none.

    Raises
    ------
    StackError
        The manifest is damaged, or of a version that is not known here.
    """
    path = folder / MANIFEST
    try:
        return Dataset.model_validate(json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StackError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or MANIFEST
        raise StackError(
            f"{path}: '{key}': {first['msg']}; mend it, or move it away and run 'wormfocus dataset --add'"
        ) from error
    except ValueError as error:
        raise StackError(
            f"{path}: no JSON ({error}); mend it, or move it away and run 'wormfocus dataset --add'"
        ) from error


def require_dataset(folder: Path) -> Dataset:
    """Read the manifest of a folder that must have one.

    Raises
    ------
    StackError
        There is no such folder or no manifest in it, or it is damaged.
    """
    if not folder.is_dir():
        raise StackError(f"{folder}: there is no folder of this name; give the folder of a data set")
    dataset = read_dataset(folder)
    if dataset is None:
        raise StackError(
            f"{folder}: no {MANIFEST} in it, so it is no data set; 'wormfocus stack --out' makes one, "
            "'wormfocus dataset --add' makes one of stacks that are there"
        )
    return dataset


def write_dataset(folder: Path, dataset: Dataset) -> None:
    """Replace a folder's manifest, whole or not at all.

    Raises
    ------
    StackError
        It cannot be written.
    """
    path = folder / MANIFEST
    # A person may look into it: lists of numbers stand in one line.
    text = re.sub(r"\[[-+.\deE,\s]+\]", lambda m: " ".join(m[0].split()), dataset.model_dump_json(indent=1))
    try:
        write_whole(path, (text + "\n").encode())
    except OSError as error:
        raise StackError(f"{path}: cannot be written ({error.strerror}); check folder and space") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for one program at a time; the system lets go of it when the program ends in any way.

    Raises
    ------
    StackError
        Another program records into this folder, or the folder cannot be opened.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StackError(f"{folder}: cannot be opened ({error.strerror}); check the folder") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise StackError(
            f"{folder}: another 'wormfocus' works on this folder; wait for it, or choose another folder"
        ) from error
    except OSError as error:
        os.close(handle)
        raise StackError(f"{folder}: cannot be locked ({error.strerror}); choose a local disk") from error
    try:
        yield
    finally:
        os.close(handle)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def our_version() -> str:
    """Return the version of wormfocus."""
    try:
        return version("wormfocus")
    except PackageNotFoundError:
        return "not installed"


def now() -> datetime:
    """Return the date and time where the rig stands."""
    return datetime.now().astimezone()

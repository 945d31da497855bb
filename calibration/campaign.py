"""Recording sessions of a data set that may be cut short at any moment and go on without loss.

A stack is written under a name that does not count, brought to the disk, renamed, and then entered in the
manifest, which is replaced as a whole. So whatever happens, a stack is not there, or there and whole; one
that was renamed but not yet entered is found and entered when the session goes on.
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from calibration.acquire import acquire_stack, home_if_needed, move_stage_and_rest
from calibration.dataset import (
    Dataset,
    Plan,
    Recorded,
    RigIdentity,
    Session,
    SettleRecord,
    file_sha256,
    new_dataset,
    now,
    our_version,
    read_dataset,
    write_dataset,
)
from calibration.judged import judge_stack
from calibration.label import focus_curve
from calibration.session_plan import frame_bytes, plan_stacks, stack_positions
from calibration.settle import in_words, settle_record
from calibration.simulate import rig_sha256
from calibration.stack import STACK_SUFFIX, ZStack, read_stack, stack_name, write_stack
from hw.config import RigConfig
from hw.errors import ConfigError, StackError
from hw.rig import Rig

__all__ = [
    "Campaign",
    "Circumstances",
    "begin",
    "finish",
    "first_number",
    "go_on",
    "record",
    "recorded_stack",
]

SPARE_BYTES = 16 << 20
"""What must stay free beside a stack, for the manifest and the system's own needs."""

OVERHEAD = 1.01
"""A stack's file over its pixels."""

OpenRig = Callable[[int], AbstractContextManager[Rig]]


@dataclass(frozen=True)
class Circumstances:
    """What an operator says of a session, beside its plan.

    Attributes
    ----------
    plate : name of the plate, for a split by plate
    note : anything worth keeping
    settle_s : settle time given by hand, s
    measure_settle : measure it even where an earlier session of this rig has
    """

    plate: str = ""
    note: str = ""
    settle_s: float | None = None
    measure_settle: bool = False


@dataclass(frozen=True)
class Campaign:
    """A session in progress: its folder and the data set, whose last session it is."""

    folder: Path
    dataset: Dataset

    @property
    def session(self) -> Session:
        """The session."""
        return self.dataset.sessions[-1]

    @property
    def plan(self) -> Plan:
        """The session's plan."""
        plan = self.session.plan
        assert plan is not None
        return plan

    def with_session(self, session: Session) -> "Campaign":
        """Return this campaign with its session replaced, after the manifest on the disk was."""
        dataset = self.dataset.with_last(session)
        write_dataset(self.folder, dataset)
        return Campaign(self.folder, dataset)


def begin(folder: Path, rig: RigConfig, opened: Rig, plan: Plan, said: Circumstances) -> Campaign:
    """Begin a session: fix its plan and write it down.

    Parameters
    ----------
    folder : of the data set, whose manifest is made where there is none
    rig : the rig file
    opened : the rig, which may know more than its file
    plan : what to record
    said : what the operator says

    Raises
    ------
    StackError
        The plan is impossible or does not fit on the disk, or the folder cannot be written.
    ConfigError
        The folder holds a data set of another rig.
    """
    dataset = read_dataset(folder) or new_dataset(rig)
    _check_rig(folder, dataset, rig)
    if dataset.sessions and not dataset.sessions[-1].finished:
        # It is left unfinished; what it has recorded counts all the same.
        dataset = _recovered(Campaign(folder, dataset)).dataset
    same_plate = [other for other in dataset.sessions if other.plate == said.plate]
    stacks = plan_stacks(
        opened.config,
        plan,
        first_number(folder, dataset, rig),
        session=len(dataset.sessions) + 1,
        taken=[e.place_um for other in same_plate for e in other.stacks if e.place_um is not None],
    )
    planes = [len(stack_positions(opened.config, plan, i, e.start_um)) for i, e in enumerate(stacks)]
    _check_space(folder, len(stacks), _estimated_size(opened.config, max(planes)))
    at, picamera = now(), rig.picamera
    session = Session(
        day=at.date().isoformat(),
        started=at.isoformat(timespec="seconds"),
        plate=said.plate,
        note=said.note,
        rig_sha256=rig_sha256(rig),
        notice=opened.notice,
        um_per_step=opened.axis.um_per_step,
        exposure_s=rig.camera.exposure_s,
        analogue_gain=picamera.analogue_gain if picamera and picamera.exposure == "fixed" else None,
        colour_gains=picamera.colour_gains if picamera else None,
        version=our_version(),
        plan=plan,
        settle=_settle_known(dataset, rig, said),
        stacks=tuple(stacks),
    )
    dataset = dataset.model_copy(
        update={"rig": RigIdentity.of(rig), "sessions": (*dataset.sessions, session)}
    )
    write_dataset(folder, dataset)
    return Campaign(folder, dataset)


def go_on(folder: Path, rig: RigConfig, asked: Mapping[str, object]) -> Campaign:
    """Go on with a folder's last session, after putting in order what an interruption left.

    Stacks that were finished when their program ended are entered, those that were not are cleared away.

    Parameters
    ----------
    folder : of the data set
    rig : the rig file
    asked : fields of the session and its plan that must be as they are, for somebody asked for them again

    Raises
    ------
    StackError
        There is no session to go on with, the rig file has changed, or a file is in the way.
    ConfigError
        The data set is of another rig, or something else than this session's plan is asked for.
    """
    dataset = read_dataset(folder)
    session = dataset.sessions[-1] if dataset and dataset.sessions else None
    if dataset is None or session is None or session.plan is None:
        raise StackError(f"{folder}: no session to go on with; begin one without --resume")
    _check_rig(folder, dataset, rig)
    campaign = Campaign(folder, dataset)
    if session.finished:
        return campaign
    way_out = "finish it as it was planned, or leave it and begin another with --new-session"
    if session.rig_sha256 != rig_sha256(rig):
        raise StackError(f"{folder}: the rig file has changed since its last session began; {way_out}")
    planned = session.plan.model_dump() | {"plate": session.plate, "note": session.note}
    for name, value in asked.items():
        if planned[name] != value:
            raise ConfigError(
                f"{folder}: its last session has {session.done} of {len(session.stacks)} stacks and was "
                f"planned with {name} {planned[name]!r}, not {value!r}; {way_out}"
            )
    return _recovered(campaign)


def _recovered(campaign: Campaign) -> Campaign:
    for path in campaign.folder.glob(f".*{STACK_SUFFIX}.*.partial"):
        path.unlink(missing_ok=True)
    for index, entry in enumerate(campaign.session.stacks):
        path = campaign.folder / entry.file
        if entry.recorded is not None or not path.exists():
            continue
        stack = read_stack(path)
        if stack.notes.get("dataset") != campaign.dataset.id:
            raise StackError(f"{path}: in the way, this session did not record it; move it elsewhere")
        campaign = campaign.with_session(campaign.session.with_recorded(index, recorded_stack(path, stack)))
    return campaign


def record(
    campaign: Campaign,
    rigs: OpenRig,
    *,
    ready: Callable[[int, Rig], None] = lambda index, rig: None,
    progress: Callable[[int, int, int], None] = lambda index, plane, planes: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Campaign:
    """Record what a session still lacks.

    Parameters
    ----------
    campaign : as `begin` or `go_on` return it
    rigs : opens the rig for a stack, given its number in the session, from 0
    ready : called before each stack, once the stage is there; it may wait for an operator
    progress : called with the stack's number and the numbers of planes recorded and of all
    tell : takes a line meant for a person

    Returns
    -------
    Campaign
        With all stacks recorded.

    Raises
    ------
    StackError
        The disk is full, a file is in the way, or the positions are impossible. What was recorded is safe.
    AxisFault, CameraStalled
        As `acquire_stack`.
    """
    told = False
    for index, entry in enumerate(campaign.session.stacks):
        if entry.recorded is not None:
            continue
        try:
            with rigs(index) as rig:
                if not told:
                    tell(_in_all(campaign, index, rig.config))
                    told = True
                campaign, stack = _acquire(campaign, index, rig, ready, progress, tell)
            path = campaign.folder / entry.file
            if path.exists():
                raise StackError(f"{path}: appeared while the session ran; move it elsewhere")
            write_stack(path, stack, compress=campaign.plan.compress)
            recorded = recorded_stack(path, stack)
            campaign = campaign.with_session(campaign.session.with_recorded(index, recorded))
            # At once: whoever hears it at the end of the day has recorded an empty plate.
            if doubt := judge_stack(entry, recorded).reason:
                tell(f"{entry.file}: no focus to be trusted: {doubt}; is the specimen still under the lens?")
        except StackError as error:
            safe = f"{campaign.session.done} of {len(campaign.session.stacks)} stacks are safe"
            raise StackError(f"{error}; {safe}, the same command goes on") from error
    return campaign


def _acquire(
    campaign: Campaign,
    index: int,
    rig: Rig,
    ready: Callable[[int, Rig], None],
    progress: Callable[[int, int, int], None],
    tell: Callable[[str], None],
) -> tuple[Campaign, ZStack]:
    """Take the images of one stack; the campaign returned knows the settle time."""
    session, entry = campaign.session, campaign.session.stacks[index]
    positions = stack_positions(rig.config, campaign.plan, index, entry.start_um)
    sizes = [other.recorded.size for other in session.stacks if other.recorded is not None]
    each = max(sizes, default=_estimated_size(rig.config, len(positions)))
    _check_space(campaign.folder, len(session.stacks) - session.done, each)
    home_if_needed(rig)
    if entry.place_um is not None:
        move_stage_and_rest(rig, *entry.place_um)
    ready(index, rig)
    settle = session.settle
    if settle is None:
        tell("measuring how long the image takes to come to rest after a move, once for this data set")
        settle = settle_record(rig, positions)
        tell(in_words(settle))
        campaign = campaign.with_session(session.model_copy(update={"settle": settle}))
    stack = acquire_stack(
        rig,
        positions,
        specimen=entry.specimen,
        settle_s=settle.settle_s,
        progress=partial(progress, index),
    )
    stack.notes.update(
        dataset=campaign.dataset.id,
        recorded=now().isoformat(timespec="seconds"),
        settle_s=f"{settle.settle_s:.4g}",
    )
    if session.plate:
        stack.notes["plate"] = session.plate
    return campaign, stack


def finish(campaign: Campaign) -> Campaign:
    """Note that a session is finished; the next one begins anew.

    Raises
    ------
    StackError
        The manifest cannot be written.
    """
    if campaign.session.finished:
        return campaign
    at = now().isoformat(timespec="seconds")
    return campaign.with_session(campaign.session.model_copy(update={"finished": at}))


def _settle_known(dataset: Dataset, rig: RigConfig, said: Circumstances) -> SettleRecord | None:
    """Return the settle time that was given, or that an earlier session measured on this very rig."""
    if said.settle_s is not None:
        return SettleRecord(settle_s=said.settle_s, source="given")
    sha256 = rig_sha256(rig)
    for session in () if said.measure_settle else reversed(dataset.sessions):
        if session.rig_sha256 == sha256 and session.settle and session.settle.source == "measured":
            return session.settle
    return None


def _check_rig(folder: Path, dataset: Dataset, rig: RigConfig) -> None:
    ours = RigIdentity.of(rig)
    if dataset.rig is None or dataset.rig == ours:
        return
    theirs = dataset.rig.model_dump()
    name, value = next((n, v) for n, v in theirs.items() if v != getattr(ours, n))
    raise ConfigError(
        f"{folder}: a data set of another rig, whose {name} is {value}, not {getattr(ours, name)}; choose "
        "another folder with --out"
    )


def first_number(folder: Path, dataset: Dataset | None, rig: RigConfig) -> int:
    """Return the number after the highest that stands in a folder or its manifest."""
    names = {path.name for path in folder.glob(f"{rig.name}_*{STACK_SUFFIX}")}
    if dataset is not None:
        names |= dataset.files()
    tails = (stack_name(Path(name)).removeprefix(f"{rig.name}_") for name in names)
    return max((int(tail) for tail in tails if tail.isdecimal()), default=0) + 1


def _estimated_size(rig: RigConfig, planes: int) -> int:
    return round(planes * frame_bytes(rig) * OVERHEAD)


def _in_all(campaign: Campaign, index: int, rig: RigConfig) -> str:
    """Tell a person how much is to come."""
    session, entry = campaign.session, campaign.session.stacks[index]
    planes = len(stack_positions(rig, campaign.plan, index, entry.start_um))
    each_mb, left = _estimated_size(rig, planes) / 1e6, len(session.stacks) - session.done
    return (
        f"stacks to record: {left}, of {planes} planes and at most {each_mb:.3g} MB each, "
        f"{each_mb * left / 1e3:.3g} GB in all (--span-um and --step-um make them smaller)"
    )


def _check_space(folder: Path, stacks: int, each: int) -> None:
    """Refuse to begin what does not fit on the disk."""
    free = shutil.disk_usage(folder).free
    if each * stacks + SPARE_BYTES > free:
        raise StackError(
            f"{folder}: {stacks} stacks of {each / 1e6:.3g} MB do not fit, {free / 1e6:.3g} MB are free; "
            "make space, plan fewer or smaller stacks, or choose another disk with --out"
        )


def recorded_stack(path: Path, stack: ZStack) -> Recorded:
    """Return what a manifest says of a stack that stands on the disk.

    Parameters
    ----------
    path : of the file
    stack : its content

    Raises
    ------
    StackError
        It cannot be read.
    """
    try:
        sha256, size = file_sha256(path), path.stat().st_size
    except OSError as error:
        raise StackError(f"{path}: cannot be read back ({error.strerror}); check the disk") from error
    return Recorded(
        sha256=sha256,
        size=size,
        at=stack.notes.get("recorded", ""),
        positions_um=tuple(round(float(z), 4) for z in stack.positions_um),
        focus_curve=tuple(float(f"{value:.5g}") for value in focus_curve(stack)),
    )

"""Labels: where a stack is in focus, and the sidecar that says so.

Raw data is never rewritten: the label of NAME.ome.tif is NAME.label.json beside it. What a person says about
it stands in a third file (`calibration.correction`) and goes before what was measured.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calibration.correction import correction_path, read_correction
from calibration.examine import (
    AGREEMENT,
    MAX_SIGMA,
    MAX_TILT,
    MAX_TONE_SHIFT,
    Examination,
    Plan,
    examine,
    measure_planes,
)
from calibration.measure import DEFAULT_MEASURE
from calibration.peak import SETTINGS, NoFocusPeak
from calibration.stack import ZStack, read_recording, stack_name
from hw.errors import StackError
from hw.frame import Box
from hw.whole_file import write_whole

__all__ = [
    "Label",
    "LabelResult",
    "NoFocusPeak",
    "PatchLabel",
    "focus_curve",
    "label_of",
    "label_path",
    "label_stack",
    "label_stacks",
    "read_label",
    "write_label",
]

Outcome = Literal["labelled", "kept", "corrected", "refused"]

BY_HAND = "by hand"
"""The method of a label that a person gave."""


@dataclass(frozen=True)
class PatchLabel:
    """Focus of a part of a stack's planes.

    Attributes
    ----------
    box : in pixels of the planes
    focus_um, sigma_um : as of a label; None where the patch has no peak to be trusted
    reason : why it has none
    """

    box: Box
    focus_um: float | None
    sigma_um: float | None
    reason: str = ""


@dataclass(frozen=True)
class Label:
    """Focus of a stack.

    Attributes
    ----------
    focus_um : lens position in focus, on the axis of the stack's positions
    sigma_um : standard deviation of `focus_um`
    method : how it was found
    provenance : measure, region, version, date and settings; or who, when and why
    patches : focus of parts of the region, by rows
    """

    focus_um: float
    sigma_um: float
    method: str
    provenance: dict[str, str] = field(default_factory=dict)
    patches: tuple[PatchLabel, ...] = ()


def focus_curve(
    stack: ZStack, measure: str = DEFAULT_MEASURE, region: Box | None = None
) -> NDArray[np.float64]:
    """Return a focus measure of every plane, (Z,) float64.

    Raises
    ------
    ConfigError
        There is no such measure.
    """
    return measure_planes(stack.images, measure, region)


def label_stack(stack: ZStack, measure: str = DEFAULT_MEASURE, plan: Plan | None = None) -> Label:
    """Label a stack with the peak of a focus measure.

    Raises
    ------
    NoFocusPeak
        There is no peak to be trusted.
    ConfigError
        There is no such measure.
    StackError
        The plan's region does not lie inside the planes.
    """
    return label_of(examine(stack, measure, plan))


def label_of(examination: Examination) -> Label:
    """Return the label that an examination supports.

    Raises
    ------
    NoFocusPeak
        None.
    """
    if examination.reason or examination.peak is None:
        raise NoFocusPeak(examination.reason)
    peak = examination.peak
    try:
        ours = version("wormfocus")
    except PackageNotFoundError:
        ours = "not installed"
    limits = SETTINGS | {
        "agreement_width": AGREEMENT,
        "max_sigma": MAX_SIGMA,
        "max_tilt": MAX_TILT,
        "max_tone_shift": MAX_TONE_SHIFT,
    }
    provenance = {
        "measure": examination.measure,
        "criterion": peak.criterion,
        "region": ",".join(map(str, examination.region)),
        "agreeing": " ".join(
            f"{name}={found.position:.6g}"
            for name, found in examination.peaks.items()
            if name != examination.measure
        ),
        "width_um": f"{peak.width:.6g}",
        "tone_shift_um": "" if examination.tone_shift is None else f"{examination.tone_shift:.6g}",
        "planes": str(len(examination.curves[examination.measure])),
        "settings": " ".join(f"{name}={value:g}" for name, value in limits.items()),
        "version": ours,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    patches = tuple(
        PatchLabel(patch.box, None, None, patch.reason)
        if patch.peak is None
        else PatchLabel(patch.box, patch.peak.position, patch.peak.sigma)
        for patch in examination.patches
    )
    return Label(peak.position, peak.sigma, f"focus measure {peak.criterion}imum", provenance, patches)


@dataclass(frozen=True)
class LabelResult:
    """What became of one stack.

    Attributes
    ----------
    path : the stack
    outcome : 'labelled' now, 'kept' the label that was there, 'corrected' by a person, or 'refused'
    label : None when refused
    reason : why it was refused
    examination : what the label or the refusal rests on; None where nothing was examined
    """

    path: Path
    outcome: Outcome
    label: Label | None = None
    reason: str = ""
    examination: Examination | None = None


def label_stacks(
    paths: Sequence[Path],
    measure: str = DEFAULT_MEASURE,
    *,
    plan: Plan | None = None,
    spacing_um: float | None = None,
    relabel: bool = False,
    write: bool = True,
    examine_all: bool = False,
) -> Iterator[LabelResult]:
    """Label stacks one by one, so that a run that was cut short goes on where it was.

    Parameters
    ----------
    paths : stacks: TIFF files or folders of planes
    measure : focus measure
    plan : how they are labelled
    spacing_um : for folders whose names give only the planes' order
    relabel : replace labels that are there; what a person said stays, and goes before them
    write : write sidecars
    examine_all : examine also stacks whose label is there already, for a picture of all

    Yields
    ------
    LabelResult
        One for each stack; one that cannot be read or has no trustworthy peak is refused with the reason.
    """
    for path in paths:
        examination: Examination | None = None
        try:
            existing = _by_hand(path) if relabel else read_label(path)
            if existing is None or examine_all:
                examination = examine(read_recording(path, spacing_um), measure, plan)
            if existing is not None:
                outcome: Outcome = "corrected" if existing.method == BY_HAND else "kept"
                yield LabelResult(path, outcome, existing, examination=examination)
                continue
            assert examination is not None
            label = label_of(examination)
            if write:
                write_label(path, label)
            yield LabelResult(path, "labelled", label, examination=examination)
        except StackError as error:
            reason = str(error).removeprefix(f"{path}: ")
            yield LabelResult(path, "refused", reason=reason, examination=examination)


def label_path(stack_path: Path) -> Path:
    """Return where the label of a stack stands: NAME.label.json beside NAME.ome.tif."""
    return stack_path.with_name(f"{stack_name(stack_path)}.label.json")


def write_label(stack_path: Path, label: Label) -> None:
    """Write a stack's label beside it; the stack is not touched.

    Raises
    ------
    StackError
        The sidecar cannot be written.
    """
    data: dict[str, Any] = asdict(label)
    data["patches"] = [{**asdict(patch), "box": list(patch.box)} for patch in label.patches]
    path = label_path(stack_path)
    try:
        write_whole(path, (json.dumps(data, indent=2) + "\n").encode())
    except OSError as error:
        raise StackError(f"{path}: cannot be written ({error.strerror}); check folder and space") from error


def read_label(stack_path: Path) -> Label | None:
    """Return a stack's label: a person's, where there is one, or the measured one; None without either.

    Raises
    ------
    NoFocusPeak
        A person said that the stack shall not be used.
    StackError
        A file is damaged.
    """
    if (by_hand := _by_hand(stack_path)) is not None:
        return by_hand
    path = label_path(stack_path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Label(
            float(data["focus_um"]),
            float(data["sigma_um"]),
            str(data["method"]),
            {str(k): str(v) for k, v in data.get("provenance", {}).items()},
            tuple(_patch(entry) for entry in data.get("patches", ())),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StackError(f"{path}: damaged ({error}); delete it and run 'wormfocus label'") from error


def _patch(entry: dict[str, Any]) -> PatchLabel:
    x, y, width, height = (int(value) for value in entry["box"])
    focus, sigma = entry["focus_um"], entry["sigma_um"]
    return PatchLabel(
        Box(x, y, width, height),
        None if focus is None else float(focus),
        None if sigma is None else float(sigma),
        str(entry.get("reason", "")),
    )


def _by_hand(stack_path: Path) -> Label | None:
    correction = read_correction(stack_path)
    if correction is None:
        return None
    if correction.focus_um is None:
        raise NoFocusPeak(
            f"left out by hand, by {correction.who} on {correction.when} ({correction.why}); "
            f"a newer word in {correction_path(stack_path).name} brings it back"
        )
    provenance = {"who": correction.who, "when": correction.when, "why": correction.why}
    return Label(correction.focus_um, correction.sigma_um, BY_HAND, provenance)

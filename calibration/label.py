"""Labels: where a stack is in focus, and the sidecar that says so.

Raw data is never rewritten: the label of NAME.ome.tif is NAME.label.json beside it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibration.measure import DEFAULT_MEASURE, focus_measure
from calibration.peak import SETTINGS, NoFocusPeak, find_peak
from calibration.stack import ZStack, read_recording, stack_name
from hw.errors import StackError

__all__ = [
    "Label",
    "LabelResult",
    "NoFocusPeak",
    "focus_curve",
    "label_path",
    "label_stack",
    "label_stacks",
    "read_label",
    "write_label",
]


@dataclass(frozen=True)
class Label:
    """Focus of a stack.

    Attributes
    ----------
    focus_um : lens position in focus, on the axis of the stack's positions
    sigma_um : standard deviation of `focus_um`
    method : how it was found
    provenance : measure, version, date and settings
    """

    focus_um: float
    sigma_um: float
    method: str
    provenance: dict[str, str] = field(default_factory=dict)


def focus_curve(stack: ZStack, measure: str = DEFAULT_MEASURE) -> NDArray[np.float64]:
    """Return a focus measure of every plane, (Z,) float64.

    Raises
    ------
    ConfigError
        There is no such measure.
    """
    function = focus_measure(measure)
    return np.array([function(plane) for plane in stack.images])


def label_stack(stack: ZStack, measure: str = DEFAULT_MEASURE) -> Label:
    """Label a stack with the peak of a focus measure.

    Raises
    ------
    NoFocusPeak
        There is no peak to be trusted.
    ConfigError
        There is no such measure.
    """
    peak = find_peak(stack.positions_um, focus_curve(stack, measure))
    try:
        ours = version("wormfocus")
    except PackageNotFoundError:
        ours = "not installed"
    provenance = {
        "measure": measure,
        "planes": str(len(stack.images)),
        "settings": " ".join(f"{name}={value:g}" for name, value in SETTINGS.items()),
        "version": ours,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Label(peak.position, peak.sigma, "focus measure peak", provenance)


@dataclass(frozen=True)
class LabelResult:
    """What became of one stack.

    Attributes
    ----------
    path : the stack
    outcome : 'labelled' now, 'kept' the label that was there, or 'refused'
    label : None when refused
    reason : why it was refused
    """

    path: Path
    outcome: Literal["labelled", "kept", "refused"]
    label: Label | None = None
    reason: str = ""


def label_stacks(
    paths: Sequence[Path],
    measure: str = DEFAULT_MEASURE,
    *,
    spacing_um: float | None = None,
    relabel: bool = False,
    write: bool = True,
) -> Iterator[LabelResult]:
    """Label stacks one by one, so that a run that was cut short goes on where it was.

    Parameters
    ----------
    paths : stacks: TIFF files or folders of planes
    measure : focus measure
    spacing_um : for folders whose names give only the planes' order
    relabel : replace labels that are there
    write : write sidecars

    Yields
    ------
    LabelResult
        One for each stack; one that cannot be read or has no trustworthy peak is refused with the reason.
    """
    for path in paths:
        try:
            existing = None if relabel else read_label(path)
            if existing is not None:
                yield LabelResult(path, "kept", existing)
                continue
            label = label_stack(read_recording(path, spacing_um), measure)
            if write:
                write_label(path, label)
            yield LabelResult(path, "labelled", label)
        except StackError as error:
            yield LabelResult(path, "refused", reason=str(error).removeprefix(f"{path}: "))


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
    path = label_path(stack_path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(json.dumps(asdict(label), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise StackError(f"{path}: cannot be written ({error.strerror}); check folder and space") from error


def read_label(stack_path: Path) -> Label | None:
    """Return a stack's label, or None where it has no sidecar.

    Raises
    ------
    StackError
        The sidecar is damaged.
    """
    path = label_path(stack_path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Label(
            float(data["focus_um"]),
            float(data["sigma_um"]),
            str(data["method"]),
            {str(k): str(v) for k, v in data.get("provenance", {}).items()},
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StackError(f"{path}: damaged ({error}); delete it and run 'wormfocus label'") from error

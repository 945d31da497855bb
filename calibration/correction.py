"""What a person says about a stack's label, kept apart from what was measured.

The corrections of NAME.ome.tif stand in NAME.correction.json beside it: a list, to which each new one is
added; the last one counts. Labelling again never touches them.
"""

import json
import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from hw.errors import StackError
from hw.whole_file import write_whole
from hw.zstack import stack_name

__all__ = ["Correction", "add_correction", "correction_path", "read_correction"]


@dataclass(frozen=True)
class Correction:
    """One person's word on one stack.

    Attributes
    ----------
    who, why : name and reason, neither empty
    when : date and time, ISO 8601
    focus_um : where the stack is in focus; None where it shall not be used
    sigma_um : how sure that is, one standard deviation
    """

    who: str
    why: str
    when: str
    focus_um: float | None
    sigma_um: float = 0.0


def correction_path(stack_path: Path) -> Path:
    """Return where the corrections of a stack stand."""
    return stack_path.with_name(f"{stack_name(stack_path)}.correction.json")


def add_correction(
    stack_path: Path, focus_um: float | None, *, who: str, why: str, sigma_um: float = 0.0
) -> Correction:
    """Add a correction to those of a stack.

    Raises
    ------
    StackError
        There is no such stack, a name or reason is missing, a number is no place, or the file cannot be
        written or is damaged.
    """
    if not stack_path.exists():
        raise StackError(f"{stack_path}: no such stack; give one that is there")
    if not who.strip() or not why.strip():
        raise StackError(f"{stack_path}: a correction needs a name and a reason; give --who and --why")
    if (focus_um is not None and not math.isfinite(focus_um)) or not 0 <= sigma_um < math.inf:
        raise StackError(f"{stack_path}: focus {focus_um} +- {sigma_um} um is no place; give finite numbers")
    correction = Correction(
        who.strip(), why.strip(), datetime.now(UTC).isoformat(timespec="seconds"), focus_um, sigma_um
    )
    entries = [asdict(entry) for entry in (*_read_all(stack_path), correction)]
    path = correction_path(stack_path)
    try:
        write_whole(path, (json.dumps(entries, indent=2, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise StackError(f"{path}: cannot be written ({error.strerror}); check folder and space") from error
    return correction


def read_correction(stack_path: Path) -> Correction | None:
    """Return the correction that counts for a stack, or None where there is none.

    Raises
    ------
    StackError
        The file is damaged.
    """
    entries = _read_all(stack_path)
    return entries[-1] if entries else None


def _read_all(stack_path: Path) -> list[Correction]:
    path = correction_path(stack_path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        found = []
        for entry in entries:
            focus = entry["focus_um"]
            found.append(
                Correction(
                    str(entry["who"]),
                    str(entry["why"]),
                    str(entry["when"]),
                    None if focus is None else float(focus),
                    float(entry.get("sigma_um", 0.0)),
                )
            )
        return found
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StackError(f"{path}: damaged ({error}); mend it by hand, it holds what people said") from error

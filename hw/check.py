"""What a look at one part of a rig has found."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Check", "Status", "guarded"]


class Status(StrEnum):
    """How one part is; a rig with a part that is missing or has failed is not fit to run."""

    ok = "ok"
    warning = "warning"
    missing = "missing"
    failed = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes
    ----------
    name : the part
    status : how it is
    seen : what was seen, in one line
    next_step : what to do about it; empty where there is nothing to do
    """

    name: str
    status: Status
    seen: str
    next_step: str = ""


def guarded(name: str, look: Callable[[], list[Check]]) -> list[Check]:
    """Look at a part; whatever goes wrong there is a finding and keeps nobody from looking at the next.

    The errors of this project carry their next step behind the last semicolon.
    """
    try:
        return look()
    # Drivers and libraries raise anything.
    except Exception as error:
        seen, _, step = " ".join(str(error).split()).rpartition("; ")
        if not seen:
            seen, step = step or type(error).__name__, "see its log or documentation"
        return [Check(name, Status.failed, seen, step)]

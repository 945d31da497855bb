"""Where the stacks of a session are in focus, at a glance: by the curves of their whole planes."""

from dataclasses import dataclass

import numpy as np

from calibration.dataset import Recorded, Session, StackEntry
from calibration.peak import NoFocusPeak, find_peak

__all__ = ["Judged", "judge", "judge_stack"]


@dataclass(frozen=True)
class Judged:
    """A recorded stack, and where it is in focus.

    Attributes
    ----------
    entry : of the manifest
    recorded : of it
    focus_um : lens position of the peak of its focus curve; None where none is to be trusted
    reason : why none is
    """

    entry: StackEntry
    recorded: Recorded
    focus_um: float | None
    reason: str = ""

    @property
    def sharpest_end(self) -> str:
        """Return 'lowest' or 'highest' where a stack without focus is sharpest in that plane, else ''."""
        best, last = int(np.argmax(self.recorded.focus_curve)), len(self.recorded.focus_curve) - 1
        if self.focus_um is not None or best not in (0, last):
            return ""
        return "lowest" if best == 0 else "highest"


def judge(session: Session) -> list[Judged]:
    """Find the focus of a session's stacks by the curves that the manifest holds."""
    return [judge_stack(entry, entry.recorded) for entry in session.stacks if entry.recorded is not None]


def judge_stack(entry: StackEntry, recorded: Recorded) -> Judged:
    """Find the focus of one of them."""
    try:
        peak = find_peak(np.array(recorded.positions_um), np.array(recorded.focus_curve))
        return Judged(entry, recorded, peak.position)
    except NoFocusPeak as error:
        return Judged(entry, recorded, None, str(error))

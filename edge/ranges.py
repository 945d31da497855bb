"""One range after the other: a network for far from focus, then one for near it (paper 4, figure 4).

A network that tells focus to a fraction of the depth of field sees no further than some tens of them, and one
that sees far is not that precise. So the widest range is asked first, and each answer brings the lens to
where the next narrower one may be asked: one frame and one move for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from edge.bundle import InputSpec, window_px
from edge.controller import OffsetPrediction
from edge.crop import cut_window
from edge.decision import AxisReading, Decision, State
from edge.focusers import Look, Method, PredictsOffsets
from edge.scan import exposed_since
from hw.config import RigConfig
from hw.errors import BundleError
from hw.frame import Frame

__all__ = ["FocusRange", "RangesFocuser"]

# The narrowest range may be asked so often until its own answer is small.
MOST_LOOKS = 4
# An answer within so many of its own standard deviations is no reason to look again.
SIGMAS = 2.0


@dataclass(frozen=True)
class FocusRange:
    """A network and how far it may be believed.

    Attributes
    ----------
    name : for people
    predictor : a bundle ready to run
    spec : the network's input
    range_um : offsets that it was trained on lie between plus and minus this
    """

    name: str
    predictor: PredictsOffsets
    spec: InputSpec
    range_um: float


class RangesFocuser:
    """Focus by ranges, from the widest to the narrowest; one range alone is fine.

    Locked is what the narrowest range confirms with a frame taken after its move. An answer beyond a
    range's training is not believed: a narrower range then hands back to the widest, once; the widest gives
    up. So does the narrowest whose answers do not get small.

    Parameters
    ----------
    config : the rig file
    ranges : each wider than the next
    confirm : look again after the narrowest range's move; without, its first answer is the last word, which
        is one frame and one move for each range (paper 4)

    Raises
    ------
    BundleError
        No range, or one that is not narrower than the one before.
    """

    method: Method = "network"

    def __init__(self, config: RigConfig, ranges: Sequence[FocusRange], *, confirm: bool = True) -> None:
        if not ranges:
            raise BundleError("no range to focus by; give at least one bundle")
        for wide, narrow in pairwise(ranges):
            if narrow.range_um >= wide.range_um:
                raise BundleError(
                    f"bundle '{narrow.name}' sees +-{narrow.range_um:g} um and '{wide.name}' before it "
                    f"+-{wide.range_um:g} um: ranges must get narrower; give them in the other order"
                )
        self._config = config
        self._ranges = tuple(ranges)
        self._confirm = confirm
        self.gave_up = False
        self._why = ""
        self._restart()
        self._handed_back = False
        self._commanded_s = 0.0
        self._target: float | None = None

    def start(self, now: float) -> None:
        """Begin at time `now` in seconds."""
        self._commanded_s = now

    def look(self, frame: Frame, axis: AxisReading, now: float) -> Look:
        """Look at one frame and decide; `axis` is the axis at `now`."""
        if axis.fault is not None:
            return Look(Decision("fault", None, axis.fault, "fault"))
        if self.gave_up:
            return Look(Decision("hold", None, self._why, "lost"))
        if axis.moving or not exposed_since(frame, self._commanded_s):
            state: State = "locked" if self._locked else "locking"
            return Look(Decision("wait", None, "no frame since the lens settled", state))
        chosen = self._ranges[self._number]
        height, width = frame.pixels.shape[:2]
        wanted = window_px(chosen.spec, self._config.optics.um_per_px)
        size = (min(wanted[0], width), min(wanted[1], height))
        window, box = cut_window(frame.pixels, (width / 2, height / 2), size)
        prediction = chosen.predictor.predict(window)
        decision = self._decide(chosen, prediction, frame, axis)
        if decision.target_steps is not None:
            self._commanded_s, self._target = now, decision.target_steps
        look = Look(decision, box, window=window)
        look.offset_um, look.sigma_um = prediction.offset_um, prediction.sigma_um
        look.in_range, look.note = prediction.in_range, chosen.name
        look.plane_um = frame.lens_steps * self._config.axis.um_per_step + prediction.offset_um
        return look

    def rest_steps(self) -> float | None:
        """Return where the last answer has sent the lens: a run may end before it is there."""
        return self._target if self._locked else None

    def _restart(self) -> None:
        self._number, self._looks, self._locked = 0, 0, False

    def _decide(
        self, chosen: FocusRange, prediction: OffsetPrediction, frame: Frame, axis: AxisReading
    ) -> Decision:
        offset_um = prediction.offset_um
        target = frame.lens_steps + offset_um / self._config.axis.um_per_step
        if not prediction.in_range:
            said = f"'{chosen.name}' says {offset_um:+.3g} um, beyond its +-{chosen.range_um:g} um"
            if self._number > 0 and not self._handed_back:
                self._restart()
                self._handed_back = True
                return Decision("hold", None, f"{said}: asking '{self._ranges[0].name}' again", "locking")
            return self._give_up(said)
        if axis.clamp(target) != target:
            return self._give_up(f"'{chosen.name}' says {offset_um:+.3g} um, past the axis's limits")
        if self._number < len(self._ranges) - 1:
            self._number += 1
            return Decision("move", target, f"'{chosen.name}' says {offset_um:+.3g} um", "locking")
        return self._settle(chosen, prediction, target)

    def _settle(self, chosen: FocusRange, prediction: OffsetPrediction, target: float) -> Decision:
        """Follow the narrowest range, until its answer is as small as it can tell."""
        size_um, dof_um = abs(prediction.offset_um), self._config.optics.dof_um
        control = self._config.control
        within_um = max(control.lock_within_dof * dof_um, SIGMAS * (prediction.sigma_um or 0.0))
        said = f"'{chosen.name}' says {prediction.offset_um:+.3g} um"
        if size_um <= within_um or not self._confirm:
            self._locked, self._looks, self._handed_back = True, 0, False
            if size_um <= control.dead_band_dof * dof_um:
                return Decision("hold", None, said, "locked")
            return Decision("move", target, said, "locked")
        self._locked = False
        self._looks += 1
        if self._looks >= MOST_LOOKS:
            return self._give_up(f"{said} after {self._looks} looks: its answers do not get small")
        return Decision("move", target, said, "locking")

    def _give_up(self, why: str) -> Decision:
        self.gave_up, self._why = True, why
        return Decision("hold", None, why, "lost")

"""Visit the wells of a plate: focus at each, then record a z-stack of its beads (paper 4, figures S4 and S5).

Nothing here depends on how the focusing works: it is any function that leaves the lens where it thinks focus
is. Each well's stack says where that was, so that a folder of stacks is all that there is to know.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calibration.acquire import acquire_stack, move_stage_and_rest
from calibration.plate_layout import PlateLayout, Snake, Well
from calibration.stack import STACK_SUFFIX, write_stack
from calibration.truth import known_focus_um
from hw.errors import ConfigError, StackError
from hw.rig import Rig
from hw.whole_file import write_whole

__all__ = ["Depth", "FocusOutcome", "Visit", "begin_folder", "visit_plate"]

PLAN_FILE = "plate.txt"


class FocusOutcome(Protocol):
    """What is needed of `edge.loop.FocusResult`."""

    @property
    def focused(self) -> bool | None:
        """Whether focus was found, and the lens stands there; None where none was looked for."""

    @property
    def reason(self) -> str:
        """Why, or why not."""

    @property
    def seconds(self) -> float:
        """How long it took, s."""

    @property
    def frames(self) -> int:
        """How many frames it looked at."""


Autofocus = Callable[[], FocusOutcome]


@dataclass(frozen=True)
class Depth:
    """How deep a well's stack is: `span_um` about where the lens stands, planes `step_um` apart.

    Raises
    ------
    StackError
        Too few planes.
    """

    span_um: float = 8.0
    step_um: float = 0.2

    def __post_init__(self) -> None:
        if not (math.isfinite(self.span_um) and 0 < self.step_um <= self.span_um / 4):
            raise StackError(
                f"a stack of {self.span_um:g} um in steps of {self.step_um:g} um has too few planes for a "
                "peak; choose others"
            )

    def positions_um(self, middle_um: float) -> NDArray[np.float64]:
        """Lens positions, ascending, the middle among them, um."""
        half = math.floor(self.span_um / 2 / self.step_um + 1e-9)
        return middle_um + self.step_um * np.arange(-half, half + 1, dtype=np.float64)


@dataclass(frozen=True)
class Visit:
    """What became of one well: its stack, what the autofocus said of it, and why.

    `focused` is None where it said nothing; `new` is False for a stack that was there already.
    """

    well: Well
    path: Path
    focused: bool | None = None
    reason: str = ""
    new: bool = True


def begin_folder(folder: Path, plan: str) -> None:
    """Make a folder for a plate's stacks, or go on with one of the same plan.

    Raises
    ------
    ConfigError
        It cannot be written, or holds the stacks of another plan.
    """
    path, text = folder / PLAN_FILE, f"{plan}\n".encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_whole(path, text)
        elif path.read_bytes() != text:
            raise ConfigError(
                f"{folder}: holds the stacks of another plan ({PLAN_FILE}); choose a new folder"
            )
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written to ({error.strerror}); choose another") from error


def visit_plate(
    rig: Rig,
    layout: PlateLayout,
    snake: Snake,
    autofocus: Autofocus,
    folder: Path,
    *,
    depth: Depth | None = None,
    begin: Autofocus | None = None,
    dwell_s: float = 0.0,
) -> Iterator[Visit]:
    """Focus at every well and record its beads with the rig's imaging camera.

    Wells whose stack is there are left out, so that a visit that was cut short goes on.

    Parameters
    ----------
    rig : open, with a stage and an imaging camera
    layout, snake : the wells and the way over them
    autofocus : focuses once with whatever there is, and leaves the lens there
    folder : for the stacks, NAME.ome.tif for each well
    depth : of the stacks
    begin : focuses the first well that is visited, as an operator would, before the autofocus is asked
    dwell_s : time spent at each well after its stack, as an experiment would, s

    Yields
    ------
    Visit
        One for each well.

    Raises
    ------
    ConfigError
        The rig lacks stage or imaging camera.
    StackError
        The beginning found no focus.
    AxisFault, CameraStalled
        As `acquire_stack`; a place past the stage's limits.
    """
    imaged = rig.imaged()
    depth = depth or Depth()
    if rig.stage is None:
        raise ConfigError(f"rig '{rig.config.name}' has no stage to visit wells with; add a section 'stage'")
    for well in layout.way(snake):
        path = folder / f"{well.name}{STACK_SUFFIX}"
        if path.exists():
            yield Visit(well, path, new=False)
            continue
        move_stage_and_rest(rig, *layout.place_um(well))
        if begin is not None:
            first, begin = begin(), None
            if not first.focused:
                raise StackError(f"well {well.name}: no focus to begin with: {first.reason}; search wider")
        outcome = autofocus()
        lens_um = rig.axis.position_steps * rig.axis.um_per_step
        truth_um = known_focus_um(rig)
        stack = acquire_stack(imaged, depth.positions_um(lens_um) / rig.axis.um_per_step, specimen=well.name)
        notes = {
            "well": well.name,
            "snake": snake,
            "autofocus_um": f"{lens_um:.4f}",
            "reason": outcome.reason,
            "focusing_s": f"{outcome.seconds:.3f}",
            "focusing_frames": str(outcome.frames),
        }
        if outcome.focused is not None:
            notes["focused"] = "yes" if outcome.focused else "no"
        if truth_um is not None:
            notes["true_offset_um"] = f"{truth_um - lens_um:.4f}"
        write_stack(path, replace(stack, notes={**stack.notes, **notes}))
        # Back to where the autofocus had put it: the next well begins from there.
        rig.axis.move_to(lens_um / rig.axis.um_per_step)
        rig.clock.sleep(dwell_s)
        yield Visit(well, path, outcome.focused, outcome.reason)

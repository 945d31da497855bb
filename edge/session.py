"""A session folder: what a run saw, decided and did, written while it happens."""

import csv
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import yaml
from numpy.typing import NDArray

from edge.bundle import FocusCard
from edge.decision import State
from edge.figures import STAGES, RunFigures, Step
from hw.config import RigConfig
from hw.errors import ConfigError

__all__ = ["COLUMNS", "Session"]

COLUMNS = (
    "index",
    "exposure_start_s",
    "exposure_s",
    "decided_s",
    "lens_steps",
    "lens_moving",
    "axis_steps",
    "axis_target_steps",
    "axis_moving",
    "box_x",
    "box_y",
    "box_width",
    "box_height",
    "offset_um",
    "sigma_um",
    "in_range",
    "subject_seen",
    "sharpness",
    "note",
    "plane_um",
    "trim_um",
    "state",
    "action",
    "target_steps",
    "reason",
    *(f"{stage}_ms" for stage in STAGES),
    "true_focus_steps",
)
"""Columns of frames.csv. Instants are seconds on the rig's clock; an empty cell is unknown.

What a decision depends on is written without rounding, so that it can be taken again from the table: with the
limits in rig.yaml and, in events.jsonl, the time of the start.
"""


class Session:
    """Writes a session folder: the rig file, the bundle's card, frames and events; figures and picture last.

    Every line is flushed as it is written, so that a crash loses the last one at most. Use it as a context
    manager; leaving it by an exception is noted in events.jsonl.

    Parameters
    ----------
    folder : created; it must not exist, or be empty
    config : the rig file
    card : the bundle's card, for the methods that use one
    notice : SIMULATED or REPLAYED, repeated in the picture; empty on hardware

    Raises
    ------
    ConfigError
        The folder holds something already, or cannot be made.
    """

    def __init__(self, folder: Path, config: RigConfig, card: FocusCard | None, notice: str = "") -> None:
        self.folder = folder
        self._config, self._notice = config, notice
        rig = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise ConfigError(
                    f"{folder}: not empty, and a session is never overwritten; name a new folder"
                )
            (folder / "rig.yaml").write_text(rig, encoding="utf-8")
            if card is not None:
                (folder / "focus.json").write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
            self._frames = (folder / "frames.csv").open("w", newline="", encoding="utf-8")
            self._events = (folder / "events.jsonl").open("w", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be made ({error.strerror}); name another folder") from error
        self._table = csv.writer(self._frames)
        self._table.writerow(COLUMNS)
        self._state: State | None = None
        self._last_s: float | None = None
        self._first: NDArray[np.uint8] | None = None
        self._locked: NDArray[np.uint8] | None = None

    def record(self, step: Step) -> None:
        """Write one step, and an event when the state has changed."""
        frame, look, decision = step.frame, step.look, step.look.decision
        if self._state is None:
            self._event(step.start_s, "start", notice=self._notice)
        if decision.state != self._state:
            self._event(step.now_s, "state", state=decision.state, before=self._state, reason=decision.reason)
            self._state = decision.state
        self._last_s = step.now_s
        self._table.writerow(
            [
                frame.index,
                _exact(frame.exposure_start_s),
                _exact(frame.exposure_s),
                _exact(step.now_s),
                _exact(frame.lens_steps),
                int(frame.lens_moving),
                _exact(step.axis.position_steps),
                _exact(step.axis.target_steps),
                int(step.axis.moving),
                *(look.box if look.box is not None else ("",) * 4),
                _exact(look.offset_um),
                _exact(look.sigma_um),
                _flag(look.in_range),
                _flag(look.subject_seen),
                _exact(look.sharpness),
                look.note,
                _cell(look.plane_um, 2),
                _cell(look.trim_um, 2),
                decision.state,
                decision.action,
                _exact(decision.target_steps),
                decision.reason,
                *(_cell(getattr(look.stages, stage) * 1e3, 3) for stage in STAGES),
                _cell(step.truth_steps, 3),
            ]
        )
        self._frames.flush()
        # Copies, for a window is a view into its frame.
        if self._first is None and look.window is not None:
            self._first = look.window.copy()
        if self._locked is None and look.window is not None and decision.state == "locked":
            self._locked = look.window.copy()

    @property
    def size_bytes(self) -> int:
        """Size of what has been written so far, and grows."""
        return os.fstat(self._frames.fileno()).st_size + os.fstat(self._events.fileno()).st_size

    def end(self, figures: RunFigures, reason: str = "finished") -> None:
        """Write figures.json and the last event."""
        self._event(self._last_s, "end", reason=reason)
        text = json.dumps(figures.as_dict(), indent=2) + "\n"
        (self.folder / "figures.json").write_text(text, encoding="utf-8")

    def finish(self, figures: RunFigures) -> Path:
        """Write figures.json, the last event and summary.png; return the picture's path."""
        from edge.summary import draw_summary, read_history

        self.end(figures)
        picture = self.folder / "summary.png"
        history = read_history(self.folder, self._config)
        draw_summary(
            picture,
            history,
            self._config,
            figures,
            first=self._first,
            locked=self._locked,
            notice=self._notice,
        )
        return picture

    def close(self) -> None:
        """Close the files; closing twice is fine."""
        self._frames.close()
        self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._event(self._last_s, "end", reason=f"{kind.__name__}: {error}".rstrip(": "))
        self.close()

    def _event(self, clock_s: float | None, event: str, **values: Any) -> None:
        self._events.write(json.dumps({"clock_s": clock_s, "event": event, **values}) + "\n")
        self._events.flush()


def _cell(value: float | None, digits: int) -> str:
    """Write a number for the table: rounded, and empty when unknown."""
    return "" if value is None or value != value else f"{value:.{digits}f}"


def _exact(value: float | None) -> str:
    """Write a number for the table so that reading it gives the very same number."""
    return "" if value is None else repr(float(value))


def _flag(value: bool | None) -> str:
    return "" if value is None else str(int(value))

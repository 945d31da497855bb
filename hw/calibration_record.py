"""The `calibration` section of a rig file: what was measured on the rig, when, and what it replaced."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import Field

from hw.section import Section

__all__ = ["CalibrationRecord", "Change", "Value"]

Value = bool | float | str | None


class Change(Section):
    """A key of the rig file: its value before, null where it was absent, and since."""

    before: Value
    now: Value


class CalibrationRecord(Section):
    """One calibration.

    Attributes
    ----------
    date : when, with its time zone
    by : the command
    notice : 'SIMULATED' for a simulated rig; empty on hardware
    changed : keys of the rig file that it set, such as `axis.backlash_steps`
    found : what was measured, with standard deviations
    """

    date: datetime
    by: str
    notice: str = ""
    changed: Mapping[str, Change] = Field(default_factory=dict)
    found: Mapping[str, Value] = Field(default_factory=dict)

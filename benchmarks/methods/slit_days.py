"""Stacks of single days of the rig slit_laser_sim, as paper 4 records them: many of one alignment."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from calibration.dataset import MANIFEST, write_dataset
from calibration.dataset_check import adopt
from calibration.label import Label, write_label
from calibration.stack import STACK_SUFFIX, ZStack, write_stack
from hw.config import RigConfig, load_rig
from hw.simulation.rig import sample_of

__all__ = ["RANGES", "Range", "write_day"]

RECORDING_S = 3 * 3600.0
"""What recording a training set takes (paper 4, "This image data acquisition takes about 3 hours")."""


@dataclass(frozen=True)
class Range:
    """One of the two ranges of the slit laser.

    Attributes
    ----------
    recipe : shipped recipe that it is learnt by
    range_um : offsets lie between plus and minus this
    window_um : side of what is seen of the camera's picture
    paper : what paper 4 reports of it
    """

    recipe: str
    range_um: float
    window_um: float
    paper: str


RANGES = {
    "short": Range("slit_short", 10.0, 33.6, "about 0.1 um or better on the same day (figure 3)"),
    "long": Range("slit_long", 110.0, 67.2, "below 1 um over most of the range on the same day (figure 3)"),
}


def write_day(
    folder: Path, wanted: Range, day: int, numbers: range, planes: int, *, later: bool = False
) -> Path:
    """Record stacks of a day, unless they are there: each at a time of its own, at a place of its own.

    A day is a seed of the rig: an alignment, and how it drifts, with dust, ghosts and fringes of its own.
    Offsets are drawn one in each equal part of the range. The folder gets a manifest with the day.

    Parameters
    ----------
    folder : for this day's folder
    wanted : range of offsets, and what is seen
    day : seed of the rig
    numbers : of the stacks; a stack's number is its name and the seed of what is random in it
    planes : in each stack
    later : in the three hours after those of the recording

    Returns
    -------
    Path
        Of the day's folder with these stacks.
    """
    home = folder / f"day-{day:05d}-{numbers.start:03d}-{numbers.stop:03d}"
    if (home / MANIFEST).is_file():
        return home
    home.mkdir(parents=True, exist_ok=True)
    rig = _seen(load_rig("slit_laser_sim"), wanted)
    sample = sample_of(rig, seed=day)
    assert sample is not None
    assert rig.stage is not None
    edges = np.linspace(-wanted.range_um, wanted.range_um, planes + 1)
    for number in numbers:
        rng = np.random.default_rng([day, number])
        t = float(rng.uniform(0, RECORDING_S)) + RECORDING_S * later
        place = (
            float(rng.uniform(rig.stage.min_x_um, rig.stage.max_x_um)),
            float(rng.uniform(rig.stage.min_y_um, rig.stage.max_y_um)),
        )
        focus_um = sample.focus_um(t, place)
        assert focus_um is not None
        positions = focus_um - rng.uniform(edges[:-1], edges[1:])
        images = np.stack(
            [sample.sensor.develop(sample.intensity(t, place, float(z)), 1, binned=False) for z in positions]
        )
        name = f"day-{day:05d}-{number:03d}"
        notes = {"rig": rig.name, "seed": str(day), "simulated": "yes"}
        path = home / f"{name}{STACK_SUFFIX}"
        write_stack(
            path, ZStack(np.ascontiguousarray(images[..., 0]), positions, rig.optics.um_per_px, name, notes)
        )
        write_label(path, Label(focus_um, 0.0, "known by construction", {"seed": str(day)}))
    # Days are counted, and dates look like days.
    named = date(2026, 1, 1) + timedelta(days=day)
    write_dataset(home, adopt(home, None, day=named.isoformat()))
    return home


def _seen(rig: RigConfig, wanted: Range) -> RigConfig:
    """Return the rig with a camera that shows the middle of its picture only."""
    side = round(wanted.window_um / rig.optics.um_per_px)
    return rig.model_copy(
        update={"camera": rig.camera.model_copy(update={"width_px": side, "height_px": side})}
    )

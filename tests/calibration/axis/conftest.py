"""A small simulated rig over a still target, quick to render, whose axis may differ from its rig file."""

from collections.abc import Callable
from typing import Any

import pytest

from hw.config import RigConfig, load_rig

MakeRig = Callable[..., RigConfig]


@pytest.fixture(scope="session")
def target_rig() -> MakeRig:
    """Build a rig over a short dead worm; arguments go to `simulation.axis`."""

    def make(**truth: Any) -> RigConfig:
        rig = load_rig("target_sim")
        section: Any = rig.simulation
        optics = section.optics.model_copy(update={"source_points": 6, "source_points_per_mm": 0})
        worm = section.worm.model_copy(update={"length_um": 260.0, "diameter_um": 60.0})
        axis = section.axis.model_copy(update={"backlash_steps": 6.0, "start_offset_steps": 30.0, **truth})
        camera = rig.camera.model_copy(update={"width_px": 320, "height_px": 320})
        control = rig.control.model_copy(update={"search_span_um": 1600.0})
        section = section.model_copy(update={"optics": optics, "worm": worm, "axis": axis})
        return rig.model_copy(update={"simulation": section, "camera": camera, "control": control})

    return make

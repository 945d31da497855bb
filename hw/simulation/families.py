"""The families of simulated rigs: what the `simulation` section of a rig file may be, by its `specimen`."""

from typing import Annotated

from pydantic import Discriminator, Tag

from hw.simulation.beads_config import BeadsConfig
from hw.simulation.config import SimulationConfig
from hw.simulation.slide_config import SlideConfig
from hw.simulation.slit_config import SlitLaserConfig
from hw.simulation.yeast_config import YeastConfig

__all__ = ["SimulationSection"]


def _specimen(value: object) -> str:
    """Rigs follow a worm unless their file says otherwise."""
    named = value.get("specimen", "worm") if isinstance(value, dict) else getattr(value, "specimen", "worm")
    return str(named)


SimulationSection = Annotated[
    Annotated[SimulationConfig, Tag("worm")]
    | Annotated[SlideConfig, Tag("slide")]
    | Annotated[SlitLaserConfig, Tag("slit_laser")]
    | Annotated[BeadsConfig, Tag("beads")]
    | Annotated[YeastConfig, Tag("yeast")],
    Discriminator(_specimen),
]

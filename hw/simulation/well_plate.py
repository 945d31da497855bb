"""How high the cover glass of a multiwell plate lies, well by well."""

import math

import numpy as np

from hw.simulation.config import draw
from hw.simulation.slit_config import WellPlateConfig

__all__ = ["WellPlate"]


class WellPlate:
    """The height of a plate: tilt, bowl, one step for each well, and a slow creep of all.

    Parameters
    ----------
    config : the rig file's `simulation.plate`
    rng : what is random is drawn from it
    """

    def __init__(self, config: WellPlateConfig, rng: np.random.Generator) -> None:
        self._config = config
        self._tilt = draw(rng, config.tilt_x_um), draw(rng, config.tilt_y_um)
        self._bowl_um = draw(rng, config.bowl_um)
        self._steps_um = rng.normal(0, draw(rng, config.well_um), (config.rows, config.columns))
        self._creep_um = draw(rng, config.creep_um)
        self._creep_period_s = draw(rng, config.creep_period_s)
        self._creep_phase = rng.uniform(0, 2 * math.pi)

    def well(self, place_um: tuple[float, float]) -> tuple[int, int]:
        """Row and column of the well nearest to a place, (x, y) in um from the plate's middle."""
        c = self._config
        column = round(place_um[0] / c.pitch_um + (c.columns - 1) / 2)
        row = round(place_um[1] / c.pitch_um + (c.rows - 1) / 2)
        return min(max(row, 0), c.rows - 1), min(max(column, 0), c.columns - 1)

    def height_um(self, t: float, place_um: tuple[float, float]) -> float:
        """Height at a place, um, at time `t` in seconds; the middle's is 0 but for its step and the creep."""
        c = self._config
        # From -1 at the first row or column to 1 at the last.
        x, y = (
            2 * place / (c.pitch_um * max(1, count - 1))
            for place, count in zip(place_um, (c.columns, c.rows), strict=True)
        )
        smooth = (self._tilt[0] * x + self._tilt[1] * y + self._bowl_um * (x * x + y * y)) / 2
        creep = self._creep_um * math.sin(2 * math.pi * t / self._creep_period_s + self._creep_phase)
        return smooth + float(self._steps_um[self.well(place_um)]) + creep

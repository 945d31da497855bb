"""How high a section lies over the slide: tilt, bend, unevenness, and folds in some places."""

import math

import numpy as np
from numpy.typing import NDArray

from hw.simulation.config import draw
from hw.simulation.field import draw_slope
from hw.simulation.slide_config import ReliefConfig
from hw.simulation.slide_noise import RepeatingNoise

__all__ = ["Relief"]

# Every fine structure has at least so many points of noise to a grain.
POINTS_PER_GRAIN = 5


class Relief:
    """Heights of the section's middle in um, as lens positions that focus it; about 0 at the slide's middle.

    Parameters
    ----------
    config : the rig file's `simulation.relief`
    extent_um : side of the square that is drawn
    rng : what is random is drawn from it
    """

    def __init__(self, config: ReliefConfig, extent_um: float, rng: np.random.Generator) -> None:
        self._slope = draw_slope(rng, config.tilt_rad)

        def noise(grain_um: float) -> RepeatingNoise:
            points = math.ceil(extent_um / grain_um * POINTS_PER_GRAIN)
            return RepeatingNoise(rng, points, extent_um / points, grain_um)

        self._warp, self._warp_um = noise(config.warp_grain_um), draw(rng, config.warp_um)
        self._wave, self._wave_um = noise(config.wave_grain_um), draw(rng, config.wave_um)
        self._folds, self._fold_um = noise(config.fold_grain_um), draw(rng, config.fold_um)
        self._folded = noise(config.fold_grain_um)
        share = draw(rng, config.fold_share)
        self._fold_from = float(np.quantile(self._folded.values, 1 - share)) if share > 0 else math.inf
        # Across a zero of unit noise with this grain, values change by about 4 per grain.
        self._fold_width = config.fold_width_um * 4 / config.fold_grain_um / 2

    def height_um(self, x_um: NDArray[np.float32], y_um: NDArray[np.float32]) -> NDArray[np.float32]:
        """Heights at places, (H, W) um."""
        height = self._slope[0] * x_um + self._slope[1] * y_um
        height = height + self._warp_um * self._warp.at(x_um, y_um)
        height += self._wave_um * self._wave.at(x_um, y_um)
        ridge = np.exp(-np.square(self._folds.at(x_um, y_um) / np.float32(self._fold_width)))
        inside = np.clip((self._folded.at(x_um, y_um) - np.float32(self._fold_from)) * 4, 0, 1)
        return np.asarray(height + self._fold_um * ridge * inside, np.float32)

"""Yeast cells in a growth chamber under a high-aperture oil objective, in brightfield (paper 3).

Cells are phase objects: contrast is least where they are in focus, and what contrast measures call sharp lies
to either side. So true focus is known by construction: the lens position that focuses, by geometrical optics,
the plane of the middles of the cells that lie on the chamber's floor, in the middle of the field.

What is simplified:

- All cells' middles lie in that plane but for a scatter, whatever their size.
- The chamber's tilt moves the plane as the stage goes, but each field is rendered untilted.
- The camera is monochrome and sees the first band; cells stand still and do not grow.
"""

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hw.config import RigConfig
from hw.simulation.config import draw
from hw.simulation.field import draw_slope, uneven_light
from hw.simulation.grey_sensor import GreySensor
from hw.simulation.oblique import ObliqueWaves, image_of, send_through
from hw.simulation.optics import Lens, Slice
from hw.simulation.sensor import Sensor
from hw.simulation.yeast_cells import YeastCells, slice_of
from hw.simulation.yeast_config import YeastConfig

__all__ = ["YeastChamber"]

LENS_STREAM, CHAMBER_STREAM, SENSOR_STREAM = 0, 1, 2
DAY_S = 86400.0


class YeastChamber:
    """A chamber of cells under one microscope; see `hw.simulation.sample.Sample`.

    Parameters
    ----------
    rig, section : the rig file and its checked `simulation` section
    seed : of everything drawn
    """

    def __init__(self, rig: RigConfig, section: YeastConfig, seed: int) -> None:
        lens_rng, rng, sensor_rng = (
            np.random.default_rng([seed, stream]) for stream in (LENS_STREAM, CHAMBER_STREAM, SENSOR_STREAM)
        )
        chamber = section.chamber
        self._section = section
        self._finer = section.oversampling
        self.lens = Lens(section.optics, rig.optics.um_per_px / self._finer, lens_rng)
        self.cells = YeastCells(section.cells, chamber, seed)
        self.sensor: Sensor = GreySensor(section.sensor, sensor_rng, follows_peak=False)
        self._size = (rig.camera.width_px, rig.camera.height_px)
        wanted = max(self._size) * self._finer + 2 * section.margin_um / self.lens.grid_um
        self._side = cv2.getOptimalDFTSize(math.ceil(wanted / 2)) * 2
        self._slope = draw_slope(rng, chamber.tilt_rad)
        self._drift_um_s = float(rng.choice([-1.0, 1.0])) * draw(rng, chamber.drift_um_day) / DAY_S
        self._sway_um = draw(rng, chamber.sway_um)
        self._sway_rad_s = 2 * math.pi / draw(rng, chamber.sway_period_s)
        self._sway_phase = rng.uniform(0, 2 * math.pi)
        self._light = uneven_light(self._size, draw(rng, chamber.unevenness))
        self._waves = lru_cache(2)(self._make_waves)

    def intensity(self, t: float, place_um: tuple[float, float], lens_um: float) -> NDArray[np.float32]:
        """Noise-free image, (height_px, width_px, 3) of the rig's camera; 1 is the empty field."""
        width, height = self._size
        defocus = lens_um - self.plane_um(t, place_um)
        image = image_of(self.lens, self._waves(place_um), defocus)
        rows, columns = height * self._finer, width * self._finer
        top, left = (self._side - rows) // 2, (self._side - columns) // 2
        image = image[top : top + rows, left : left + columns]
        if self._finer > 1:
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA), np.float32)
        return np.repeat((image * self._light)[..., None], 3, axis=2)

    def plane_um(self, t: float, place_um: tuple[float, float]) -> float:
        """Lens position in um that focuses the middles of the cells on the floor, by geometrical optics."""
        sway = math.sin(self._sway_rad_s * t + self._sway_phase) - math.sin(self._sway_phase)
        slope = self._slope[0] * place_um[0] + self._slope[1] * place_um[1]
        return slope + self._drift_um_s * t + self._sway_um * sway

    def focus_um(self, t: float, place_um: tuple[float, float]) -> float:
        """Lens position in um of true focus, which is that plane."""
        return self.plane_um(t, place_um)

    def _make_waves(self, place_um: tuple[float, float]) -> ObliqueWaves:
        grid, side, thick = self.lens.grid_um, self._side, self._section.slice_um
        reach = side / 2 * grid
        bodies = self.cells.near(place_um, reach)
        origin = (place_um[0] - side // 2 * grid, place_um[1] - side // 2 * grid)
        low = min((b.middle_um[2] - b.half_um[2] for b in bodies), default=0.0)
        high = max((b.middle_um[2] + b.half_um[2] for b in bodies), default=thick)
        slices = []
        for number in range(max(1, math.ceil((high - low) / thick))):
            bottom = low + number * thick
            path, dark = slice_of(bodies, (bottom, bottom + thick), origin, side, grid)
            slices.append(Slice(bottom + thick / 2, path, dark[None]))
        top = slices[-1].height_um
        return send_through(self.lens, slices, self._section.chamber.medium_index, 0.0, top)

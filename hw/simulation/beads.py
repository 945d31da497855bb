"""Control beads on a slide under a brightfield microscope of low aperture, drawn from a seed (paper 5).

A bead is a ball lens: dark around a bright centre that is brightest, and falls off steepest, some tens of um
above the bead's middle, where the light that the bead gathers comes to its narrowest. That is where paper 5
puts its reference plane, and so do we: true focus is the mean of the two lens positions at which

- the radial profile of a bead's noise-free image falls steepest (its derivative with radius is lowest), and
- the centre of that profile, one camera pixel from the middle, is brightest,

for the lot's nominal bead, alone, at the height of a bead that lies as it should, in the middle of the field.

What is simplified:

- Everything is rendered in a window of its own, at its own height. What windows share is the product of
  their intensities: light that two things scatter does not interfere, unless they are beads that touch.
- A camera pixel sees the intensity at its middle; the camera is monochrome and sees the first band.
- Heights count as the lens's way; the medium's refractive index, which shortens them, is left out.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hw.config import RigConfig
from hw.simulation.bead_things import Bead, Speck, Things, bead_wave, speck_wave
from hw.simulation.beads_config import BeadsConfig
from hw.simulation.config import draw
from hw.simulation.field import draw_slope, uneven_light
from hw.simulation.grey_sensor import GreySensor
from hw.simulation.optics import ExitWave, Lens
from hw.simulation.sensor import Sensor

__all__ = ["BeadSlide"]

LENS_STREAM, SLIDE_STREAM, SENSOR_STREAM = 0, 1, 2
# Windows fade into the empty field over this share of their side.
FADE = 0.1
# The nominal bead's profile is taken from images on a grid this much finer, in rings this wide (px).
FINER, RING_PX = 3, 0.25
# Its highest values are looked for at so many places to either side, then between them in halved steps.
SCAN, REFINEMENTS = 8, 3


class BeadSlide:
    """A slide of beads under one microscope; see `hw.simulation.sample.Sample`.

    Parameters
    ----------
    rig, section : the rig file and its checked `simulation` section
    seed : of everything drawn
    """

    def __init__(self, rig: RigConfig, section: BeadsConfig, seed: int) -> None:
        self._size = (rig.camera.width_px, rig.camera.height_px)
        self._side = section.window_px
        self._section = section
        self._seed = seed
        self._um_per_px = rig.optics.um_per_px
        self.lens = self._make_lens(1)
        self.things = Things(section.beads, section.slide, seed)
        rng = np.random.default_rng([seed, SLIDE_STREAM])
        self._slope = draw_slope(rng, section.slide.tilt_rad)
        self._drift_um_s = float(rng.choice([-1.0, 1.0])) * draw(rng, section.slide.drift_um_s)
        self._light = uneven_light(self._size, draw(rng, section.slide.unevenness))
        rng = np.random.default_rng([seed, SENSOR_STREAM])
        level = draw(rng, section.sensor.background_level)
        brighter = rig.camera.exposure_s / section.background_exposure_s
        # Past white is a thing that a long exposure does; only a rig file may not ask for it.
        sensor = section.sensor.model_copy(update={"background_level": level * brighter})
        self.sensor: Sensor = GreySensor(sensor, rng, follows_peak=False)
        self._empty = self.lens.image(self._nothing(), 0.0)[0, 0, 0]
        self._waves = lru_cache(4)(self._make_waves)
        self._nominal: tuple[float, float] | None = None

    def intensity(self, t: float, place_um: tuple[float, float], lens_um: float) -> NDArray[np.float32]:
        """Noise-free image, (height_px, width_px, 3) of the rig's camera; 1 is the empty field."""
        width, height = self._size
        image = np.ones((height, width), np.float32)
        drift = self._drift_um_s * t
        for column, row, height_um, wave in self._waves(place_um):
            side = wave.shape[0]
            seen = self.lens.image(wave, lens_um - height_um - drift)[..., 0] / self._empty
            seen = 1 + (seen - 1) * _window_fade(side)
            top, left = row - side // 2, column - side // 2
            y0, y1 = max(top, 0), min(top + side, height)
            x0, x1 = max(left, 0), min(left + side, width)
            if y0 < y1 and x0 < x1:
                image[y0:y1, x0:x1] *= seen[y0 - top : y1 - top, x0 - left : x1 - left]
        return np.repeat((image * self._light)[..., None], 3, axis=2)

    def plane_um(self, t: float, place_um: tuple[float, float]) -> float:
        """Lens position in um that focuses the middles of well-seated beads in the middle of the field."""
        slope = self._slope
        return slope[0] * place_um[0] + slope[1] * place_um[1] + self._drift_um_s * t

    def focus_um(self, t: float, place_um: tuple[float, float]) -> float:
        """Lens position in um of the reference plane, the mean of the two features'."""
        return sum(self.reference_planes_um(t, place_um)) / 2

    def reference_planes_um(self, t: float, place_um: tuple[float, float]) -> tuple[float, float]:
        """Lens positions in um where the nominal bead falls off steepest, and where it is brightest.

        Their mean is the reference plane.
        """
        if self._nominal is None:
            self._nominal = self._find_reference_planes()
        plane = self.plane_um(t, place_um)
        return plane + self._nominal[0], plane + self._nominal[1]

    def _make_lens(self, finer: int) -> Lens:
        # From the same stream, so that it is the same lens.
        rng = np.random.default_rng([self._seed, LENS_STREAM])
        optics = self._section.optics
        return Lens(optics, self._um_per_px * optics.grid_px / finer, rng)

    def _make_waves(self, place_um: tuple[float, float]) -> list[tuple[int, int, float, ExitWave]]:
        """Column and row of a window's middle, height of what is in it in um, and its wave."""
        width, height = self._size
        grid = self.lens.grid_um
        reach = tuple(size / 2 * grid + self._side / 2 * grid for size in self._size)
        waves = []
        for thing in self.things.near(place_um, (reach[0], reach[1])):
            x = (thing.x_um - place_um[0]) / grid + width / 2
            y = (thing.y_um - place_um[1]) / grid + height / 2
            column, row = round(x), round(y)
            offset = ((x - column) * grid, (y - row) * grid)
            level = self.plane_um(0.0, (thing.x_um, thing.y_um))
            if isinstance(thing, Speck):
                wave = speck_wave(self.lens, thing, offset, self._side // 2)
                # It lies on the slide, half a bead below the middle of the beads.
                level -= self.things.lot.diameter_um / 2
            else:
                wave = self._bead_wave(thing, offset)
                level += thing.height_um
            waves.append((column, row, level, wave))
        return waves

    def _bead_wave(self, bead: Bead, offset: tuple[float, float]) -> ExitWave:
        places = [offset]
        if bead.twin_um is not None:
            places.append((offset[0] + bead.twin_um[0] - bead.x_um, offset[1] + bead.twin_um[1] - bead.y_um))
        return bead_wave(self.lens, self.things.lot, bead.diameter_um, places, self._side)

    def _nothing(self) -> ExitWave:
        return bead_wave(self.lens, self.things.lot, self.things.lot.diameter_um, [], self._side)

    def _find_reference_planes(self) -> tuple[float, float]:
        lens = self._make_lens(FINER)
        lot, side = self.things.lot, self._side * FINER
        wave = bead_wave(lens, lot, lot.diameter_um, [(0.0, 0.0)], side)
        away = np.arange(side) - side // 2
        radius_px = np.hypot(away[None, :], away[:, None]) / FINER
        rings = np.minimum(np.round(radius_px / RING_PX), lot.diameter_um / lens.grid_um / RING_PX).astype(
            int
        )
        count = np.bincount(rings.ravel())
        radii = np.bincount(rings.ravel(), radius_px.ravel()) / np.maximum(count, 1)
        filled = np.flatnonzero(count)[:-1]

        @lru_cache(None)
        def features(z: float) -> tuple[float, float]:
            image = lens.image(wave, z)[..., 0]
            profile = (np.bincount(rings.ravel(), image.ravel()) / np.maximum(count, 1))[filled]
            r = radii[filled]
            return -float(np.gradient(profile, r).min()), float(np.interp(1.0, r, profile))

        # A ball of a little more index than its medium gathers light at R / (2 dn) from its middle; half as
        # far again leaves room for aberration and diffraction.
        reach = 1.5 * lot.diameter_um / (4 * max(abs(lot.index_contrast), 0.02))
        slope = _highest(lambda z: features(z)[0], reach)
        centre = _highest(lambda z: features(z)[1], reach)
        return slope, centre


@lru_cache(4)
def _window_fade(side: int) -> NDArray[np.float32]:
    """1 within a window and 0 at its border, (side, side); not to be written to."""
    ramp = (np.arange(side) + 0.5) / (FADE * side)
    edge = np.minimum(np.minimum(ramp, ramp[::-1]), 1)
    smooth = (0.5 - 0.5 * np.cos(math.pi * edge)).astype(np.float32)
    fade: NDArray[np.float32] = smooth[:, None] * smooth[None, :]
    return fade


def _highest(curve: Callable[[float], float], reach: float) -> float:
    """Lens position of the highest value between plus and minus a reach."""
    step = reach / SCAN
    places = [n * step for n in range(-SCAN, SCAN + 1)]
    best = max(places, key=curve)
    for _ in range(REFINEMENTS):
        low, middle, high = curve(best - step), curve(best), curve(best + step)
        bend = low - 2 * middle + high
        best += max(-1.0, min(1.0, 0.5 * (low - high) / bend)) * step if bend < 0 else 0.0
        step /= 2
    return best

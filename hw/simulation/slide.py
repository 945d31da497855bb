"""A tissue section on a tilted, slightly bent slide, under a dry objective of high aperture.

What is simplified, beside the optics of `hw.simulation.slide_transfer`:

- A field whose parts lie at different heights is imaged flat at a few heights, `plane_step_um` apart, and
  every pixel interpolates between the two images that enclose its own.
- The slide does not drift, and its texture repeats every `TEXTURE_POINTS` pixels, at other densities and with
  other nuclei.
- Places are rounded to whole camera pixels.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hw.config import RigConfig
from hw.simulation.sensor import Sensor
from hw.simulation.slide_config import SlideConfig
from hw.simulation.slide_relief import Relief
from hw.simulation.slide_tissue import Tissue
from hw.simulation.slide_transfer import Layer, SectionLens

__all__ = ["Slide"]

MARGIN_UM = 14.0
"""Tissue around the field that is imaged too, so that blurred light does not come in from its other side."""
RELIEF_STEP_PX = 8
"""The relief is smooth: it is computed this far apart and interpolated."""
FIELDS_KEPT = 2
FLATS_KEPT = 16


class Slide:
    """One section under one microscope, drawn from a seed.

    Parameters
    ----------
    rig, config : the rig file and its checked `simulation` section
    seed : of everything drawn

    Attributes
    ----------
    sensor : what turns intensity into an image
    """

    def __init__(self, rig: RigConfig, config: SlideConfig, seed: int) -> None:
        lens_seed, relief_seed, sensor_seed = (
            np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)
        )
        self._um_per_px = rig.optics.um_per_px
        self._shape = (rig.camera.height_px, rig.camera.width_px)
        self._plane_step_um = config.plane_step_um
        self._lens = SectionLens(config.optics, self._um_per_px, lens_seed)
        self._relief = Relief(config.relief, config.extent_um, relief_seed)
        self._tissue = Tissue(config.tissue, self._um_per_px, config.extent_um, [seed, 3])
        self.sensor = Sensor(config.sensor, sensor_seed)
        margin = math.ceil(MARGIN_UM / self._um_per_px)
        rows, columns = (_fft_size(size + 2 * margin) for size in self._shape)
        self._outer = (rows, columns)
        self._margins = ((rows - self._shape[0]) // 2, (columns - self._shape[1]) // 2)
        self._fields: dict[tuple[int, int], _Field] = {}

    def intensity(self, t: float, place_um: tuple[float, float], lens_um: float) -> NDArray[np.float32]:
        """Noise-free image, (height_px, width_px, 3) of the rig's camera; 1 is the empty field.

        Parameters
        ----------
        t : time, s; nothing changes with it
        place_um : place of the slide in the middle of the field, (x, y) in um
        lens_um : lens position, um
        """
        field = self._field(place_um)
        total = np.zeros((3, *self._shape), np.float32)
        for at_um, weight in field.planes:
            total += weight * self._flat(field, lens_um - at_um)
        return self._lens.mixed(total)

    def plane_um(self, t: float, place_um: tuple[float, float]) -> float:
        """Mean over the field of the lens positions that focus the section's middle, um."""
        return float(self.heights_um(place_um).mean())

    def focus_um(self, t: float, place_um: tuple[float, float]) -> None:
        """Tell that true focus is to be found by the default measure."""
        return

    def heights_um(self, place_um: tuple[float, float]) -> NDArray[np.float32]:
        """Lens positions in um that focus the section's middle, pixel by pixel of the field, (H, W)."""
        rows, columns = self._shape
        left, top = self._corner(place_um)
        # From the first pixel of the field to the last.
        count = [max(2, size // RELIEF_STEP_PX) for size in self._shape]
        x = (np.linspace(0, columns - 1, count[1]) + left) * self._um_per_px
        y = (np.linspace(0, rows - 1, count[0]) + top) * self._um_per_px
        coarse = self._relief.height_um(*(np.asarray(each, np.float32) for each in np.meshgrid(x, y)))
        across = np.linspace(0, count[1] - 1, columns, dtype=np.float32)
        down = np.linspace(0, count[0] - 1, rows, dtype=np.float32)
        map_x, map_y = (np.ascontiguousarray(each) for each in np.meshgrid(across, down))
        return np.asarray(cv2.remap(coarse, map_x, map_y, cv2.INTER_LINEAR), np.float32)

    def cover(self, place_um: tuple[float, float]) -> float:
        """Share of the field that is tissue."""
        return float(self._tissue.cover(*self._corner(place_um), self._shape).mean())

    def _corner(self, place_um: tuple[float, float]) -> tuple[int, int]:
        """Column and row of the field's first pixel on the slide."""
        return (
            round(place_um[0] / self._um_per_px) - self._shape[1] // 2,
            round(place_um[1] / self._um_per_px) - self._shape[0] // 2,
        )

    def _flat(self, field: "_Field", defocus_um: float) -> NDArray[np.float32]:
        """Image a field as if it lay flat; neighbouring planes of a stack ask for the same images."""
        key = round(defocus_um * 1e3)
        if key not in field.flats:
            while len(field.flats) >= FLATS_KEPT:
                del field.flats[next(iter(field.flats))]
            image = self._lens.image(field.layers, self._outer, defocus_um)
            top, left = self._margins
            rows, columns = self._shape
            field.flats[key] = image[:, top : top + rows, left : left + columns].copy()
        return field.flats[key]

    def _field(self, place_um: tuple[float, float]) -> "_Field":
        """Return what lies at a place; a stack asks for the same one many times."""
        corner = self._corner(place_um)
        if corner not in self._fields:
            while len(self._fields) >= FIELDS_KEPT:
                del self._fields[next(iter(self._fields))]
            top, left = self._margins
            layers = [
                Layer(
                    layer.depth_um,
                    np.fft.rfft2(np.exp(-layer.absorbance) - 1).astype(np.complex64),
                    np.fft.rfft2(layer.opd_um).astype(np.complex64),
                )
                for layer in self._tissue.layers(corner[0] - left, corner[1] - top, self._outer)
            ]
            # Every image counts where its height is one of the two that enclose a pixel's.
            place = self.heights_um(place_um) / np.float32(self._plane_step_um)
            planes = []
            for number in range(math.floor(place.min()), math.ceil(place.max()) + 1):
                weight = np.maximum(1 - np.abs(place - np.float32(number)), 0)
                if weight.any():
                    planes.append((number * self._plane_step_um, weight))
            self._fields[corner] = _Field(layers, planes, {})
        return self._fields[corner]


@dataclass(frozen=True)
class _Field:
    """A field of the slide.

    Attributes
    ----------
    layers : their spectra
    planes : heights in um and, for each, its weight at every pixel, (H, W)
    flats : bands of light, (3, H, W), by defocus in nm
    """

    layers: list[Layer]
    planes: list[tuple[float, NDArray[np.float32]]]
    flats: dict[int, NDArray[np.float32]]


def _fft_size(least: int) -> int:
    size: int = cv2.getOptimalDFTSize(least)
    while size % 2:
        size = cv2.getOptimalDFTSize(size + 1)
    return size

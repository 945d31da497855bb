"""A tissue section on a tilted, slightly bent slide, under a dry objective of high aperture.

What is simplified, beside the optics of `hw.simulation.slide_transfer`:

- A field whose parts lie at different heights is imaged flat at a few heights, `plane_step_um` apart, and
  every pixel interpolates between the two images that enclose its own.
- The slide does not drift, and its texture repeats every `TEXTURE_POINTS` pixels, at other densities and with
  other nuclei.
- Places are rounded to whole camera pixels.
"""

import math

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
        self._outer = tuple(_fft_size(size + 2 * margin) for size in self._shape)
        self._fields: dict[tuple[int, int], tuple[list[Layer], NDArray[np.float32]]] = {}

    def intensity(self, t: float, place_um: tuple[float, float], lens_um: float) -> NDArray[np.float32]:
        """Noise-free image, (height_px, width_px, 3) of the rig's camera; 1 is the empty field.

        Parameters
        ----------
        t : time, s; nothing changes with it
        place_um : place of the slide in the middle of the field, (x, y) in um
        lens_um : lens position, um
        """
        layers, height = self._field(place_um)
        low, high = float(height.min()), float(height.max())
        intervals = math.ceil((high - low) / self._plane_step_um)
        if intervals == 0:
            return self._flat(layers, lens_um - low)
        # Every image counts where its height is one of the two that enclose a pixel's.
        place = (height - low) * np.float32(intervals / (high - low))
        total = np.zeros((*self._shape, 3), np.float32)
        for number in range(intervals + 1):
            weight = np.maximum(1 - np.abs(place - number), 0)
            if weight.any():
                at_um = low + (high - low) * number / intervals
                total += weight[..., None] * self._flat(layers, lens_um - at_um)
        return total

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
        maps = [np.ascontiguousarray(each) for each in np.meshgrid(across, down)]
        return np.asarray(cv2.remap(coarse, *maps, cv2.INTER_LINEAR), np.float32)

    def cover(self, place_um: tuple[float, float]) -> float:
        """Share of the field that is tissue."""
        return float(self._tissue.cover(*self._corner(place_um), self._shape).mean())

    def _corner(self, place_um: tuple[float, float]) -> tuple[int, int]:
        """Column and row of the field's first pixel on the slide."""
        return (
            round(place_um[0] / self._um_per_px) - self._shape[1] // 2,
            round(place_um[1] / self._um_per_px) - self._shape[0] // 2,
        )

    def _flat(self, layers: list[Layer], defocus_um: float) -> NDArray[np.float32]:
        image = self._lens.image(layers, self._outer, defocus_um)
        top, left = ((outer - inner) // 2 for outer, inner in zip(self._outer, self._shape, strict=True))
        return image[top : top + self._shape[0], left : left + self._shape[1]]

    def _field(self, place_um: tuple[float, float]) -> tuple[list[Layer], NDArray[np.float32]]:
        """Spectra of the layers at a place, and its heights; a stack asks for the same ones many times."""
        corner = self._corner(place_um)
        if corner not in self._fields:
            while len(self._fields) >= FIELDS_KEPT:
                del self._fields[next(iter(self._fields))]
            top, left = ((outer - inner) // 2 for outer, inner in zip(self._outer, self._shape, strict=True))
            section = self._tissue.layers(corner[0] - left, corner[1] - top, self._outer)
            layers = [
                Layer(
                    layer.depth_um,
                    np.fft.rfft2(np.exp(-layer.absorbance) - 1).astype(np.complex64),
                    np.fft.rfft2(layer.opd_um).astype(np.complex64),
                )
                for layer in section
            ]
            self._fields[corner] = layers, self.heights_um(place_um)
        return self._fields[corner]


def _fft_size(least: int) -> int:
    size: int = cv2.getOptimalDFTSize(least)
    while size % 2:
        size = cv2.getOptimalDFTSize(size + 1)
    return size

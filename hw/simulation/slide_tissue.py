"""A stained tissue section: pieces and gaps, fibres and grains, holes, cell nuclei.

All of it is a function of the place on the slide, so that a field looks the same whenever the stage comes
back to it, and fields that overlap agree. Coordinates are whole camera pixels from the slide's middle.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.simulation.config import draw
from hw.simulation.slide_config import TissueConfig
from hw.simulation.slide_noise import RepeatingNoise

__all__ = ["Tissue", "TissueLayer"]

TEXTURE_POINTS = 720
POINTS_PER_GRAIN = 5
BLOCK_PX = 128
"""Nuclei are drawn block by block, each from a seed of its own."""
EDGE_STEEPNESS = 8.0
FIBRE_SHARPNESS = 0.45


@dataclass(frozen=True)
class TissueLayer:
    """A thin layer of the section.

    Attributes
    ----------
    depth_um : lens position that focuses it, relative to the section's middle
    absorbance : (3, H, W) float32 for red, green, blue, e-folds of intensity
    opd_um : (H, W) float32, optical path in um
    """

    depth_um: float
    absorbance: NDArray[np.float32]
    opd_um: NDArray[np.float32]


class Tissue:
    """A section drawn from the ranges of a rig file.

    Parameters
    ----------
    config : the rig file's `simulation.tissue`
    um_per_px : specimen distance per camera pixel, um
    extent_um : side of the slide's area; beyond, it repeats
    seed : of everything drawn
    """

    def __init__(self, config: TissueConfig, um_per_px: float, extent_um: float, seed: list[int]) -> None:
        rng = np.random.default_rng(seed)
        self._config, self._seed, self._um_per_px = config, seed, um_per_px
        self._thickness = draw(rng, config.thickness_um)
        self._stain = draw(rng, config.stain)
        self._opd_um = draw(rng, config.opd_um)
        self._density_spread = draw(rng, config.density_spread)
        self._fibre_weight = draw(rng, config.fibre_weight)
        self._grain_spread = draw(rng, config.grain_spread)
        self._nuclei_per_mm2 = draw(rng, config.nuclei.per_mm2)
        self._nucleus_um = draw(rng, config.nuclei.radius_um)
        self._mottling = draw(rng, config.nuclei.mottling)

        def texture(grain_um: float) -> RepeatingNoise:
            return RepeatingNoise(rng, TEXTURE_POINTS, um_per_px, grain_um)

        def chart(grain_um: float) -> RepeatingNoise:
            points = math.ceil(extent_um / grain_um * POINTS_PER_GRAIN)
            return RepeatingNoise(rng, points, extent_um / points, grain_um)

        # Fibres are the zeros of smooth noise: long, thin, curved, of a width that goes with its grain.
        fibre_um = draw(rng, config.fibre_um)
        self._fibres = texture(8 * fibre_um)
        self._grains = texture(draw(rng, config.grain_um))
        self._density = texture(config.density_grain_um)
        self._pieces, self._holes = chart(config.patch_um), texture(config.hole_um)
        cover, holes = draw(rng, config.cover), draw(rng, config.hole_share)
        self._piece_from = float(np.quantile(self._pieces.values, 1 - cover))
        self._hole_from = float(np.quantile(self._holes.values, 1 - holes))

    def layers(self, left: int, top: int, shape: tuple[int, int]) -> list[TissueLayer]:
        """Layers of a field of `shape` (H, W) pixels from column `left` and row `top` on."""
        c, count = self._config, self._config.layers
        tissue = self.cover(left, top, shape)
        nuclei = self._nuclei(left, top, shape)
        density = np.maximum(1 + self._density_spread * self._density.on_grid(left, top, shape), 0)
        made = []
        for number in range(count):
            # Every layer has fibres and grains of its own: the same noise, seen elsewhere.
            shift = number * TEXTURE_POINTS // count
            noise = self._fibres.on_grid(left + shift, top + shift // 2, shape)
            grains = self._grains.on_grid(left + shift, top + shift // 2, shape)
            fibres = np.exp(-np.square(noise / np.float32(FIBRE_SHARPNESS)))
            ground = (1 - self._fibre_weight + self._fibre_weight * 2 * fibres) * density
            mottled = np.maximum(1 + self._grain_spread * grains, 0)
            matrix = self._stain / count * tissue * ground * mottled
            absorbance = np.asarray(c.absorbance, np.float32)[:, None, None] * matrix
            absorbance += nuclei[number][0]
            opd = self._opd_um / count * tissue * (fibres * density * 2 + 0.3 * grains) + nuclei[number][1]
            depth = self._thickness * ((number + 0.5) / count - 0.5)
            made.append(TissueLayer(depth, np.asarray(absorbance, np.float32), np.asarray(opd, np.float32)))
        return made

    def cover(self, left: int, top: int, shape: tuple[int, int]) -> NDArray[np.float32]:
        """How much of each pixel is tissue, 0 to 1, (H, W)."""
        x = np.broadcast_to(np.arange(left, left + shape[1], dtype=np.float32) * self._um_per_px, shape)
        y = np.broadcast_to(
            (np.arange(top, top + shape[0], dtype=np.float32) * self._um_per_px)[:, None], shape
        )
        ragged = 0.08 * self._density.on_grid(left, top, shape)
        pieces = np.clip((self._pieces.at(x, y) + ragged - self._piece_from) * EDGE_STEEPNESS, 0, 1)
        holes = np.clip((self._hole_from - self._holes.on_grid(left, top, shape)) * EDGE_STEEPNESS, 0, 1)
        return np.asarray(pieces * holes, np.float32)

    def _nuclei(
        self, left: int, top: int, shape: tuple[int, int]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Absorbance and optical path of the nuclei in each layer of a field."""
        c = self._config.nuclei
        colours = np.asarray(c.absorbance, np.float32)[:, None, None]
        made = [
            (np.zeros((3, *shape), np.float32), np.zeros(shape, np.float32))
            for _ in range(self._config.layers)
        ]
        reach = math.ceil(1.5 * float(np.max(c.radius_um)) / self._um_per_px) + 2
        per_block = self._nuclei_per_mm2 * (BLOCK_PX * self._um_per_px / 1e3) ** 2
        grains = self._grains
        for row in range((top - reach) // BLOCK_PX, (top + shape[0] + reach) // BLOCK_PX + 1):
            for column in range((left - reach) // BLOCK_PX, (left + shape[1] + reach) // BLOCK_PX + 1):
                # Seeds are not negative: blocks left of and above the middle count from far away.
                rng = np.random.default_rng([*self._seed, row + 2**20, column + 2**20])
                for _ in range(rng.poisson(per_block)):
                    x = column * BLOCK_PX + rng.uniform(0, BLOCK_PX)
                    y = row * BLOCK_PX + rng.uniform(0, BLOCK_PX)
                    long = self._nucleus_um * rng.uniform(0.8, 1.25) / self._um_per_px
                    short = long * draw(rng, c.stoutness)
                    angle, dark = rng.uniform(0, math.pi), self._stain * rng.uniform(0.6, 1.3)
                    path = draw(rng, c.opd_um)
                    absorbance, opd = made[int(rng.integers(len(made)))]
                    if self.cover(int(x), int(y), (1, 1))[0, 0] < 0.5:
                        continue
                    x0, x1 = max(int(x) - reach, left), min(int(x) + reach + 1, left + shape[1])
                    y0, y1 = max(int(y) - reach, top), min(int(y) + reach + 1, top + shape[0])
                    if x0 >= x1 or y0 >= y1:
                        continue
                    dx = np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(x)
                    dy = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(y)
                    along = (dx * math.cos(angle) + dy * math.sin(angle)) / np.float32(long)
                    across = (dy * math.cos(angle) - dx * math.sin(angle)) / np.float32(short)
                    squared = along**2 + across**2
                    body = np.clip((1 - np.sqrt(squared)) * np.float32(short) + 0.5, 0, 1)
                    texture = np.maximum(1 + self._mottling * grains.on_grid(x0, y0, body.shape), 0)
                    part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
                    absorbance[:, *part] += colours * (dark * body * texture)
                    opd[part] += path * np.sqrt(np.clip(1 - squared, 0, 1))
        return made

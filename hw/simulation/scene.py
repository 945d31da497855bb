"""One specimen under one microscope, drawn from a seed: the worm, its plate, the optics, over time.

What is simplified:

- The plate's tilt moves the worm's plane as it crawls, but the field itself is rendered untilted: all of it
  lies at the height of the worm's place.
- The worm is two slices, its lower half in the plate's surface and its upper half a radius above. The plate
  is one slice; dust, eggs and other worms lie flat in it.
- A shake moves the worm relative to the plate, which stands still.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.config import RigConfig
from hw.simulation.config import SimulationConfig, draw
from hw.simulation.optics import ExitWave, Lens, Slice, SumOverSource, sum_over_source
from hw.simulation.plate import Plate, make_surface
from hw.simulation.sensor import Sensor
from hw.simulation.worm import Body, Crawl

__all__ = ["Region", "Scene"]

# Blurred light that wraps around a window's border is mostly kept out by a margin of this share of its reach.
MARGIN_SHARE = 0.35
# The focus of a worm is that of its bounding box and so much around it.
FOCUS_MARGIN_UM = 40.0


@dataclass(frozen=True)
class Region:
    """A rectangle of the scene's grid: first column and row, width and height in grid points."""

    x: int
    y: int
    width: int
    height: int

    def grown(self, margin: int) -> "Region":
        """Grow on all sides, and on to a size with a fast Fourier transform."""
        width, height = (_fft_size(size + 2 * margin) for size in (self.width, self.height))
        return Region(self.x - (width - self.width) // 2, self.y - (height - self.height) // 2, width, height)

    def inside(self, outer: "Region") -> tuple[slice, slice]:
        """Rows and columns of this region in an array that covers `outer`."""
        top, left = self.y - outer.y, self.x - outer.x
        return slice(top, top + self.height), slice(left, left + self.width)


class Scene:
    """Everything in front of the sensor.

    The grid's origin is the middle of the field; its spacing is the lens's, which includes the true
    magnification. Beyond the surface that was drawn, the plate goes on as its mirror image.

    Parameters
    ----------
    rig, simulation : the rig file and its checked `simulation` section
    seed : of everything drawn
    extent_px : (width, height) of the surface to draw, in camera pixels
    summed_by : of the lens
    """

    def __init__(
        self,
        rig: RigConfig,
        simulation: SimulationConfig,
        seed: int,
        extent_px: tuple[int, int],
        summed_by: SumOverSource = sum_over_source,
    ) -> None:
        streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(6)]
        self.grid_px = simulation.optics.grid_px
        grid_um = rig.optics.um_per_px * self.grid_px
        self.lens = Lens(simulation.optics, grid_um, streams[0], summed_by)
        self.crawl = Crawl(simulation.worm, streams[1])
        self.body = Body(simulation.worm, streams[2], self.crawl.length_um)
        self.plate = Plate.drawn(simulation.plate, streams[3])
        self._raised_um = 0.0
        width, height = (-(-size // self.grid_px) for size in extent_px)
        self.field = Region(-(width // 2), -(height // 2), width, height)
        self.surface = make_surface(
            simulation.plate,
            simulation.worm,
            streams[4],
            (height, width),
            self.lens.grid_um,
            clear_um=draw(streams[4], simulation.plate.clear_lengths) * self.crawl.length_um,
        )
        self.sensor = Sensor(simulation.sensor, streams[5])
        self._unevenness = draw(streams[3], simulation.plate.unevenness)
        self._reach_px = (rig.camera.width_px / 2 / self.grid_px, rig.camera.height_px / 2 / self.grid_px)

    def plane_um(self, t: float) -> float:
        """How far the worm's mid-height has moved along the axis at time `t`, um.

        Relative to where the mid-height of a worm in the middle of the field lies at time 0. The mid-height,
        half a diameter above the plate's surface, is the specimen's top slice, from which defocus counts.
        The tilt, drift and sway of the plate under the worm's centre move it, and a spacer; nothing else.
        """
        x, y = self.crawl.posture(t).centre_um
        return self.plate.height_um(x, y, t) + self._raised_um

    def raise_specimen(self, by_um: float) -> None:
        """Put a spacer under the plate, or take it out again (negative)."""
        self._raised_um += by_um

    def blur_margin(self, defocus_um: float) -> int:
        """Grid points to add around a region before rendering it at a defocus."""
        return round(MARGIN_SHARE * self.lens.blur_um(defocus_um) / self.lens.grid_um)

    def worm_region(self, t: float, margin_um: float) -> Region:
        """Bounding box of the worm at time `t`, grown by a margin."""
        points = self.crawl.posture(t).points_um / self.lens.grid_um
        reach = (self.body.diameter_um / 2 + margin_um) / self.lens.grid_um
        low = np.floor(points.min(axis=0) - reach).astype(int)
        high = np.ceil(points.max(axis=0) + reach).astype(int) + 1
        return Region(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))

    def centred_region(
        self, t: float, size: tuple[int, int], shift_um: tuple[float, float] = (0, 0)
    ) -> Region:
        """Region of a size (width, height in grid points) centred on the worm at time `t`, plus a shift."""
        x, y = self.crawl.posture(t).centre_um
        column = round((x + shift_um[0]) / self.lens.grid_um) - size[0] // 2
        row = round((y + shift_um[1]) / self.lens.grid_um) - size[1] // 2
        return Region(column, row, *size)

    def slices(
        self, region: Region, t: float, *, with_worm: bool = True, shift_um: tuple[float, float] = (0, 0)
    ) -> list[Slice]:
        """Thin layers of the specimen in a region at time `t`: plate with the worm's lower half, upper half.

        `shift_um` moves the worm sideways on its plate, for a shaking camera.
        """
        rows = _mirrored(region.y - self.field.y, region.height, self.field.height)
        columns = _mirrored(region.x - self.field.x, region.width, self.field.width)
        opd = np.ascontiguousarray(self.surface.opd_um[np.ix_(rows, columns)])
        absorbance = np.ascontiguousarray(self.surface.absorbance[:, rows[:, None], columns])
        lower = Slice(0.0, opd, absorbance)
        if not with_worm:
            return [lower]
        upper = Slice(self.body.diameter_um / 2, np.zeros_like(opd), np.zeros_like(absorbance))
        origin = (
            region.x * self.lens.grid_um - shift_um[0],
            region.y * self.lens.grid_um - shift_um[1],
        )
        self.body.add_to(
            (lower.opd_um, upper.opd_um),
            (lower.absorbance, upper.absorbance),
            self.crawl.posture(t),
            origin,
            self.lens.grid_um,
        )
        return [lower, upper]

    def worm_wave(self, t: float) -> tuple[ExitWave, tuple[slice, slice]]:
        """Wave that leaves the worm and what is next to it at time `t`, and where in it to measure focus.

        The place is the worm's bounding box grown by `FOCUS_MARGIN_UM`; the wave reaches as far again beyond.
        """
        shown = self.worm_region(t, FOCUS_MARGIN_UM)
        outer = shown.grown(round(FOCUS_MARGIN_UM / self.lens.grid_um))
        return self.lens.exit_wave(self.slices(outer, t)), shown.inside(outer)

    def illumination(self, region: Region) -> NDArray[np.float32]:
        """Relative brightness of the light over a region, (H, W, 1) float32."""
        x = (np.arange(region.width, dtype=np.float32) + region.x) / np.float32(self._reach_px[0])
        y = (np.arange(region.height, dtype=np.float32) + region.y) / np.float32(self._reach_px[1])
        fall: NDArray[np.float32] = 1 - np.float32(self._unevenness / 2) * (x[None, :] ** 2 + y[:, None] ** 2)
        return np.maximum(fall, 0.1)[..., None]


def _fft_size(least: int) -> int:
    """Smallest even size from `least` on out of a few fast ones, so that kernels can be used again."""
    return min(m << k for m in (8, 9, 10, 12, 15) for k in range(1, 16) if m << k >= least)


def _mirrored(start: int, length: int, size: int) -> NDArray[np.intp]:
    index = np.arange(start, start + length) % (2 * size)
    mirrored: NDArray[np.intp] = np.where(index < size, index, 2 * size - 1 - index)
    return mirrored

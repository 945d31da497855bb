"""What the worm lies on: agar, a bacterial lawn, dust, eggs and other worms; and how the plate moves."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hw.simulation.config import PlateConfig, WormConfig, draw
from hw.simulation.field import draw_slope
from hw.simulation.worm import Body, Crawl

__all__ = ["Plate", "Surface", "make_surface"]


@dataclass(frozen=True)
class Plate:
    """Height of the plate along the optical axis: tilted, drifting, swaying. All in um, seconds, radians."""

    slope: tuple[float, float]
    drift_um_s: float
    drift_reach_um: float
    sway_um: float
    sway_period_s: float
    sway_phase: float

    @classmethod
    def drawn(cls, config: PlateConfig, rng: np.random.Generator) -> "Plate":
        """Draw a plate from the ranges of a rig file."""
        slope = draw_slope(rng, config.tilt_rad)
        sign = rng.choice([-1.0, 1.0])
        return cls(
            slope,
            sign * draw(rng, config.drift_um_s),
            config.drift_reach_um,
            draw(rng, config.sway_um),
            draw(rng, config.sway_period_s),
            rng.uniform(0, 2 * math.pi),
        )

    def height_um(self, x_um: float, y_um: float, t: float) -> float:
        """Height at a place of the field at time `t`, relative to the field's centre at time 0."""
        angle = 2 * math.pi * t / self.sway_period_s + self.sway_phase
        sway = self.sway_um * (math.sin(angle) - math.sin(self.sway_phase))
        # To its reach and back, again and again: a triangle wave.
        reach = self.drift_reach_um
        way = reach - abs((abs(self.drift_um_s) * t) % (2 * reach) - reach)
        return self.slope[0] * x_um + self.slope[1] * y_um + math.copysign(way, self.drift_um_s) + sway


@dataclass(frozen=True)
class Surface:
    """The optical slice of the plate's surface.

    Attributes
    ----------
    origin_um : x, y of the first grid point
    opd_um : (H, W) float32
    absorbance : (3, H, W) float32, e-folds
    others_um : midlines of the other worms that lie there, (N, 2) each, x and y in um
    """

    origin_um: tuple[float, float]
    opd_um: NDArray[np.float32]
    absorbance: NDArray[np.float32]
    others_um: tuple[NDArray[np.float64], ...] = ()


def make_surface(
    config: PlateConfig,
    worm: WormConfig,
    rng: np.random.Generator,
    shape: tuple[int, int],
    grid_um: float,
    *,
    clear_um: float,
) -> Surface:
    """Draw a plate's surface, centred on the field.

    Parameters
    ----------
    config, worm : the rig file's ranges; other worms are drawn from the latter
    shape, grid_um : (H, W) points and their spacing in um
    clear_um : radius about the centre in which no other worm's centre lies
    """
    height, width = shape
    origin = (-width / 2 * grid_um, -height / 2 * grid_um)
    opd = draw(rng, config.agar_opd_um) * _grains(rng, shape, draw(rng, config.agar_grain_um) / grid_um)
    absorbance = np.zeros((3, height, width), np.float32)
    _lay_lawn(config, rng, opd, absorbance, grid_um)
    area_mm2 = height * width * grid_um**2 / 1e6
    for _ in range(rng.poisson(draw(rng, config.dust_per_mm2) * area_mm2)):
        size = draw(rng, config.dust_um) / grid_um
        axes = (size * draw(rng, config.dust_stoutness), size * draw(rng, config.dust_stoutness))
        dark = draw(rng, config.dust_absorbance)
        _stamp(rng, opd, absorbance, axes, rng.normal(0, draw(rng, config.dust_opd_um)), dark, rim=0.0)
    for _ in range(rng.poisson(draw(rng, config.eggs_per_mm2) * area_mm2)):
        axes = (draw(rng, config.egg_length_um) / 2 / grid_um, draw(rng, config.egg_width_um) / 2 / grid_um)
        path, dark = draw(rng, config.egg_opd_um), draw(rng, config.egg_absorbance)
        _stamp(rng, opd, absorbance, axes, path, dark, rim=draw(rng, config.egg_rim_absorbance))
    half = np.zeros_like(opd), np.zeros_like(absorbance)
    others = []
    for _ in range(round(draw(rng, config.other_worms))):
        place = _place_outside(rng, clear_um, width * grid_um / 2, height * grid_um / 2)
        crawl = Crawl(worm, rng, place)
        body = Body(worm, rng, crawl.length_um)
        posture = crawl.posture(0.0)
        body.add_to((opd, half[0]), (absorbance, half[1]), posture, origin, grid_um)
        others.append(posture.points_um)
    return Surface(origin, (opd + half[0]).astype(np.float32), absorbance + half[1], tuple(others))


def _grains(rng: np.random.Generator, shape: tuple[int, int], size: float) -> NDArray[np.float32]:
    """Smooth noise of unit RMS with grains of a size in grid points."""
    # Coarse grains are drawn on a coarse grid: a wide blur of a fine one would cost more and give the same.
    factor = max(1, int(size / 6))
    small = (-(-shape[0] // factor) + 4, -(-shape[1] // factor) + 4)
    noise = cv2.GaussianBlur(
        rng.standard_normal(small, dtype=np.float32), (0, 0), max(size / factor / 2, 0.3)
    )
    if factor > 1:
        noise = cv2.resize(noise, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    noise = noise[: shape[0], : shape[1]]
    scaled: NDArray[np.float32] = noise / np.float32(max(float(noise.std()), 1e-9))
    return scaled


def _lay_lawn(
    config: PlateConfig,
    rng: np.random.Generator,
    opd: NDArray[np.float32],
    absorbance: NDArray[np.float32],
    grid_um: float,
) -> None:
    shape = opd.shape[0], opd.shape[1]
    cover = draw(rng, config.lawn_cover)
    border = _grains(rng, shape, draw(rng, config.lawn_patch_um) / grid_um)
    steepness = draw(rng, config.lawn_edge_steepness)
    lawn = np.clip((border - np.quantile(border, 1 - np.clip(cover, 0, 1))) * steepness + 0.5, 0, 1)
    texture = _grains(rng, shape, draw(rng, config.lawn_grain_um) / grid_um)
    opd += draw(rng, config.lawn_opd_um) * lawn * texture
    mottled = np.clip(1 + draw(rng, config.lawn_mottling) * texture, 0, None)
    absorbance += draw(rng, config.lawn_absorbance) * lawn * mottled


def _stamp(
    rng: np.random.Generator,
    opd: NDArray[np.float32],
    absorbance: NDArray[np.float32],
    axes: tuple[float, float],
    path_um: float,
    dark: float,
    rim: float,
) -> None:
    """Put an ellipse of optical path and absorbance at a random place; `axes` in grid points."""
    height, width = opd.shape
    reach = math.ceil(max(axes)) + 2
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    x0, x1 = max(0, int(x) - reach), min(width, int(x) + reach + 1)
    y0, y1 = max(0, int(y) - reach), min(height, int(y) + reach + 1)
    angle = rng.uniform(0, math.pi)
    dx = np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(x)
    dy = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(y)
    along = (dx * math.cos(angle) + dy * math.sin(angle)) / axes[0]
    across = (dy * math.cos(angle) - dx * math.sin(angle)) / axes[1]
    squared = along**2 + across**2
    soft = np.clip((1 - np.sqrt(squared)) * min(axes) + 0.5, 0, 1)
    opd[y0:y1, x0:x1] += path_um * np.sqrt(np.clip(1 - squared, 0, 1))
    absorbance[:, y0:y1, x0:x1] += soft * (dark + rim * np.clip(squared, 0, 1) ** 2)


def _place_outside(
    rng: np.random.Generator, clear: float, half_x: float, half_y: float
) -> tuple[float, float]:
    for _ in range(100):
        x, y = float(rng.uniform(-half_x, half_x)), float(rng.uniform(-half_y, half_y))
        if math.hypot(x, y) >= clear:
            break
    return x, y

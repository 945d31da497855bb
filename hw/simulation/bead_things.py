"""What lies on a slide of control beads: where, how high, and the wave behind each of it.

The slide goes on without an end.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.simulation.bead_wave import ball_spectrum, lay_out
from hw.simulation.beads_config import BeadConfig, BeadSlideConfig
from hw.simulation.config import draw
from hw.simulation.optics import ExitWave, Lens, Slice
from hw.simulation.squares import Squares, square_rng

__all__ = ["Bead", "Lot", "Speck", "Things", "bead_wave", "speck_wave"]

SQUARE_UM = 400.0
BEAD_STREAM, SPECK_STREAM = 11, 12
# Two beads keep this many diameters apart unless they touch; where none of so many places is free, one is
# left out.
APART = 1.6
TRIES = 20


@dataclass(frozen=True)
class Lot:
    """What the beads of one lot have in common: diameter in um, index and absorbance against the medium."""

    diameter_um: float
    index_contrast: float
    absorbance: float


@dataclass(frozen=True)
class Bead:
    """A bead: its middle on the slide and above it, diameter, all um; and what it touches."""

    x_um: float
    y_um: float
    height_um: float
    diameter_um: float
    twin_um: tuple[float, float] | None = None

    @property
    def place_um(self) -> tuple[float, float]:
        """Where its middle is on the slide, (x, y) in um."""
        return self.x_um, self.y_um


@dataclass(frozen=True)
class Speck:
    """A cell or a speck of debris: an ellipsoid of optical path and absorbance, flat on the slide."""

    x_um: float
    y_um: float
    axes_um: tuple[float, float]
    angle_rad: float
    opd_um: float
    absorbance: float

    @property
    def place_um(self) -> tuple[float, float]:
        """Where its middle is on the slide, (x, y) in um."""
        return self.x_um, self.y_um


class Things:
    """Everything on one slide, found by place.

    Parameters
    ----------
    beads, slide : the rig file's ranges
    seed : of everything drawn
    """

    def __init__(self, beads: BeadConfig, slide: BeadSlideConfig, seed: int) -> None:
        rng = np.random.default_rng([seed, BEAD_STREAM])
        self.lot = Lot(
            draw(rng, beads.diameter_um), draw(rng, beads.index_contrast), draw(rng, beads.absorbance)
        )
        self._variation = draw(rng, beads.diameter_variation)
        self._seat_um = draw(rng, beads.seat_um)
        self._stray = draw(rng, beads.stray_share)
        self._pair = draw(rng, beads.pair_share)
        self._stray_um = beads.stray_um
        self._per_mm2 = draw(rng, beads.per_mm2)
        self._debris_per_mm2 = draw(rng, slide.debris_per_mm2)
        self._cells_per_mm2 = draw(rng, slide.cells_per_mm2)
        self._slide = slide
        self._seed = seed
        self._squares = Squares(SQUARE_UM, self._draw_square)

    def near(self, place_um: tuple[float, float], reach_um: tuple[float, float]) -> list[Bead | Speck]:
        """Things whose middle lies within a reach of a place, along x and along y, um."""
        return self._squares.near(place_um, reach_um)

    def _draw_square(self, column: int, row: int) -> list[Bead | Speck]:
        origin = np.array([column, row]) * SQUARE_UM
        beads = self._draw_beads(square_rng(self._seed, BEAD_STREAM, column, row), origin)
        rng = square_rng(self._seed, SPECK_STREAM, column, row)
        s, area_mm2 = self._slide, SQUARE_UM**2 / 1e6
        kinds = (
            (self._debris_per_mm2, s.debris_um, s.debris_opd_um, s.debris_absorbance),
            (self._cells_per_mm2, s.cell_um, s.cell_opd_um, s.cell_absorbance),
        )
        specks = [
            Speck(
                float(origin[0]) + rng.uniform(0, SQUARE_UM),
                float(origin[1]) + rng.uniform(0, SQUARE_UM),
                (draw(rng, size), draw(rng, size)),
                rng.uniform(0, math.pi),
                draw(rng, path),
                draw(rng, dark),
            )
            for per_mm2, size, path, dark in kinds
            for _ in range(rng.poisson(per_mm2 * area_mm2))
        ]
        return [*beads, *specks]

    def _draw_beads(self, rng: np.random.Generator, origin: NDArray[np.float64]) -> list[Bead]:
        beads: list[Bead] = []
        taken: list[NDArray[np.float64]] = []
        apart = APART * self.lot.diameter_um
        for _ in range(rng.poisson(self._per_mm2 * SQUARE_UM**2 / 1e6)):
            for _ in range(TRIES):
                place = origin + rng.uniform(apart / 2, SQUARE_UM - apart / 2, 2)
                if all(math.dist(place, other) >= apart for other in taken):
                    break
            else:
                continue
            taken.append(place)
            diameter = self.lot.diameter_um * (1 + self._variation * rng.standard_normal())
            height = self._seat_um * rng.standard_normal()
            if rng.random() < self._stray:
                height += draw(rng, self._stray_um)
            twin = None
            if rng.random() < self._pair:
                angle = rng.uniform(0, 2 * math.pi)
                other = place + diameter * np.array([math.cos(angle), math.sin(angle)])
                taken.append(other)
                twin = (float(other[0]), float(other[1]))
            beads.append(Bead(float(place[0]), float(place[1]), height, diameter, twin))
        return beads


def bead_wave(
    lens: Lens, lot: Lot, diameter_um: float, places_um: list[tuple[float, float]], side: int
) -> ExitWave:
    """Wave behind beads in one plane, in a window of their own.

    Parameters
    ----------
    lens : gives bands and grid
    lot, diameter_um : the beads
    places_um : their middles from the window's middle point, `side // 2`
    side : of the window, grid points
    """
    pad = side // 4
    frequencies = (np.arange(side + 2 * pad) - (side // 2 + pad)) / (side * lens.grid_um)
    spectra: dict[float, NDArray[np.complex64]] = {}
    for wavelength in {band.wavelength_um for band in lens.bands}:
        reach = lens.na * (1 + lens.coherence) / wavelength * 1.02
        table = ball_spectrum(diameter_um / 2, lot.index_contrast, lot.absorbance, wavelength, reach)
        spectrum = np.zeros((side + 2 * pad,) * 2, np.complex128)
        for x, y in places_um:
            middle = (x + side // 2 * lens.grid_um, y + side // 2 * lens.grid_um)
            spectrum += lay_out(table, frequencies, middle) / lens.grid_um**2
        # The light that goes past.
        spectrum[side // 2 + pad, side // 2 + pad] += side**2
        spectra[wavelength] = spectrum.astype(np.complex64)
    return ExitWave((side, side), [spectra[band.wavelength_um] for band in lens.bands], pad)


def speck_wave(lens: Lens, speck: Speck, offset_um: tuple[float, float], side: int) -> ExitWave:
    """Wave behind a speck at an offset from the middle point of a window of `side` grid points."""
    axis = (np.arange(side) - side // 2) * lens.grid_um
    dx, dy = axis[None, :] - offset_um[0], axis[:, None] - offset_um[1]
    turn = (math.cos(speck.angle_rad), math.sin(speck.angle_rad))
    along = (dx * turn[0] + dy * turn[1]) / speck.axes_um[0]
    across = (dy * turn[0] - dx * turn[1]) / speck.axes_um[1]
    thickness = np.sqrt(np.clip(1 - along**2 - across**2, 0, 1)).astype(np.float32)
    absorbance = (thickness * np.float32(speck.absorbance))[None]
    wave = lens.exit_wave([Slice(0.0, thickness * np.float32(speck.opd_um), absorbance)])
    first = {band.wavelength_um: spectrum for band, spectrum in zip(lens.bands, wave.spectra, strict=True)}
    return ExitWave(wave.shape, [first[band.wavelength_um] for band in lens.bands], wave.pad)

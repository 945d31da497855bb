"""Partially coherent image formation.

Abbe's method: every point of the condenser aperture lights the specimen with a plane wave of its own; each
makes a coherent image through the objective's pupil, and the images add in intensity:

    I(x) = sum_s w_s | F^-1{ O(f) P(f - f_s) } |^2 ,
    P(f) = circ(|f| lambda / NA) exp(i k [ z (sqrt(n^2 - (lambda f)^2) - n) + W040 (lambda f / NA)^4 ])

with n the refractive index between specimen and objective, O the spectrum of the wave leaving the specimen
under axial light, f_s the source point's spatial frequency and z the defocus, counted from the specimen's top
slice along the light (Born & Wolf, Principles of Optics, 7th ed., sections 9.5 and 10.6; Goodman,
Introduction to Fourier Optics, 3rd ed., section 6.4 for aberrations as pupil phases). A thick specimen is a
few thin slices with free space between them (multi-slice, Cowley & Moodie 1957). Tilting the light is taken
to shift the exit spectrum, which holds while thickness times condenser aperture is below the resolution.

The sum over source points stands for an integral over the condenser aperture. Defocus moves the images of
neighbouring points apart, in proportion to itself, while the detail in each widens with its root: the number
of points that is close enough to the integral grows in proportion to defocus (benchmarks/results/optics.json,
the rows of source points).

Defocus is signed: the spherical aberration, the chromatic shift of each band, and phase in the specimen make
the two sides of focus look different.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from hw.errors import ConfigError
from hw.simulation.config import BandConfig, SimulatedOpticsConfig, draw

__all__ = [
    "Band",
    "ExitWave",
    "Lens",
    "Slice",
    "SumOverSource",
    "draw_bands",
    "fourier",
    "mixing_matrix",
    "propagate",
    "sum_over_source",
]

SPHERICAL_REFERENCE_UM = 0.55
# Grid sizes for which pupils and propagation kernels are kept: a worm's window changes its size as it crawls.
GRIDS_KEPT = 96
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))

SumOverSource = Callable[
    [NDArray[np.complex64], NDArray[np.complex64], Sequence[tuple[int, int]], tuple[int, int]],
    NDArray[np.float32],
]
"""Adds up the images of all source points: nearly all of the time that an image takes, so that it can be done
elsewhere, as on a GPU. Takes the padded spectrum, the transfer function in the box of the pupil, the top left
corner of that box in the spectrum for every point, and the grid's (H, W); returns the sum, (H, W)."""


@dataclass(frozen=True)
class Slice:
    """A thin layer of the specimen.

    Attributes
    ----------
    height_um : height above the plate; light meets lower slices first
    opd_um : (H, W) float32, optical path difference in um
    absorbance : (3, H, W) float32 for red, green, blue, or (1, H, W) for all alike; e-folds of intensity
    """

    height_um: float
    opd_um: NDArray[np.float32]
    absorbance: NDArray[np.float32]

    def transmission(self, band: int, wavelength_um: float) -> NDArray[np.complex64]:
        """Complex amplitude transmission (H, W) in one band."""
        phase = self.opd_um * np.float32(2 * math.pi / wavelength_um)
        amplitude = np.exp(self.absorbance[min(band, len(self.absorbance) - 1)] * np.float32(-0.5))
        wave = np.empty(phase.shape, np.complex64)
        np.multiply(np.cos(phase), amplitude, out=wave.real)
        np.multiply(np.sin(phase), amplitude, out=wave.imag)
        return wave


@dataclass(frozen=True)
class Band:
    """One colour band: wavelength (um), chromatic shift of its focus (um), relative brightness."""

    wavelength_um: float
    shift_um: float
    gain: float


def draw_bands(configs: Sequence[BandConfig], rng: np.random.Generator) -> tuple[Band, ...]:
    """Draw colour bands from the ranges of a rig file."""
    return tuple(Band(b.wavelength_um, draw(rng, b.shift_um), draw(rng, b.gain)) for b in configs)


def mixing_matrix(share: float) -> NDArray[np.float32]:
    """Return what each channel (row) sees of each band, (3, 3), where it sees a share of the two others'."""
    return np.full((3, 3), share, np.float32) + np.eye(3, dtype=np.float32) * (1 - 3 * share)


@dataclass(frozen=True)
class ExitWave:
    """The wave that leaves a specimen.

    Attributes
    ----------
    shape : (H, W) of the grid
    spectra : (H + 2 pad, W + 2 pad) complex64 for each band, zero frequency at H // 2 + pad, W // 2 + pad
    pad : zeros around what the grid can hold, so that oblique light can be looked up beyond it
    """

    shape: tuple[int, int]
    spectra: list[NDArray[np.complex64]]
    pad: int


@dataclass(frozen=True)
class _Pupil:
    """The pupil of one band on one grid, in the smallest box of frequencies that holds it.

    Attributes
    ----------
    axial, aberration, open : (h, w) float32 phase per um of defocus, phase, and 0 or 1
    """

    axial: NDArray[np.float32]
    aberration: NDArray[np.float32]
    open: NDArray[np.float32]


def sum_over_source(
    spectrum: NDArray[np.complex64],
    transfer: NDArray[np.complex64],
    corners: Sequence[tuple[int, int]],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Add up the images of all source points, one after the other (`SumOverSource`)."""
    rows, columns = transfer.shape
    lit = np.zeros(shape, np.complex64)
    box = lit[:rows, :columns]
    energy = np.zeros((*shape, 2), np.float32)
    for top, left in corners:
        np.multiply(spectrum[top : top + rows, left : left + columns], transfer, out=box)
        # Where in the array the box stands changes the phase of the field only.
        cv2.accumulateSquare(_dft(lit, cv2.DFT_INVERSE | cv2.DFT_SCALE), energy)
    return np.asarray(energy[..., 0] + energy[..., 1], np.float32)


class Lens:
    """An objective with its condenser, drawn from the ranges of a rig file.

    Parameters
    ----------
    config : the rig file's `simulation.optics`
    grid_um : spacing of the grid that fields are computed on, um
    rng : what is random is drawn from it
    summed_by : adds up the images of all source points
    """

    def __init__(
        self,
        config: SimulatedOpticsConfig,
        grid_um: float,
        rng: np.random.Generator,
        summed_by: SumOverSource = sum_over_source,
    ) -> None:
        self._summed_by = summed_by
        self.index = config.immersion_index
        self.na = draw(rng, config.na)
        self.coherence = draw(rng, config.coherence)
        self.spherical_um = draw(rng, config.spherical_waves) * SPHERICAL_REFERENCE_UM
        self.grid_um = grid_um / draw(rng, config.magnification)
        self.bands = draw_bands(config.bands, rng)
        self._mixing = mixing_matrix(draw(rng, config.colour_mixing))
        self._source_points = config.source_points
        self._source_points_per_mm = config.source_points_per_mm
        self._source_turn = rng.uniform(0, 2 * math.pi)
        self._pupil = lru_cache(GRIDS_KEPT)(self._make_pupil)
        self._corners = lru_cache(GRIDS_KEPT)(self._make_corners)

    def exit_wave(self, slices: list[Slice]) -> ExitWave:
        """Send axial light through the specimen.

        Parameters
        ----------
        slices : from the source's side to the objective's, on this lens's grid
        """
        shape = slices[0].opd_um.shape
        pad = max(shape) // 4
        spectra = []
        for number, band in enumerate(self.bands):
            wave = slices[0].transmission(number, band.wavelength_um)
            for lower, upper in pairwise(slices):
                gap = upper.height_um - lower.height_um
                # In a medium the wave is shorter.
                wave = propagate(wave, gap, band.wavelength_um / self.index, self.grid_um)
                wave *= upper.transmission(number, band.wavelength_um)
            spectra.append(np.pad(np.fft.fftshift(_fft(wave)), pad))
        return ExitWave((shape[0], shape[1]), spectra, pad)

    def image(self, wave: ExitWave, defocus_um: float) -> NDArray[np.float32]:
        """Form an image.

        Parameters
        ----------
        wave : from `exit_wave`
        defocus_um : lens position minus the position that focuses the specimen's top slice with no
            chromatic shift; a slice `h` um below the top one is in focus at -h

        Returns
        -------
        (H, W, 3) float32
            Intensity in red, green and blue; 1 is the empty field.
        """
        height, width = wave.shape
        points = self._points_at(defocus_um)
        intensity = np.empty((height, width, 3), np.float32)
        for number, band in enumerate(self.bands):
            if (twin := self._same_light(wave, number)) is not None:
                np.multiply(
                    intensity[..., twin], band.gain / self.bands[twin].gain, out=intensity[..., number]
                )
                continue
            pupil = self._pupil(band.wavelength_um, wave.shape)
            corners = self._corners(band.wavelength_um, wave.shape, wave.pad, points)
            phase = pupil.axial * np.float32(defocus_um - band.shift_um) + pupil.aberration
            transfer = np.empty(phase.shape, np.complex64)
            np.multiply(np.cos(phase), pupil.open, out=transfer.real)
            np.multiply(np.sin(phase), pupil.open, out=transfer.imag)
            intensity[..., number] = self._summed_by(wave.spectra[number], transfer, corners, wave.shape)
            intensity[..., number] *= band.gain / len(corners)
        return np.asarray(cv2.transform(intensity, self._mixing), np.float32)

    def source(self, defocus_um: float) -> NDArray[np.float64]:
        """Points of the condenser aperture that are summed over at a defocus, (N, 2) in units of the NA."""
        return _sunflower(self._points_at(defocus_um), self._source_turn) * self.coherence

    def blur_um(self, defocus_um: float) -> float:
        """Half-width in um that light from a point can reach at a defocus, for margins of windows."""
        largest = max(abs(defocus_um - band.shift_um) for band in self.bands)
        return self.na * (1 + self.coherence) * largest + 4 * self.bands[0].wavelength_um / self.na

    def _same_light(self, wave: ExitWave, number: int) -> int | None:
        """Find an earlier band with the same wave and focus, as of one colour: it is rendered once."""
        band = self.bands[number]
        for earlier in range(number):
            other = self.bands[earlier]
            same = (other.wavelength_um, other.shift_um) == (band.wavelength_um, band.shift_um)
            if same and wave.spectra[earlier] is wave.spectra[number]:
                return earlier
        return None

    def _points_at(self, defocus_um: float) -> int:
        # Rounded to fours, so that few patterns need to be kept.
        return max(self._source_points, 4 * math.ceil(self._source_points_per_mm * abs(defocus_um) / 4000))

    def _make_pupil(self, wavelength: float, shape: tuple[int, int]) -> _Pupil:
        fy, fx = self._reached(wavelength, shape)
        squared = (fx[None, :] ** 2 + fy[:, None] ** 2) * wavelength**2
        inside = squared <= self.na**2
        squared = np.where(inside, squared, 0)
        k = 2 * math.pi / wavelength
        return _Pupil(
            (k * (np.sqrt(self.index**2 - squared) - self.index)).astype(np.float32),
            (k * self.spherical_um * (squared / self.na**2) ** 2).astype(np.float32),
            inside.astype(np.float32),
        )

    def _make_corners(
        self, wavelength: float, shape: tuple[int, int], pad: int, points: int
    ) -> list[tuple[int, int]]:
        """Row and column of the pupil's box in a centred, padded spectrum, for every source point."""
        rows, columns = (len(f) for f in self._reached(wavelength, shape))
        corners = []
        for sx, sy in _sunflower(points, self._source_turn) * (self.coherence * self.na / wavelength):
            # Frequencies lie 1 / size apart; source points are moved to the nearest one.
            top = shape[0] // 2 + pad - rows // 2 + round(sy * shape[0] * self.grid_um)
            left = shape[1] // 2 + pad - columns // 2 + round(sx * shape[1] * self.grid_um)
            beyond = top + rows > shape[0] + 2 * pad or left + columns > shape[1] + 2 * pad
            if min(top, left) < 0 or beyond or rows > shape[0] or columns > shape[1]:
                raise ConfigError(
                    f"simulation.optics: a grid of {self.grid_um:.2f} um is too coarse for NA {self.na:.3f} "
                    f"at {wavelength} um with coherence {self.coherence:.2f}; lower grid_px"
                )
            corners.append((top, left))
        return corners

    def _reached(
        self, wavelength: float, shape: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Frequencies down and across that the objective's aperture reaches, cycles per um."""
        steps = [1 / (size * self.grid_um) for size in shape]
        reach = [math.floor(self.na / wavelength / step) for step in steps]
        down, across = (
            np.arange(-n, n + 1, dtype=np.float64) * step for n, step in zip(reach, steps, strict=True)
        )
        return down, across


def propagate(
    wave: NDArray[np.complex64], distance_um: float, wavelength_um: float, grid_um: float
) -> NDArray[np.complex64]:
    """Propagate a wave through free space by its angular spectrum (Goodman, section 3.10).

    Parameters
    ----------
    wave : (H, W) complex amplitude
    distance_um : along the light; negative goes back
    wavelength_um, grid_um : um

    Returns
    -------
    (H, W) complex64
    """
    height, width = wave.shape
    kernel = _free_space((height, width), distance_um, wavelength_um, grid_um)
    return _fft(_fft(wave) * kernel, cv2.DFT_INVERSE | cv2.DFT_SCALE)


@lru_cache(GRIDS_KEPT)
def _free_space(
    shape: tuple[int, int], distance_um: float, wavelength_um: float, grid_um: float
) -> NDArray[np.complex64]:
    """Transfer function of free space; not to be written to."""
    fy, fx = _frequencies(shape, grid_um)
    inside = np.maximum(1 - (fx**2 + fy**2) * wavelength_um**2, 0)
    phase = (2 * math.pi / wavelength_um * distance_um) * (np.sqrt(inside) - 1)
    kernel = np.empty(shape, np.complex64)
    kernel.real, kernel.imag = np.cos(phase), np.sin(phase)
    return kernel


def _frequencies(shape: tuple[int, int], grid_um: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    down, across = (np.asarray(np.fft.fftfreq(size, grid_um), np.float64) for size in shape)
    return down[:, None], across[None, :]


def fourier(wave: NDArray[np.complex64], *, inverse: bool = False) -> NDArray[np.complex64]:
    """Transform (H, W) complex64, or transform it back; zero frequency first."""
    return _fft(wave, cv2.DFT_INVERSE | cv2.DFT_SCALE if inverse else 0)


def _fft(wave: NDArray[np.complex64], flags: int = 0) -> NDArray[np.complex64]:
    height, width = wave.shape
    spectrum: NDArray[np.complex64] = _dft(wave, flags).reshape(height, 2 * width).view(np.complex64)
    return spectrum


def _dft(wave: NDArray[np.complex64], flags: int) -> NDArray[np.float32]:
    """Transform to (H, W, 2) real and imaginary parts; three to ten times as fast as numpy at these sizes."""
    height, width = wave.shape
    pairs = np.ascontiguousarray(wave).view(np.float32).reshape(height, width, 2)
    return np.asarray(cv2.dft(pairs, flags=flags), np.float32)


def _sunflower(count: int, turn: float) -> NDArray[np.float64]:
    """Spread points evenly over the unit disc (Vogel 1979), (count, 2)."""
    number = np.arange(count)
    radius = np.sqrt((number + 0.5) / count)
    angle = turn + number * GOLDEN_ANGLE
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

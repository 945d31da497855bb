"""Images of a thick specimen through a high aperture: every direction of the light is sent through it.

`hw.simulation.optics` sends axial light through the specimen and tilts the result, which holds for thin
specimens. Cells many depths of field thick need each direction's own way: the plane wave of every source
point goes through the slices (multi-slice, Cowley & Moodie 1957), comes out, and is carried back to a plane
within the specimen as if through the medium alone. From there the objective images it as Abbe said. What it
costs is paid once for a specimen; another defocus is one transform for each source point. There are as many
of those as the rig file asks for at no defocus.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hw.simulation.optics import Lens, Slice, fourier

__all__ = ["ObliqueWaves", "image_of", "send_through"]


@dataclass(frozen=True)
class ObliqueWaves:
    """Waves of all source points behind a specimen, as seen in the plane that focus counts from.

    Attributes
    ----------
    spectra : (S, N, N) complex64, zero frequency first
    """

    spectra: NDArray[np.complex64]


def send_through(
    lens: Lens, slices: Sequence[Slice], medium_index: float, plane_um: float, top_um: float
) -> ObliqueWaves:
    """Send light of every source point through slices on the lens's grid; of the first band.

    Parameters
    ----------
    lens : gives source points, band and grid
    slices : from the source's side, square and of one size; heights are those of their middles
    medium_index : of what is between and around them
    plane_um : height of the plane to come back to
    top_um : height at which the light leaves
    """
    side = slices[0].opd_um.shape[0]
    wavelength = lens.bands[0].wavelength_um
    step = 1 / (side * lens.grid_um)
    axial = _axial(side, lens.grid_um, wavelength, medium_index)
    transmissions = [each.transmission(0, wavelength) for each in slices]
    ends = [each.height_um for each in slices] + [top_um]
    ways = [_way(axial, high - low) for low, high in pairwise(ends)]
    back = _way(axial, plane_um - top_um)
    # `Lens.image` looks a spectrum up where it adds the point's frequency: light from the other side.
    points = -lens.source(0.0) * lens.na / wavelength
    number = np.arange(side)
    spectra = np.empty((len(points), side, side), np.complex64)
    for index, (fx, fy) in enumerate(points):
        # On the grid's own frequencies, so that the wave fits it.
        across, down = (np.exp(2j * math.pi * round(f / step) * number / side) for f in (fx, fy))
        wave = (down[:, None] * across[None, :]).astype(np.complex64)
        for transmission, way in zip(transmissions, ways, strict=True):
            spectrum = fourier(wave * transmission)
            spectrum *= way
            wave = fourier(spectrum, inverse=True)
        spectra[index] = spectrum * back
    return ObliqueWaves(spectra)


def image_of(lens: Lens, waves: ObliqueWaves, defocus_um: float) -> NDArray[np.float32]:
    """Intensity (N, N) of the first band; 1 is the empty field.

    Parameters
    ----------
    lens : that the waves were made for
    waves : from `send_through`
    defocus_um : lens position minus the one that focuses the waves' plane
    """
    side = waves.spectra.shape[1]
    band = lens.bands[0]
    frequency = np.fft.fftfreq(side, lens.grid_um)
    squared = (frequency[None, :] ** 2 + frequency[:, None] ** 2) * band.wavelength_um**2
    inside = squared <= lens.na**2
    k = 2 * math.pi / band.wavelength_um
    phase = k * (np.sqrt(np.where(inside, lens.index**2 - squared, 1)) - lens.index)
    phase = phase * (defocus_um - band.shift_um) + k * lens.spherical_um * (squared / lens.na**2) ** 2
    pupil = (inside * np.exp(1j * np.where(inside, phase, 0))).astype(np.complex64)
    image = np.zeros((side, side), np.float32)
    for spectrum in waves.spectra:
        field = fourier(spectrum * pupil, inverse=True)
        image += field.real**2 + field.imag**2
    return image / np.float32(len(waves.spectra))


def _axial(side: int, grid_um: float, wavelength_um: float, index: float) -> NDArray[np.float64]:
    """Axial phase per um, rad, for each frequency of the grid; nan for waves that do not get through."""
    frequency = np.fft.fftfreq(side, grid_um)
    squared = (frequency[None, :] ** 2 + frequency[:, None] ** 2) * wavelength_um**2
    root = np.sqrt(np.where(squared < index**2, index**2 - squared, np.nan))
    axial: NDArray[np.float64] = 2 * math.pi / wavelength_um * (root - index)
    return axial


def _way(axial: NDArray[np.float64], distance_um: float) -> NDArray[np.complex64]:
    going = np.isfinite(axial)
    way = going * np.exp(1j * np.where(going, axial, 0) * distance_um)
    return way.astype(np.complex64)

"""Image formation of a thin section at high aperture: linear, partially coherent, exact in defocus.

For every source point of the condenser the light that the section leaves alone interferes with the light
that it scatters; to first order in the section (the weak-object transfer function: Streibl, J. Opt. Soc. Am.
A 2 (1985) 121-127) the image's spectrum is

    I(f) = delta(f) + T(f) Re C(f) / C(0) - 2 Phi(f) Im C(f) / C(0) ,
    C(f) = integral over the condenser of conj(P(s)) P(s + f) ds ,

with P the pupil of `hw.simulation.optics`, Phi the spectrum of the section's phase, and T that of its
intensity transmission less 1, which to first order is minus its absorbance and keeps dark bodies from going
below black in the incoherent limit. C depends on |f| only, so one profile per band and plane is enough for a
field of any size: where Abbe's sum needs a transform per source point and band, this needs one per band.

What is left out: interference of scattered light with itself, so strongly absorbing detail is a little off
(tests/hw/test_slide.py compares with Abbe's sum), and frequencies beyond the camera's, which a real camera
would alias.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hw.simulation.config import draw
from hw.simulation.optics import SPHERICAL_REFERENCE_UM, draw_bands, mixing_matrix
from hw.simulation.slide_config import SlideOpticsConfig

__all__ = ["Layer", "SectionLens", "transfer"]

PROFILE_POINTS, FINE_POINTS = 96, 2048
RINGS_LEAST, RINGS_PER_UM, RINGS_MOST = 8, 1.6, 40
"""Rings and spokes of the source; from 35 um on there are too few, but hardly any contrast is left there."""


def transfer(
    frequencies: NDArray[np.float64],
    *,
    wavelength_um: float,
    na: float,
    coherence: float,
    spherical_um: float,
    defocus_um: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what becomes of absorption and of phase at spatial frequencies.

    Parameters
    ----------
    frequencies : (F,) cycles per um, not negative
    wavelength_um, na, coherence, spherical_um : of light and lens; `coherence` is the condenser's aperture
        as a share of the objective's
    defocus_um : lens position minus the position that focuses the section

    Returns
    -------
    absorption, phase : (F,)
        Factors on the spectrum of transmission less 1 and of the phase in radians.
    """
    # The source disc, in units of the NA: Gauss-Legendre along the radius and over half the turn, which is
    # enough for frequencies along x. Phases across the disc grow with defocus, and so do the points.
    count = min(RINGS_LEAST + math.ceil(RINGS_PER_UM * abs(defocus_um) * min(coherence, 1.0)), RINGS_MOST)
    nodes, weights = _gauss_legendre(count)
    radius = (nodes + 1) / 2 * min(coherence, 1.0)
    angle = (nodes + 1) / 2 * math.pi
    x = (radius[:, None] * np.cos(angle)).ravel()
    y = (radius[:, None] * np.sin(angle)).ravel()
    weight = ((radius * weights)[:, None] * weights).ravel()
    k = 2 * math.pi / wavelength_um

    def phase(squared: NDArray[np.float64]) -> NDArray[np.float64]:
        axial = np.sqrt(1 - np.minimum(squared, 1) * na**2) - 1
        return k * (defocus_um * axial + spherical_um * squared**2)

    shifted = (x + (frequencies * wavelength_um / na)[:, None]) ** 2 + y**2
    passed = (weight / weight.sum() * (shifted <= 1)).astype(np.float32)
    # Single precision is ten times as fast here, and exact enough for some hundred radians.
    difference = (phase(shifted) - phase(x**2 + y**2)).astype(np.float32)
    absorption = np.einsum("fs,fs->f", passed, np.cos(difference))
    phases = -2 * np.einsum("fs,fs->f", passed, np.sin(difference))
    return absorption.astype(np.float64), phases.astype(np.float64)


@lru_cache(64)
def _gauss_legendre(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights on -1 to 1; not to be written to."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return np.asarray(nodes, np.float64), np.asarray(weights, np.float64)


@dataclass(frozen=True)
class Layer:
    """The spectra of a thin layer of the section, as `numpy.fft.rfft2` gives them.

    Attributes
    ----------
    depth_um : lens position that focuses it, relative to the section's middle
    transmission : (3, H, W // 2 + 1) of the intensity transmission less 1 in red, green, blue
    opd : (H, W // 2 + 1) of the optical path in um
    """

    depth_um: float
    transmission: NDArray[np.complex64]
    opd: NDArray[np.complex64]


class SectionLens:
    """An objective with its condenser, drawn from the ranges of a rig file.

    Parameters
    ----------
    config : the rig file's `simulation.optics`
    um_per_px : specimen distance per camera pixel, um
    rng : what is random is drawn from it
    """

    def __init__(self, config: SlideOpticsConfig, um_per_px: float, rng: np.random.Generator) -> None:
        self.um_per_px = um_per_px
        self.na = draw(rng, config.na)
        self.coherence = draw(rng, config.coherence)
        self.spherical_um = draw(rng, config.spherical_waves) * SPHERICAL_REFERENCE_UM
        self.bands = draw_bands(config.bands, rng)
        self._mixing = mixing_matrix(draw(rng, config.colour_mixing))
        self._radii: dict[tuple[int, int], tuple[NDArray[np.float64], NDArray[np.int32]]] = {}

    def image(self, layers: list[Layer], shape: tuple[int, int], defocus_um: float) -> NDArray[np.float32]:
        """Form an image of a field that lies flat.

        Parameters
        ----------
        layers : of the section
        shape : (H, W) of the field
        defocus_um : lens position minus the position that focuses the section's middle

        Returns
        -------
        (3, H, W) float32
            The three bands of light, each 1 in the empty field; `mixed` makes a camera's colours of them.
        """
        frequencies, places = self._radial(shape)
        bands = np.empty((3, *shape), np.float32)
        for number, band in enumerate(self.bands):
            spectrum = np.zeros((shape[0], shape[1] // 2 + 1), np.complex64)
            for layer in layers:
                absorption, phase = transfer(
                    frequencies,
                    wavelength_um=band.wavelength_um,
                    na=self.na,
                    coherence=self.coherence,
                    spherical_um=self.spherical_um,
                    defocus_um=defocus_um - layer.depth_um - band.shift_um,
                )
                per_um = 2 * math.pi / band.wavelength_um
                spectrum += layer.transmission[number] * self._spread(absorption, frequencies)[places]
                spectrum += layer.opd * self._spread(phase * per_um, frequencies)[places]
            bands[number] = np.fft.irfft2(spectrum, shape)
        bands += 1
        return bands

    def mixed(self, bands: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn bands of light (3, H, W) into the camera's colours, (H, W, 3); none is negative."""
        gains = np.array([band.gain for band in self.bands], np.float32)
        colours = cv2.transform(cv2.merge(list(bands)), self._mixing * gains)
        return np.maximum(np.asarray(colours, np.float32), 0)

    def _radial(self, shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Frequencies of a profile, and for every place of a spectrum the nearest of its fine samples."""
        if shape not in self._radii:
            down = np.fft.fftfreq(shape[0], self.um_per_px)
            across = np.fft.rfftfreq(shape[1], self.um_per_px)
            radius = np.hypot(down[:, None], across)
            # Detail of the profile crowds towards frequency 0 when far out of focus.
            profile = np.linspace(0, 1, PROFILE_POINTS) ** 1.5 * radius.max()
            fine = np.round(radius / radius.max() * (FINE_POINTS - 1)).astype(np.int32)
            self._radii[shape] = profile, fine
        return self._radii[shape]

    @staticmethod
    def _spread(profile: NDArray[np.float64], frequencies: NDArray[np.float64]) -> NDArray[np.float32]:
        """Sample a profile finely and evenly; all the wave optics of one layer is in these few numbers."""
        fine = np.linspace(0, frequencies[-1], FINE_POINTS)
        return np.interp(fine, frequencies, profile).astype(np.float32)

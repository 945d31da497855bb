"""The wave behind a small ball of glass or polymer.

Thirty micrometres of polymer in water are some ten wavelengths of optical path: the phase along a bead's rim
turns faster than a grid of camera pixels can hold. The transmission of a thin element of that path,

    T(r) = exp(i k dn l(r) - a l(r) / 4R) ,   l(r) = 2 sqrt(R^2 - r^2) within the radius R, and 1 outside,

is therefore never put on a grid. It is radially symmetric, so its spectrum is a Hankel transform,

    S(f) = 2 pi int_0^R [T(r) - 1] J0(2 pi f r) r dr ,

which is tabulated along one radius and laid out over the frequencies that the objective can see (Goodman,
Introduction to Fourier Optics, 3rd ed., section 2.1.5). What the rim throws past the aperture is lost, as in
a microscope: a dark ring around a centre that the ball focuses.

What is simplified: a bead is one thin element in the plane of its middle.
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["ball_spectrum", "lay_out"]

# Midpoints along the radius, and angles of the integral J0(x) = mean cos(x cos a): enough for x up to 60.
RADII = 300
ANGLES = 32
TABLE = 160


def ball_spectrum(
    radius_um: float, index_contrast: float, absorbance: float, wavelength_um: float, reach: float
) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Spectrum of what a ball adds to a plane wave, along one radius of the frequencies.

    Parameters
    ----------
    radius_um, index_contrast, absorbance : the ball; the absorbance is that through its middle, in e-folds of
        intensity
    wavelength_um : in vacuum
    reach : highest frequency, cycles per um

    Returns
    -------
    (N,) frequencies from 0 to `reach`, cycles per um, and (N,) the transform there, um^2
    """
    # In the ball's depth, not in its radius: there the phase, which steepens towards the rim, is straight.
    depth = (np.arange(RADII) + 0.5) / RADII
    r = radius_um * np.sqrt(1 - depth**2)
    area = 2 * math.pi * radius_um**2 * depth / RADII
    k = 2 * math.pi / wavelength_um
    added = np.exp((1j * k * index_contrast * 2 * radius_um - absorbance / 2) * depth) - 1
    frequencies = np.linspace(0, reach, TABLE)
    angles = math.pi * (np.arange(ANGLES) + 0.5) / (2 * ANGLES)
    argument = 2 * math.pi * np.outer(frequencies, r)
    bessel = np.zeros_like(argument)
    for cosine in np.cos(angles):
        bessel += np.cos(cosine * argument)
    weighted = area / ANGLES * added
    return frequencies, bessel @ weighted.real + 1j * (bessel @ weighted.imag)


def lay_out(
    table: tuple[NDArray[np.float64], NDArray[np.complex128]],
    frequencies: NDArray[np.float64],
    middle_um: tuple[float, float],
) -> NDArray[np.complex128]:
    """Lay a radial spectrum out over a square of frequencies, for a thing with its middle at a place.

    Parameters
    ----------
    table : from `ball_spectrum`; beyond it there is nothing
    frequencies : (N,) along each side of the square, cycles per um
    middle_um : (x, y)

    Returns
    -------
    (N, N) complex, um^2
    """
    known, transform = table
    radial = np.hypot(frequencies[None, :], frequencies[:, None])
    spread = np.interp(radial, known, transform.real, right=0.0) + 1j * np.interp(
        radial, known, transform.imag, right=0.0
    )
    across, down = (np.exp(-2j * math.pi * frequencies * place) for place in middle_um)
    laid: NDArray[np.complex128] = spread * down[:, None] * across[None, :]
    return laid

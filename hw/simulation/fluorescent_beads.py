"""Sub-resolution fluorescent beads in the field of a high-aperture objective.

The image of a bead is the scalar point spread function of a circular pupil (Born & Wolf, Principles of
Optics, 7th ed., section 8.8, with the defocus phase of high apertures),

    h(r, z) = | integral_0^NA J0(k r s) exp(i k [ z (sqrt(n^2 - s^2) - n) + W(s) ]) s ds |^2 ,

taken at the middles of the pixels. Beads do not interfere: their images add.
"""

import math

import numpy as np
from numpy.typing import NDArray

from hw.simulation.config import draw
from hw.simulation.slit_config import PlateBeadsConfig

__all__ = ["BeadImages", "PointSpread"]

RADIUS_STEP_UM, DEFOCUS_STEP_UM = 0.02, 0.05
# Farther from focus a bead is as faint as the background.
MOST_DEFOCUS_UM = 12.0
PUPIL_POINTS, ANGLES = 160, 128


class PointSpread:
    """Table of a point spread function, whose axial peak lies at defocus 0 and is 1.

    Parameters
    ----------
    na, index : of the objective and its immersion
    wavelength_um : of the light
    spherical_waves : Zernike coefficient, waves RMS
    reach_um : largest radius
    """

    def __init__(
        self, na: float, index: float, wavelength_um: float, spherical_waves: float, reach_um: float
    ) -> None:
        k = 2 * math.pi / wavelength_um
        s = (np.arange(PUPIL_POINTS) + 0.5) / PUPIL_POINTS * na
        squared = (s / na) ** 2
        waves = spherical_waves * math.sqrt(5) * (6 * squared * squared - 6 * squared + 1)
        axial = k * (np.sqrt(index**2 - s**2) - index)
        # Aberrations move the axial peak; where beads are brightest is focus.
        near = np.linspace(-1, 1, 2001)
        on_axis = np.abs(np.exp(1j * (near[:, None] * axial + 2 * math.pi * waves)) @ s) ** 2
        peak_um = float(near[on_axis.argmax()])
        radii = np.arange(0, reach_um + 2 * RADIUS_STEP_UM, RADIUS_STEP_UM)
        depths = np.arange(-MOST_DEFOCUS_UM, MOST_DEFOCUS_UM + DEFOCUS_STEP_UM / 2, DEFOCUS_STEP_UM)
        pupil = s[:, None] * np.exp(1j * (axial[:, None] * (depths + peak_um) + 2 * math.pi * waves[:, None]))
        field = np.empty((len(radii), len(depths)), np.complex128)
        turns = np.cos((np.arange(ANGLES) + 0.5) * (math.pi / ANGLES))
        for number, r in enumerate(radii):
            # Bessel's integral for J0.
            field[number] = np.cos((k * r) * np.outer(turns, s)).mean(0) @ pupil
        table = np.abs(field.T) ** 2
        self._table = (table / table.max()).astype(np.float32)
        self._depths = depths

    def profile(self, defocus_um: float) -> NDArray[np.float32]:
        """Intensity at radii `RADIUS_STEP_UM` apart; nothing beyond `MOST_DEFOCUS_UM`."""
        place = (defocus_um - self._depths[0]) / DEFOCUS_STEP_UM
        row = math.floor(place)
        if not 0 <= row < len(self._table) - 1:
            return np.zeros(self._table.shape[1], np.float32)
        share = np.float32(place - row)
        return np.asarray((1 - share) * self._table[row] + share * self._table[row + 1], np.float32)


class BeadImages:
    """The beads of one place, and their image at any defocus.

    Parameters
    ----------
    config : the rig file's `simulation.beads`
    um_per_px, size_px : of the imaging camera
    rng : what is random is drawn from it
    """

    def __init__(
        self, config: PlateBeadsConfig, um_per_px: float, size_px: tuple[int, int], rng: np.random.Generator
    ) -> None:
        width, height = size_px
        count = max(1, round(draw(rng, config.number)))
        self._background = draw(rng, config.background)
        self._brightness = [draw(rng, config.brightness) for _ in range(count)]
        heights = rng.normal(0, draw(rng, config.height_um), count)
        # Focus is defined by the mean of all beads there are, of which a field shows some.
        self._heights_um = [float(h) for h in heights]
        middles = np.stack([rng.uniform(0.1, 0.9, count) * width, rng.uniform(0.1, 0.9, count) * height], 1)
        x, y = np.arange(width)[None, :], np.arange(height)[:, None]
        self._radii = [
            (np.hypot(x - cx, y - cy) * (um_per_px / RADIUS_STEP_UM)).astype(np.intp) for cx, cy in middles
        ]
        self._shape = (height, width)

    def image(self, spread: PointSpread, defocus_um: float) -> NDArray[np.float32]:
        """Light on the camera, (height, width) float32; 1 is white.

        Parameters
        ----------
        spread : whose table reaches over the whole field
        defocus_um : lens position minus that which focuses the mean of the beads
        """
        light = np.full(self._shape, self._background, np.float32)
        for radii, height, brightness in zip(self._radii, self._heights_um, self._brightness, strict=True):
            profile = np.float32(brightness) * spread.profile(defocus_um - height)
            # Three times as fast as indexing; no radius lies outside.
            light += np.take(profile, radii, mode="clip")
        return light

"""How far sub-resolution beads lie from focus, one by one, from a z-stack (as paper 4 does with PSFj)."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.measure import luminance
from calibration.peak import NoFocusPeak, find_peak
from calibration.robust import robust_sigma
from calibration.stack import ZStack

__all__ = ["Bead", "beads_in"]

# A bead stands out of the sharpest-pixel projection by this many deviations of its noise...
LEAST_SIGMAS = 8.0
# ...and is the brightest within this many pixels, which keep as far from the edge.
APART_PX = 4


@dataclass(frozen=True)
class Bead:
    """One bead.

    Attributes
    ----------
    x_px, y_px : its pixel
    focus_um : lens position that shows it brightest, um; None where that cannot be said
    sigma_um : its standard deviation
    reason : why there is no `focus_um`
    """

    x_px: int
    y_px: int
    focus_um: float | None
    sigma_um: float | None = None
    reason: str = ""


def beads_in(stack: ZStack) -> list[Bead]:
    """Find the beads of a stack, and the lens position that shows each brightest.

    Beads are the local maxima of the projection along z. A bead's curve is the mean of its 3x3 pixels over
    the plane's median, and its focus the curve's maximum between the planes (`calibration.peak`). A bead
    whose curve has none, as one that comes to focus outside the stack, is given with the reason.

    Parameters
    ----------
    stack : of at least five planes, whose steps are no wider than half the depth of field
    """
    planes = np.stack([luminance(image) for image in stack.images]).astype(np.float32)
    smooth = np.stack([cv2.blur(plane, (3, 3)) for plane in planes])
    smooth -= np.median(smooth, axis=(1, 2))[:, None, None]
    beads = []
    for y, x in _bright_places(smooth.max(axis=0)):
        try:
            peak = find_peak(stack.positions_um, smooth[:, y, x].astype(np.float64))
            beads.append(Bead(x, y, peak.position, peak.sigma))
        except NoFocusPeak as error:
            beads.append(Bead(x, y, None, None, str(error)))
    return beads


def _bright_places(brightest: NDArray[Any]) -> list[tuple[int, int]]:
    """Rows and columns of the local maxima that stand out of the noise."""
    middle = float(np.median(brightest))
    noise = robust_sigma(brightest - middle)
    side = 2 * APART_PX + 1
    around = cv2.dilate(brightest, np.ones((side, side), np.uint8))
    inside = np.zeros(brightest.shape, bool)
    inside[APART_PX:-APART_PX, APART_PX:-APART_PX] = True
    found = (brightest == around) & (brightest > middle + LEAST_SIGMAS * max(noise, 1e-6)) & inside
    return [(int(y), int(x)) for y, x in np.argwhere(found)]

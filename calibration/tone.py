"""How much a focus hangs on the camera's tone curve.

Most cameras do not give grey levels in proportion to the light. What the curve is nobody knows, and a wide,
flat peak moves with it: the very peaks that are least to be trusted.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.peak import Criterion, NoFocusPeak, find_peak

__all__ = ["TONES", "tone_shift"]

TONES = (0.8, 1.25)
"""Exponents by which grey levels are changed; tone curves of cameras have 0.45 (sRGB, roughly) to 1."""


def tone_shift(
    positions: NDArray[np.float64],
    planes: Sequence[NDArray[np.float64]],
    measured: Callable[[Iterable[NDArray[np.float64]]], NDArray[np.float64]],
    criterion: Criterion,
) -> float | None:
    """Return how far the peak moves when grey levels are raised to a power, in the unit of the positions.

    Parameters
    ----------
    positions : (Z,)
    planes : Z images (H, W) of grey levels
    measured : gives the focus measure of each of such planes
    criterion : what focus is on the measure's curve

    Returns
    -------
    float or None
        Half the distance between the peaks at the lower and the higher of `TONES`; None where there is none.
    """
    top = max((float(plane.max()) for plane in planes), default=0.0)
    if top <= 0:
        return None
    peaks = []
    for exponent in TONES:
        # One at a time: a stack of full frames fills a Pi as it is.
        toned = (top * (np.maximum(plane, 0) / top) ** exponent for plane in planes)
        try:
            peaks.append(find_peak(positions, measured(toned), criterion))
        except NoFocusPeak:
            return None
    return abs(peaks[1].position - peaks[0].position) / 2

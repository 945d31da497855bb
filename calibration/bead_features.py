"""What of a bead's image tells focus: how steeply its centre falls off, and how bright it is (paper 5)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.beads import BeadSearch, BeadTrack, crop, crop_corner, track_beads
from calibration.measure import luminance
from calibration.radial_profile import RadialProfile, fit_profile
from calibration.stack import ZStack
from hw.errors import StackError

__all__ = ["FEATURES", "BeadFeatures", "bead_profile", "bead_values", "measure_stack", "white_level"]

FEATURES = ("steepest_slope", "centre_intensity")
"""Names of the features; both are highest at the reference plane."""

CENTRE_PX = 1.0
"""Distance from the centre at which its intensity is read off, px: at 0 a spline rests on few pixels."""

PROFILE_DIAMETERS = 0.8
"""How far the profile reaches, in bead diameters."""

SURROUND_DIAMETERS = (1.05, 2.1)
"""Where the background is taken, in bead diameters from the centre; 20 to 40 px for the beads of paper 5."""


@dataclass(frozen=True, eq=False)
class BeadFeatures:
    """Features of every bead in every plane of one stack.

    Attributes
    ----------
    name : of the stack
    positions_um : (Z,) lens positions
    values : (2, N, Z) the features in the order of `FEATURES`: the steepest fall of intensity with radius,
        per pixel, and the intensity of the centre; both over the background's intensity
    saturated : (N, Z) bool, whether the bead's image has saturated pixels
    tracks : the beads
    """

    name: str
    positions_um: NDArray[np.float64]
    values: NDArray[np.float64]
    saturated: NDArray[np.bool_]
    tracks: tuple[BeadTrack, ...]

    def of_beads(self, chosen: NDArray[np.intp]) -> "BeadFeatures":
        """Return the same for some of the beads, which may be chosen more than once."""
        return BeadFeatures(
            self.name,
            self.positions_um,
            self.values[:, chosen],
            self.saturated[chosen],
            tuple(self.tracks[index] for index in chosen),
        )


def white_level(stack: ZStack) -> int:
    """Level that a saturated pixel has: of 16 bit images, the top of the 10, 12, 14 or 16 bits they use."""
    if stack.images.dtype == np.uint8:
        return 255
    highest = int(stack.images.max())
    return next(level for bits in (10, 12, 14, 16) if highest <= (level := 2**bits - 1))


def bead_profile(
    grey: NDArray[np.float64], centre_px: tuple[float, float], search: BeadSearch
) -> tuple[RadialProfile, float]:
    """Return a bead's radial profile and the intensity of its background.

    Parameters
    ----------
    grey : (H, W) the plane
    centre_px : (x, y)
    search : gives the bead's size and the crop, beyond which nothing is looked at
    """
    profile = fit_profile(grey, centre_px, PROFILE_DIAMETERS * search.diameter_px)
    square = crop(grey, centre_px, search.crop_px)
    left, top = crop_corner(grey, centre_px, search.crop_px)
    dx = np.arange(search.crop_px) + left - centre_px[0]
    dy = np.arange(search.crop_px) + top - centre_px[1]
    distance = np.hypot(dx[None, :], dy[:, None]) / search.diameter_px
    ring = (distance >= SURROUND_DIAMETERS[0]) & (distance <= SURROUND_DIAMETERS[1])
    # The median where paper 5 has the mean: a neighbour does not pull it.
    return profile, float(np.median(square[ring]))


def bead_values(
    grey: NDArray[np.float64], centre_px: tuple[float, float], search: BeadSearch
) -> tuple[float, float]:
    """Return the features of one bead in one plane, in the order of `FEATURES`; arguments as `bead_profile`.

    The steepest slope is that of the fall from the centre outwards, which is the steepest of all near the
    reference plane (paper 5 takes the slope farthest from 0, which far from it is the rise at the rim).
    """
    profile, background = bead_profile(grey, centre_px, search)
    background = max(background, 1e-6)
    radii = np.linspace(0, PROFILE_DIAMETERS * search.diameter_px, 8 * round(search.diameter_px))
    steepest = max(0.0, -float(profile.at(radii, 1).min()))
    return steepest / background, float(profile.at(CENTRE_PX)) / background


def measure_stack(
    stack: ZStack,
    search: BeadSearch,
    *,
    name: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> BeadFeatures:
    """Find the beads of a stack and measure their features in every plane.

    Parameters
    ----------
    stack : the planes
    search : what counts as a bead
    name : of the stack
    progress : called with planes done and their number

    Raises
    ------
    StackError
        The background is saturated, or there are no beads.
    """
    planes = len(stack.images)
    report = progress or (lambda done, total: None)
    white = white_level(stack)
    if np.median([np.median(image) for image in stack.images]) >= white:
        raise StackError("the background is saturated; record with a shorter exposure")
    tracks = track_beads(stack, search, lambda done, total: report(done, total + planes))
    values = np.zeros((2, len(tracks), planes))
    saturated = np.zeros((len(tracks), planes), np.bool_)
    reach = search.diameter_px / 2
    for number, image in enumerate(stack.images):
        grey = luminance(image)
        for index, track in enumerate(tracks):
            x, y = (float(v) for v in track.centres_px[number])
            values[:, index, number] = bead_values(grey, (x, y), search)
            box = image[round(y - reach) : round(y + reach) + 1, round(x - reach) : round(x + reach) + 1]
            saturated[index, number] = bool((box >= white).any())
        report(2 * planes + number + 1, 3 * planes)
    return BeadFeatures(name, stack.positions_um, values, saturated, tuple(tracks))

"""How far an image is from the reference plane, by the beads in it and one network or several (paper 5).

Each bead that is found is cut out and shown to each network. A network's answer is the mean over its beads
without outliers, that of all networks the mean of theirs (paper 5, section "Test on different instruments").
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.bead_features import bead_values
from calibration.beads import CENTRE_REACH, BeadSearch, crop, find_beads
from calibration.measure import luminance
from calibration.radial_profile import find_centre
from calibration.robust import within_fences
from edge.bundle import window_px
from hw.errors import ConfigError
from training.judge import Judge

__all__ = [
    "ENOUGH_BEADS",
    "BeadAnswers",
    "BeadCrops",
    "PooledOffset",
    "ask",
    "cut_beads",
    "pool",
    "search_for",
]


ENOUGH_BEADS = 6
"""Fewer do not outvote one that lies elsewhere (paper 5, section "Number of models and number of beads")."""


@dataclass(frozen=True, eq=False)
class BeadCrops:
    """The beads of one image.

    Attributes
    ----------
    centres_px : (N, 2) x and y
    slopes : (N,) steepest fall of each bead's radial profile over its background, per pixel
    crops : (N, side, side, 3) uint8, the square about each
    """

    centres_px: NDArray[np.float64]
    slopes: NDArray[np.float64]
    crops: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class BeadAnswers:
    """What networks say about the beads of one image.

    Attributes
    ----------
    centres_px, slopes : of the beads
    offsets_um : (networks, N)
    """

    centres_px: NDArray[np.float64]
    slopes: NDArray[np.float64]
    offsets_um: NDArray[np.float64]

    def of(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "BeadAnswers":
        """Return the same for some of the beads."""
        return BeadAnswers(self.centres_px[chosen], self.slopes[chosen], self.offsets_um[:, chosen])


@dataclass(frozen=True, slots=True)
class PooledOffset:
    """What the beads of an image say together.

    Attributes
    ----------
    offset_um : the move that brings the reference plane into focus
    spread_um : standard deviation between the beads that were kept, of their means over the networks
    beads : how many were kept by at least one network
    """

    offset_um: float
    spread_um: float
    beads: int


def cut_beads(image: NDArray[np.uint8], search: BeadSearch) -> BeadCrops:
    """Find the beads of one image.

    Parameters
    ----------
    image : (H, W) grey or (H, W, 3) RGB
    search : what counts as a bead, and how large a square is cut out
    """
    grey = luminance(image).astype(np.float64)
    centres, slopes, crops = [], [], []
    reach = CENTRE_REACH * search.diameter_px
    for x, y in find_beads(image, search):
        centre = find_centre(grey, (float(x), float(y)), reach, search.diameter_px / 4)
        if centre is None:
            continue
        centres.append(centre)
        slopes.append(bead_values(grey, centre, search)[0])
        square = crop(image, centre, search.crop_px)
        crops.append(square if square.ndim == 3 else np.repeat(square[..., None], 3, axis=2))
    if not crops:
        side = search.crop_px
        return BeadCrops(np.empty((0, 2)), np.empty(0), np.empty((0, side, side, 3), np.uint8))
    return BeadCrops(np.array(centres), np.array(slopes), np.stack(crops))


def ask(beads: BeadCrops, judges: Sequence[Judge]) -> BeadAnswers:
    """Ask every network about every bead of an image.

    Parameters
    ----------
    beads : cut out by a search that is `search_for` the networks
    judges : networks, all of one input

    Raises
    ------
    ConfigError
        There is no network, or their inputs differ.
    """
    if len({(judge.spec.width_px, judge.spec.height_px, judge.spec.um_per_px) for judge in judges}) != 1:
        raise ConfigError(f"{len(judges)} networks of several inputs; give runs of one recipe")
    offsets = np.empty((len(judges), len(beads.crops)))
    if len(beads.crops):
        offsets = np.stack([judge.predict(beads.crops)[0] for judge in judges])
    return BeadAnswers(beads.centres_px, beads.slopes, offsets)


def search_for(judge: Judge, bead_um: float, um_per_px: float) -> BeadSearch:
    """Return the search whose crops show a network's field.

    Parameters
    ----------
    judge : the network
    bead_um : diameter of the beads
    um_per_px : of the images

    Raises
    ------
    StackError
        Beads are too small or too large for the crops.
    """
    return BeadSearch(bead_um / um_per_px, window_px(judge.spec, um_per_px)[0])


def pool(answers: BeadAnswers) -> PooledOffset | None:
    """Put the beads of one image together; None where there are none.

    Beads whose slope is an outlier among the image's are left out for all networks: they lie elsewhere. Then
    each network leaves out the beads about which its answer is one.
    """
    if not answers.offsets_um.size:
        return None
    answers = answers.of(within_fences(answers.slopes, 0))
    offsets = answers.offsets_um
    kept = within_fences(offsets, 1)
    by_network = [float(row[keep].mean()) for row, keep in zip(offsets, kept, strict=True)]
    of_beads = offsets[:, kept.any(axis=0)].mean(axis=0)
    return PooledOffset(float(np.mean(by_network)), float(of_beads.std()), len(of_beads))

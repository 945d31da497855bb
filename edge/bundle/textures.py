"""Generated images to ask any network about, where no recorded ones are at hand."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.bundle.card import Normalisation

__all__ = ["textures"]

# Between what a pixel and what a whole window resolves.
_FINEST_PX, _COARSEST_PX = 0.7, 12.0


def textures(
    count: int, width_px: int, height_px: int, normalisation: Normalisation, seed: int = 0
) -> NDArray[np.uint8]:
    """Return random textures, each blurred differently, as bright and colourful as a network's images were.

    They show no specimen: answers to them say that a network works, and whether two of them are the same one,
    not how good it is.

    Parameters
    ----------
    count : N, how many
    width_px, height_px : of each
    normalisation : of the network: mean and standard deviation of what it learnt from
    seed : of the textures

    Returns
    -------
    (N, height_px, width_px, 3) uint8
    """
    rng = np.random.default_rng(seed)
    blurs_px = np.geomspace(_FINEST_PX, _COARSEST_PX, count)
    images = np.empty((count, height_px, width_px, 3), np.uint8)
    for image, blur_px in zip(images, blurs_px, strict=True):
        rough = rng.standard_normal((height_px, width_px, 3)).astype(np.float32)
        smooth = cv2.GaussianBlur(rough, (0, 0), float(blur_px))
        spread = np.asarray(normalisation.std) / max(float(smooth.std()), 1e-6)
        image[...] = np.clip(255 * (normalisation.mean + smooth * spread), 0, 255).round()
    return images

"""Measures of how much there is to see: variance, size of a compressed file, sharpness as people see it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.measure.registry import measure

__all__ = ["jpeg_size", "normalised_variance", "perceived_sharpness"]

JPEG_QUALITY = 90
JPEG_MEAN = 64.0
BLUR_PX = 9


@measure("F. C. A. Groen et al., Cytometry 6 (1985) 81-91")
def normalised_variance(grey: NDArray[np.float64]) -> float:
    """Variance divided by the mean, which compensates for changes of brightness; 0 for a black image."""
    mean = float(grey.mean())
    return float(grey.var()) / mean if mean > 0 else 0.0


@measure("J. Knapper et al., J. Microscopy 285 (2022) 29-39, with the frames of a Raspberry Pi's own encoder")
def jpeg_size(grey: NDArray[np.float64]) -> float:
    """Bytes per pixel of the image as a baseline JPEG, beyond those of a uniform image of its size.

    The image is first scaled to a mean of 64 and clipped at 255, so that 8 and 16 bit images and changing
    brightness compare; the quality is 90. A camera with an encoder of its own gives this measure at no cost.
    """
    mean = float(grey.mean())
    if mean <= 0:
        return 0.0
    image = np.clip(np.rint(grey * (JPEG_MEAN / mean)), 0, 255).astype(np.uint8)
    return (_jpeg_bytes(image) - _jpeg_bytes(np.full_like(image, int(JPEG_MEAN)))) / grey.size


@measure("F. Crete et al., Proc. SPIE 6492 (2007) 64920I; after the quality assessment of paper 3")
def perceived_sharpness(grey: NDArray[np.float64]) -> float:
    """Sharpness as people judge it, 0 to 1: the share of detail that blurring the image again takes away.

    For each direction, with d the absolute difference of neighbours in the image and b that in the image
    blurred by the mean of 9 pixels along it, sharpness = sum max(0, d - b) / sum d; the lesser of the two
    directions counts, and a uniform image has 0. Fitted to the judgement of viewers by its authors. Noise is
    detail to it: what is far out of focus in a noisy image looks sharp.

    Paper 3 compares its network with a quality assessment that finds the plane of most detail as people do
    and defines it in a supplement that is not part of the paper; this is a published measure of the kind.
    """
    if min(grey.shape) < 3:
        return 0.0
    return min(_kept_down(grey), _kept_down(np.ascontiguousarray(grey.T)))


def _kept_down(grey: NDArray[np.float64]) -> float:
    blurred = cv2.blur(grey, (1, BLUR_PX), borderType=cv2.BORDER_REPLICATE)
    detail = np.abs(np.diff(grey, axis=0))
    left = np.maximum(detail - np.abs(np.diff(blurred, axis=0)), 0)
    whole = float(detail.sum())
    return float(left.sum()) / whole if whole > 0 else 0.0


def _jpeg_bytes(image: NDArray[np.uint8]) -> int:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return len(data)

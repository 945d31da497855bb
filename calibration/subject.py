"""Where in a stack the one thing is that it was recorded of.

The focus of a whole window is that of everything in it: plate, dust and other worms lie elsewhere than the
worm's middle, and a few sharp grains outweigh it. So a label is that of the subject, where there is one.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.measure import luminance
from calibration.stack import ZStack
from hw.frame import Box

__all__ = ["find_subject"]

WORKING_PX = 240
"""Images are shrunk to this length before anything is looked for."""

SMOOTHING = 0.02
"""Sigma over which deviations are pooled, as a share of the image's longer side: grains get faint by it."""

BRIGHTEST = 0.99
"""Deviations above this quantile count as much as it: a few dark grains shall not set the threshold."""

CLOSING = 0.03
"""Gaps up to this share of the image's longer side do not part an object."""

MARGIN = 0.07
"""The box reaches this share of the image's longer side beyond what was found: faint ends are not found."""

CENTRE_WEIGHT = 0.9
"""An object in a corner counts this much less than one in the middle, where the subject is kept."""

MIN_SHARE = 0.5
"""With less than this share of all objects, the chosen one is one of many."""

IN_THE_MIDDLE = 0.3
"""An object that lies in the middle up to this share of the way to a corner has its share by area and place;
any other by area alone, for nobody keeps a subject at the border."""


def find_subject(stack: ZStack, curve: Sequence[float] | NDArray[np.float64]) -> Box | None:
    """Find the box of the one object of a stack.

    The sharpest plane is taken, its shading removed, and what deviates from the background more than Otsu's
    threshold (IEEE Trans. Systems, Man and Cybernetics 9 (1979) 62-66) is parted into objects. The subject is
    a large one near the middle.

    Parameters
    ----------
    stack : the stack
    curve : (Z,) a focus measure of the whole planes that is largest in the sharpest

    Returns
    -------
    Box or None
        In pixels of the planes; None where no object stands out, or the one that counts most is one of many.
    """
    sharpest = luminance(stack.images[int(np.argmax(curve))])
    height, width = sharpest.shape
    longer = max(height, width)
    scale = min(1.0, WORKING_PX / longer)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(sharpest, size, interpolation=cv2.INTER_AREA)
    side = max(size)
    flat = small - cv2.GaussianBlur(small, (0, 0), side / 8, borderType=cv2.BORDER_REFLECT)
    deviation = np.sqrt(cv2.GaussianBlur(flat * flat, (0, 0), max(SMOOTHING * side, 0.5)))
    top = float(np.quantile(deviation, BRIGHTEST))
    if top <= 1e-9 * float(np.abs(small).max()):
        return None
    levels = np.rint(np.minimum(deviation, top) * (255 / top)).astype(np.uint8)
    _, mask = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    reach = max(3, 2 * math.ceil(CLOSING * side / 2) + 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
    count, _, boxes, centres = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    areas = boxes[1:, cv2.CC_STAT_AREA]
    from_middle = np.hypot(*((centres[1:] - np.array(size) / 2) / (np.array(size) / 2)).T) / math.sqrt(2)
    weights = areas * (1 - CENTRE_WEIGHT * from_middle)
    best = 1 + int(weights.argmax())
    counted = weights if from_middle[best - 1] < IN_THE_MIDDLE else areas
    if counted[best - 1] < MIN_SHARE * counted.sum():
        return None
    margin = MARGIN * longer
    x, y, w, h = (float(v) / scale for v in boxes[best][:4])
    left, upper = max(0, math.floor(x - margin)), max(0, math.floor(y - margin))
    right, lower = min(width, math.ceil(x + w + margin)), min(height, math.ceil(y + h + margin))
    return Box(left, upper, right - left, lower - upper)

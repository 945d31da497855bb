"""The focus measures by name, and what all of them have in common.

A measure gives one number for a grey (H, W) or RGB (H, W, 3) image of any real type, or for a box in it. It
computes in float64 on the luminance Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) and does not depend on the
number of pixels, so that images of different size compare; where the unit is that of grey levels, those of 8
and 16 bit images do not.

Whether focus is a measure's maximum or minimum is fixed for some and not for others. Contrast is largest in
focus for what absorbs or emits light, and *least* in focus for a pure phase object: that depends on the
specimen, and `Measure.focus_is` says what holds for the former. The spread of a power spectrum is least where
a spot of light is smallest.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hw.errors import ConfigError
from hw.frame import Box

__all__ = ["DEFAULT_MEASURE", "MEASURES", "FocusMeasure", "focus_measure", "luminance", "measure"]

DEFAULT_MEASURE = "vollath_f5"
"""What labels and true focus are defined by, unless told otherwise."""

OnGrey = Callable[[NDArray[np.float64]], float]


@dataclass(frozen=True)
class FocusMeasure:
    """A focus measure: call it with an image.

    Attributes
    ----------
    name : as in `MEASURES`
    on_grey : the measure of a grey (H, W) float64 image; its docstring has the equation
    focus_is : what it is in focus, for a specimen that absorbs or emits light
    source : where it was published
    """

    name: str
    on_grey: OnGrey
    focus_is: Literal["maximum", "minimum"]
    source: str

    def __call__(self, image: NDArray[Any], region: Box | None = None) -> float:
        """Measure an image, or a box in it.

        Parameters
        ----------
        image : (H, W) or (H, W, 3) RGB, any real type
        region : in pixels of the image; None for all of it

        Raises
        ------
        ValueError
            No image, or a region that does not lie inside it.
        """
        return self.on_grey(luminance(image if region is None else _cut(image, region)))


MEASURES: dict[str, FocusMeasure] = {}
"""All focus measures by name."""


def measure(
    source: str, *, focus_is: Literal["maximum", "minimum"] = "maximum"
) -> Callable[[OnGrey], FocusMeasure]:
    """Register a measure of grey float64 images under its function's name, for images of any kind."""

    def register(on_grey: OnGrey) -> FocusMeasure:
        entry = FocusMeasure(on_grey.__name__, on_grey, focus_is, source)
        MEASURES[entry.name] = entry
        return entry

    return register


def focus_measure(name: str) -> FocusMeasure:
    """Return a measure by name.

    Raises
    ------
    ConfigError
        There is none of this name.
    """
    try:
        return MEASURES[name]
    except KeyError:
        near = difflib.get_close_matches(name, MEASURES, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(sorted(MEASURES))}"
        raise ConfigError(f"unknown focus measure '{name}'; {hint}") from None


def luminance(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the luminance of an image, not rounded.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) RGB, any real type

    Returns
    -------
    (H, W) float64

    Raises
    ------
    ValueError
        Any other shape, or no pixels.
    """
    if image.size == 0 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"an image is (H, W) or (H, W, 3), not {image.shape}")
    if image.ndim == 2:
        return image.astype(np.float64)
    grey: NDArray[np.float64] = np.multiply(image[..., 0], 0.299, dtype=np.float64)
    grey += np.multiply(image[..., 1], 0.587, dtype=np.float64)
    grey += np.multiply(image[..., 2], 0.114, dtype=np.float64)
    return grey


def _cut(image: NDArray[Any], box: Box) -> NDArray[Any]:
    height, width = image.shape[:2]
    right, bottom = box.x + box.width, box.y + box.height
    if not (0 <= box.x < right <= width and 0 <= box.y < bottom <= height):
        raise ValueError(f"the region {tuple(box)} (x, y, width, height) is not inside {width} x {height}")
    return image[box.y : bottom, box.x : right]

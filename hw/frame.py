"""What a camera delivers: one frame, and boxes in it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Frame"]


class Box(NamedTuple):
    """A rectangle in full-frame pixels, origin top left."""

    x: int
    y: int
    width: int
    height: int

    @property
    def centre(self) -> tuple[float, float]:
        """Centre (x, y) in pixels."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Frame:
    """One exposure, with the lens position that it was taken at.

    Attributes
    ----------
    pixels : (H, W, 3) uint8, RGB
    index : running number given by the camera; a gap is a dropped frame
    exposure_start_s, exposure_s : seconds on the rig's clock
    lens_steps : lens position at mid-exposure, interpolated from the axis's history, in steps
    lens_moving : the lens was moving or settling at some time during the exposure
    preview : (h, w) uint8, brightness of the whole picture at a smaller size, for finding things; None from
        a camera that has no second stream
    """

    pixels: NDArray[np.uint8]
    index: int
    exposure_start_s: float
    exposure_s: float
    lens_steps: float
    lens_moving: bool
    preview: NDArray[np.uint8] | None = None

    @property
    def mid_exposure_s(self) -> float:
        """Time of mid-exposure in seconds on the rig's clock."""
        return self.exposure_start_s + self.exposure_s / 2

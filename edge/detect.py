"""Worm-like objects in one frame, in focus and out of it.

A worm on agar is darker than its surroundings in one part and brighter in the next, and its fringes change
sign with defocus. What stays is that it has more contrast than the agar around it, over an area of a worm's
length and width, and that on the whole it takes light away. So the image is reduced until a worm is a few
pixels wide, cleared of specks by a median, divided by its own large-scale brightness to r, and turned into a
map of local energy,

    e^2 = G * (|grad r|^2 + (k min(r - 1, 0) / w)^2),        G a Gaussian, w a worm's width,

where edges of either sign count, and darkness counts as an edge of its depth over w / k. Outlines of `e` are
taken at several levels above its noise, as in a component tree (maximally stable regions: Matas et al., Image
and Vision Computing 22, 2004), each outline is judged as a ribbon of so much length, width and contrast, and
of outlines inside one another those stay that are worth most as worms.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hw.frame import Box

__all__ = ["Detector", "WormLike"]

# As OpenCV gives it: (N, 1, 2) columns and rows.
_Outline = NDArray[np.int32]

# A worm this many pixels wide carries all that is needed to find it, and little noise.
_WORK_WIDTH_PX = 8.0
# The background is the mean over this many worm widths, taken twice.
_BACKGROUND_WIDTHS = 3.0
# Standard deviation of the energy's Gaussian, in worm widths.
_ENERGY_SIGMA_WIDTHS = 0.4
# Specks below half the area of this square, in reduced pixels, vanish: dust, sand, the grain of a lawn.
_MEDIAN_PX = 5
# Weight k of darkness against edges.
_DARKNESS = 2.8
# Lowest outline above the median energy, in robust standard deviations, and how many outlines follow.
_LOWEST_LEVEL = 4.0
_LEVELS = 6
# Highest outline, as a share of the frame's largest energy, and never more than this many deviations.
_HIGHEST_SHARE = 0.5
_HIGHEST_LEVEL = 60.0
# A perfectly smooth image still has contrast below which nothing is an object: energy per reduced pixel.
_NOISE_FLOOR = 1e-5
# A worm stays of one piece where its energy is above this share of its mean; a chain of eggs does not.
_CORE_SHARE = 0.9
# An outline around a single other is the same worm, seen whole: a focused gut alone has more contrast than
# the body with it. It needs only this share of the inner one's worth to replace it.
_WHOLE_SHARE = 0.9
# Outlines of the energy stand outside the body by this share of a worm's width on every side.
_HALO_WIDTHS = 0.3
# What is looked at around a part of the frame, in worm widths: as far as the background's mean reaches.
_SURROUNDINGS_WIDTHS = 3.0


@dataclass(frozen=True, slots=True)
class WormLike:
    """An object that may be a worm.

    Attributes
    ----------
    centre_px : centroid (x, y) of its outline, full-frame pixels
    box : bounding rectangle, full-frame pixels
    length_um, width_um : of the ribbon that has the outline's area and perimeter
    contrast : mean energy over the median of the frame, in robust standard deviations
    score : 0 to 1, how much like a worm in length, width, contrast, and in being of one piece
    """

    centre_px: tuple[float, float]
    box: Box
    length_um: float
    width_um: float
    contrast: float
    score: float


@dataclass(frozen=True, slots=True)
class _Backdrop:
    """What the energy of a whole image is where there is no worm, and its largest."""

    median: float
    deviation: float
    largest: float

    def levels(self, largest: float) -> list[float]:
        """Thresholds from the noise up to the brightest outline, in geometric steps above the median."""
        above = max(self.largest, largest) - self.median
        highest = min(_HIGHEST_SHARE * above / self.deviation, _HIGHEST_LEVEL)
        if highest <= _LOWEST_LEVEL:
            return [self.median + _LOWEST_LEVEL * self.deviation]
        step = (highest / _LOWEST_LEVEL) ** (1 / (_LEVELS - 1))
        return [self.median + self.deviation * _LOWEST_LEVEL * step**k for k in range(_LEVELS)]


@dataclass(frozen=True, slots=True)
class _Energy:
    """The map of local energy.

    Attributes
    ----------
    map : of the part looked at, reduced pixels
    part, whole : that part and the whole image, reduced pixels
    frame_size : width and height of the full frame
    """

    map: NDArray[np.float32]
    part: Box
    whole: Box
    frame_size: tuple[int, int]

    def cuts(self, x: int, y: int, width: int, height: int) -> bool:
        """Whether a rectangle of the map ends where the map does and the image does not."""
        part, whole = self.part, self.whole
        return (
            (x == 0 and part.x > 0)
            or (y == 0 and part.y > 0)
            or (x + width == part.width and part.x + part.width < whole.width)
            or (y + height == part.height and part.y + part.height < whole.height)
        )


class Detector:
    """Finds worm-like objects of a given size at a given scale.

    Parameters
    ----------
    length_um, width_um : of a worm
    um_per_px : specimen distance per pixel of the full frames
    """

    def __init__(self, length_um: float, width_um: float, um_per_px: float) -> None:
        self._length_um = length_um
        self._width_um = width_um
        self._full_um_per_px = um_per_px
        self._green = np.empty(0, np.uint8)
        self._median = np.empty(0, np.uint8)
        self._maps = tuple(np.empty(0, np.float32) for _ in range(4))
        self._look_at_scale(1.0)

    def _look_at_scale(self, scale: float) -> None:
        """Prepare for images whose pixels are `scale` full-frame pixels wide."""
        self._scale = scale
        self._image_reduction = max(
            1, round(self._width_um / (self._full_um_per_px * scale) / _WORK_WIDTH_PX)
        )
        # Full-frame pixels per reduced pixel.
        self._reduction = self._image_reduction * scale
        self._um_per_px = self._full_um_per_px * self._reduction
        self._width_px = self._width_um / self._um_per_px
        self._backdrop: _Backdrop | None = None

    def detect(
        self, pixels: NDArray[np.uint8], scale: float = 1.0, *, around: Box | None = None
    ) -> list[WormLike]:
        """Find worm-like objects, best first.

        Parameters
        ----------
        pixels : (H, W, 3) uint8, RGB; or (H, W) uint8, brightness
        scale : full-frame pixels per pixel of this image; above 1 for a smaller image of the whole field
        around : look at this part and its surroundings only, full-frame pixels, with the levels that the last
            whole image gave; without one before, the whole image is looked at

        Returns
        -------
        list of WormLike
            None lies inside another's outline, and none is cut off by an end of the part looked at that is
            no end of the image.
        """
        if scale != self._scale:
            self._look_at_scale(scale)
        n = self._image_reduction
        whole = Box(0, 0, pixels.shape[1] // n, pixels.shape[0] // n)
        part = whole if around is None or self._backdrop is None else self._surroundings(around, whole)
        energy = self._energy(self._reduce(pixels, part))
        largest = float(energy.max())
        if part == whole or self._backdrop is None:
            # Every third pixel of every third row is plenty for a median, at a tenth of the time.
            sample = energy[::3, ::3]
            median = float(np.median(sample))
            deviation = max(1.4826 * float(np.median(np.abs(sample - median))), _NOISE_FLOOR)
            self._backdrop = _Backdrop(median, deviation, largest)
        backdrop = self._backdrop
        frame_size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        seen = _Energy(energy, part, whole, frame_size)
        kept: list[tuple[WormLike, _Outline]] = []
        # From the highest level down: an outline replaces those inside it unless they are worth more.
        for level in reversed(backdrop.levels(largest)):
            for worm, outline in self._outlined(seen, level, backdrop):
                inside = [k for k in kept if _contains(outline, k[1])]
                rivals = sum(_worth(k[0]) for k in inside)
                if _worth(worm) >= (rivals * _WHOLE_SHARE if len(inside) == 1 else rivals):
                    kept = [k for k in kept if not any(k is i for i in inside)]
                    kept.append((worm, outline))
        return sorted((worm for worm, _ in kept), key=lambda w: -w.score)

    def _surroundings(self, around: Box, whole: Box) -> Box:
        """Reduced pixels of a part of the frame and of what its background is the mean of.

        All of them where next to nothing of that lies in the frame.
        """
        margin = _SURROUNDINGS_WIDTHS * self._width_px
        n = self._reduction
        left = max(0, math.floor(around.x / n - margin))
        top = max(0, math.floor(around.y / n - margin))
        right = min(whole.width, math.ceil((around.x + around.width) / n + margin))
        bottom = min(whole.height, math.ceil((around.y + around.height) / n + margin))
        if min(right - left, bottom - top) < margin:
            return whole
        return Box(left, top, right - left, bottom - top)

    def _reduce(self, pixels: NDArray[np.uint8], part: Box) -> NDArray[np.uint8]:
        """Green channel, averaged over squares of `reduction` pixels: the least noise of the three."""
        n = self._image_reduction
        # Whole squares only: INTER_AREA is ten times faster at an integer ratio. All of their rows: reading a
        # third of them would save a third of the time, but the noise left then costs focus on faint worms.
        grey = pixels[part.y * n : (part.y + part.height) * n, part.x * n : (part.x + part.width) * n]
        if grey.ndim == 3:
            if self._green.size < pixels.size // 3:
                self._green = np.empty(pixels.size // 3, np.uint8)
            green = self._green[: grey.size // 3].reshape(grey.shape[:2])
            grey = np.asarray(cv2.extractChannel(grey, 1, green), np.uint8)
        if n == 1:
            return grey
        return np.asarray(cv2.resize(grey, (part.width, part.height), interpolation=cv2.INTER_AREA), np.uint8)

    def _energy(self, small: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the map of local energy, in a buffer that the next call overwrites.

        Nothing is allocated: getting fresh memory from the system takes longer than computing with it.
        """
        if self._median.size < small.size:
            self._median = np.empty(small.size, np.uint8)
            self._maps = tuple(np.empty(small.size, np.float32) for _ in self._maps)
        relative, first, second, energy = (each[: small.size].reshape(small.shape) for each in self._maps)
        median = self._median[: small.size].reshape(small.shape)
        cv2.medianBlur(small, _MEDIAN_PX, dst=median)
        np.copyto(relative, median)
        side = int(_BACKGROUND_WIDTHS * self._width_px) | 1
        cv2.blur(relative, (side, side), dst=first)
        cv2.blur(first, (side, side), dst=second)
        cv2.divide(relative, np.maximum(second, 1, out=second), dst=relative)
        # A Sobel kernel's weights add up to 8 per unit of gradient.
        cv2.Sobel(relative, cv2.CV_32F, 1, 0, dst=first, scale=1 / 8)
        cv2.Sobel(relative, cv2.CV_32F, 0, 1, dst=second, scale=1 / 8)
        squared = np.multiply(first, first, out=first)
        cv2.accumulateSquare(second, squared)
        dark = np.minimum(np.subtract(relative, 1, out=relative), 0, out=relative)
        dark *= _DARKNESS / self._width_px
        cv2.accumulateSquare(dark, squared)
        sigma = _ENERGY_SIGMA_WIDTHS * self._width_px
        reach = 2 * round(3 * sigma) + 1
        cv2.GaussianBlur(squared, (reach, reach), sigma, dst=second)
        return np.asarray(cv2.sqrt(second, dst=energy), np.float32)

    def _outlined(self, seen: _Energy, level: float, backdrop: _Backdrop) -> list[tuple[WormLike, _Outline]]:
        """Objects that stand out at a level, with their outlines in the part looked at."""
        energy, median = seen.map, backdrop.median
        mask = (energy > level).view(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        found = []
        for outline in (np.asarray(o, np.int32) for o in outlines):
            # The outline runs through the centres of its pixels: half a pixel is missing all around.
            half_perimeter = cv2.arcLength(outline, True) / 2
            if half_perimeter * self._um_per_px < 0.3 * self._length_um:
                continue
            area = cv2.contourArea(outline) + half_perimeter
            length_um, width_um = (d * self._um_per_px for d in _ribbon(area, half_perimeter + 2))
            shape = self._shape_score(length_um, width_um)
            if shape < 0.05:
                continue
            x, y, width, height = cv2.boundingRect(outline)
            if seen.cuts(x, y, width, height):
                continue
            inside = np.zeros((height, width), np.uint8)
            cv2.drawContours(inside, [outline], 0, 1, cv2.FILLED, offset=(-x, -y))
            patch = energy[y : y + height, x : x + width]
            mean = cv2.mean(patch, inside)[0]
            contrast = (mean - median) / backdrop.deviation
            core = _longest((patch > median + _CORE_SHARE * (mean - median)).view(np.uint8) & inside)
            unbroken = _flat_top(max(core, 1.0) * self._um_per_px / length_um, 0.5, 2.0, 0.3)
            moments = cv2.moments(inside, True)
            left, top = x + seen.part.x, y + seen.part.y
            found.append(
                (
                    WormLike(
                        centre_px=(
                            (left + moments["m10"] / moments["m00"] + 0.5) * self._reduction,
                            (top + moments["m01"] / moments["m00"] + 0.5) * self._reduction,
                        ),
                        box=self._full_box(left, top, width, height, seen.frame_size),
                        length_um=length_um,
                        width_um=width_um,
                        contrast=contrast,
                        score=shape * unbroken * _visibility(contrast),
                    ),
                    outline,
                )
            )
        return found

    def _shape_score(self, length_um: float, width_um: float) -> float:
        """1 for a worm's length and width, blurred or not; falling to 0 over about a factor of two."""
        length = length_um / self._length_um
        width = width_um / self._width_um
        return _flat_top(length, 0.75, 1.6, 0.3) * _flat_top(width, 1.2, 3.2, 0.4)

    def _full_box(self, x: int, y: int, width: int, height: int, frame_size: tuple[int, int]) -> Box:
        """Bounding rectangle in full-frame pixels, less the halo of the energy, inside the frame."""
        n = self._reduction
        halo = min(_HALO_WIDTHS * self._width_px, (width - 1) / 2, (height - 1) / 2)
        left, top = round((x + halo) * n), round((y + halo) * n)
        right = min(round((x + width - halo) * n), frame_size[0])
        bottom = min(round((y + height - halo) * n), frame_size[1])
        return Box(left, top, max(1, right - left), max(1, bottom - top))


def _ribbon(area: float, half_perimeter: float) -> tuple[float, float]:
    """Length and width of the ribbon with this area = L W and this half perimeter = L + W."""
    root = math.sqrt(max(half_perimeter * half_perimeter - 4 * area, 0.0))
    length = (half_perimeter + root) / 2
    return length, area / length


def _longest(mask: NDArray[np.uint8]) -> float:
    """Length of the longest connected part, in pixels; 0 for an empty mask."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    longest = 0.0
    for outline in outlines:
        half_perimeter = cv2.arcLength(outline, True) / 2
        area = cv2.contourArea(outline) + half_perimeter
        longest = max(longest, _ribbon(area, half_perimeter + 2)[0] if area > 0 else 0.0)
    return longest


def _flat_top(ratio: float, low: float, high: float, spread: float) -> float:
    """1 between `low` and `high`, a Gaussian of the logarithm with standard deviation `spread` outside."""
    outside = max(math.log(low / ratio), math.log(ratio / high), 0.0)
    return math.exp(-0.5 * (outside / spread) ** 2)


def _visibility(contrast: float) -> float:
    """0 at the lowest level, 0.6 at 12 deviations, 0.9 at 22."""
    return 1 - math.exp(-max(0.0, contrast - _LOWEST_LEVEL) / 8)


def _worth(worm: WormLike) -> float:
    """Weigh an object against what lies inside it.

    Two whole worms are worth more than the heap that they form, and one whole worm more than its halves.
    """
    return max(0.0, worm.score - 0.4) + 0.05 * worm.score


def _contains(outer: _Outline, inner: _Outline) -> bool:
    """Whether the outline of a higher level lies inside this one; level sets are nested, so a point tells."""
    x, y = (int(v) for v in inner[0, 0])
    return cv2.pointPolygonTest(outer, (x, y), False) >= 0

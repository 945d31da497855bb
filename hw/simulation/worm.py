"""A crawling worm: its path and posture over time, and its body as thin optical slices."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hw.simulation.config import WormConfig, draw

__all__ = ["Body", "Crawl", "Posture"]

MIDLINE_POINTS = 96
TEXTURE_ALONG, TEXTURE_ACROSS = 512, 64
# Share of the body's length over which the gut begins and ends, so that no hard edge is drawn.
GUT_FADE = 0.04


@dataclass(frozen=True)
class Posture:
    """The midline of a worm, head first.

    Attributes
    ----------
    points_um : (N, 2) x, y in the plate's plane, equally spaced along the body
    """

    points_um: NDArray[np.float64]

    @property
    def centre_um(self) -> tuple[float, float]:
        """Mean of the midline, (x, y)."""
        x, y = self.points_um.mean(axis=0)
        return float(x), float(y)


class Crawl:
    """Where a worm is and how it is bent, at any time.

    The tangent angle along the body is a travelling sine wave about the heading (the gait of crawling worms,
    e.g. Gray & Lissmann 1964); the heading wanders, and turns back towards the field's centre at `roam_um`.
    The path is integrated once, in steps of `STEP_S`.

    Parameters
    ----------
    config : the rig file's `simulation.worm`
    rng : what is random is drawn from it, now and as the path is extended
    start_um : (x, y) of the body's centre at time 0, um from the field's middle
    """

    STEP_S = 0.05

    def __init__(
        self, config: WormConfig, rng: np.random.Generator, start_um: tuple[float, float] = (0, 0)
    ) -> None:
        self.length_um = draw(rng, config.length_um)
        self._bend = draw(rng, config.bend_rad)
        self._waves = draw(rng, config.waves)
        self._frequency = draw(rng, config.frequency_hz)
        self._slip = draw(rng, config.slip)
        self._turn = draw(rng, config.turn_rad_s)
        self._reversal_s = draw(rng, config.reversal_s)
        self._roam = draw(rng, config.roam_um)
        self._backwards_s = draw(rng, config.backwards_s)
        self._return = draw(rng, config.roam_return_per_s)
        self._phase0 = rng.uniform(0, 2 * math.pi)
        self._curl = rng.normal(0, draw(rng, config.curl_rad))
        self._rng = rng
        # Rows of x, y, heading, wave phase, direction (+1 forwards, -1 backwards).
        self._path = [(start_um[0], start_um[1], rng.uniform(-math.pi, math.pi), self._phase0, 1.0)]

    def posture(self, t: float) -> Posture:
        """Posture at time `t` in seconds."""
        self._extend(t)
        index = t / self.STEP_S
        i = int(index)
        share = index - i
        a, b = self._path[i], self._path[i + 1]
        x, y, heading, phase = (a[k] + share * (b[k] - a[k]) for k in range(4))
        s = (np.arange(MIDLINE_POINTS) + 0.5) / MIDLINE_POINTS
        angle = heading + math.pi + self._bend * np.sin(2 * math.pi * self._waves * s + phase)
        angle = angle + self._curl * (s - 0.5)
        spacing = self.length_um / MIDLINE_POINTS
        points = np.cumsum(np.stack([np.cos(angle), np.sin(angle)], axis=1) * spacing, axis=0)
        return Posture(points - points.mean(axis=0) + (x, y))

    def _extend(self, t: float) -> None:
        dt = self.STEP_S
        # A sine of tangent angle shortens the body to about cos(bend) of its length.
        speed = self._frequency * self.length_um / self._waves * (1 - self._slip) * math.cos(self._bend * 0.7)
        while len(self._path) < int(t / dt) + 2:
            x, y, heading, phase, direction = self._path[-1]
            if self._rng.random() < dt / (self._reversal_s if direction > 0 else self._backwards_s):
                direction = -direction
            x += direction * speed * math.cos(heading) * dt
            y += direction * speed * math.sin(heading) * dt
            heading += self._rng.normal(0, self._turn * math.sqrt(dt))
            distance = math.hypot(x, y)
            if distance > self._roam:
                inwards = math.atan2(-y, -x) + (0 if direction > 0 else math.pi)
                error = (inwards - heading + math.pi) % (2 * math.pi) - math.pi
                heading += error * min(1.0, self._return * dt * distance / self._roam)
            phase += direction * 2 * math.pi * self._frequency * dt
            self._path.append((x, y, heading, phase, direction))


class Body:
    """What one worm is made of: a tapered, refracting body with a granular gut, a pharynx and a cuticle.

    Parameters
    ----------
    config : the rig file's `simulation.worm`
    rng : what is random is drawn from it
    length_um : of the body, um
    """

    def __init__(self, config: WormConfig, rng: np.random.Generator, length_um: float) -> None:
        self.length_um = length_um
        self.diameter_um = draw(rng, config.diameter_um)
        self._index = draw(rng, config.index_contrast)
        self._rim = draw(rng, config.rim_absorbance)
        self._body = draw(rng, config.body_absorbance)
        self._cuticle_um = draw(rng, config.cuticle_um)
        self._head, self._tail = draw(rng, config.head_taper), draw(rng, config.tail_taper)
        opd, gut = self._texture(config, rng)
        blue = draw(rng, config.gut_blue_excess)
        self._inner_opd = opd
        self._gut = gut
        self._tint = np.array([1.0, 1 + blue / 2, 1 + blue], np.float32)

    def _texture(
        self, config: WormConfig, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Optical path (um) and gut absorbance in body coordinates, (across, along)."""
        along_um = self.length_um / TEXTURE_ALONG
        across_um = self.diameter_um / TEXTURE_ACROSS
        granule = draw(rng, config.granule_um)
        shape = (TEXTURE_ACROSS, TEXTURE_ALONG)

        def grains(size_um: float) -> NDArray[np.float32]:
            noise = rng.standard_normal(shape, dtype=np.float32)
            sigma = (max(size_um / along_um / 2, 0.3), max(size_um / across_um / 2, 0.3))
            blurred = np.asarray(
                cv2.GaussianBlur(noise, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1]), np.float32
            )
            return blurred / np.float32(blurred.std())

        u = ((np.arange(TEXTURE_ALONG, dtype=np.float32) + 0.5) / TEXTURE_ALONG)[None, :]
        v = ((np.arange(TEXTURE_ACROSS, dtype=np.float32) + 0.5) / TEXTURE_ACROSS * 2 - 1)[:, None]
        path = 0.03 * self.length_um
        wander = cv2.GaussianBlur(rng.standard_normal((1, TEXTURE_ALONG), dtype=np.float32), (0, 0), path)
        aside = draw(rng, config.gut_wander)
        wander = np.asarray(wander, np.float32) * np.float32(aside / max(float(wander.std()), 1e-6))
        inside = np.exp(-(((v - wander) / draw(rng, config.gut_width)) ** 4))
        first, last = draw(rng, config.gut_start), draw(rng, config.gut_end)
        gut_range = np.clip((u - first) / GUT_FADE, 0, 1) * np.clip((last - u) / GUT_FADE, 0, 1)
        patchy = np.clip(0.7 + 0.3 * grains(6 * granule), 0.1, None)
        gut = np.clip(0.15 + grains(granule), 0, None) * patchy * inside * gut_range
        gut *= draw(rng, config.gut_absorbance)

        opd = draw(rng, config.granule_opd_um) * grains(granule) * (0.35 + inside * gut_range)
        pharynx = draw(rng, config.pharynx_opd_um)
        for bulb in config.pharynx_bulbs:
            centre, half, width = (draw(rng, s) for s in (bulb.place, bulb.half_length, bulb.half_width))
            opd = opd + pharynx * np.exp(-(((u - centre) / half) ** 2) - (v / width) ** 2)
        eggs = config.eggs
        fewest, most = eggs.number
        for _ in range(int(rng.integers(fewest, most, endpoint=True))):
            centre, side = draw(rng, eggs.place), draw(rng, eggs.side)
            half, width = draw(rng, eggs.half_length), draw(rng, eggs.half_width)
            radius = ((u - centre) / half) ** 2 + ((v - side) / width) ** 2
            opd = opd + draw(rng, eggs.opd_of_pharynx) * pharynx * np.exp(-(radius**2))
        return opd.astype(np.float32), gut.astype(np.float32)

    def add_to(
        self,
        opd_um: tuple[NDArray[np.float32], NDArray[np.float32]],
        absorbance: tuple[NDArray[np.float32], NDArray[np.float32]],
        posture: Posture,
        origin_um: tuple[float, float],
        grid_um: float,
    ) -> None:
        """Add the body's lower and upper half to two slices.

        Parameters
        ----------
        opd_um : lower and upper (H, W) maps, um, added to
        absorbance : lower and upper (3, H, W) maps, e-folds, added to
        posture : where the body lies
        origin_um : x, y of the maps' first point
        grid_um : their spacing
        """
        shape = opd_um[0].shape
        points = (posture.points_um - origin_um) / grid_um
        rows, columns, along, across, radius = self._body_coordinates(points, shape, grid_um)
        if rows.size == 0:
            return
        chord = np.sqrt(np.maximum(1 - across**2, 0)) * radius
        edge = np.clip((1 - np.abs(across)) * radius / grid_um + 0.5, 0, 1)
        map_x = (along * TEXTURE_ALONG - 0.5).astype(np.float32)
        map_y = ((across + 1) / 2 * TEXTURE_ACROSS - 0.5).astype(np.float32)
        sample = (map_x[None], map_y[None], cv2.INTER_LINEAR)
        inner = cv2.remap(self._inner_opd, *sample, borderMode=cv2.BORDER_REPLICATE)[0]
        gut = cv2.remap(self._gut, *sample, borderMode=cv2.BORDER_REPLICATE)[0]
        thickness = chord / (self.diameter_um / 2)
        half_opd = (self._index * chord + 0.5 * inner * thickness) * edge
        rim = self._rim * np.exp(-(((1 - np.abs(across)) * radius / self._cuticle_um) ** 2))
        plain = (0.5 * self._body * thickness + 0.5 * rim) * edge
        for level, share in ((0, 0.5), (1, 0.5)):
            opd_um[level][rows, columns] += half_opd
            for band in range(3):
                absorbance[level][band, rows, columns] += plain + share * self._tint[band] * gut * edge

    def _body_coordinates(
        self, points: NDArray[np.float64], shape: tuple[int, ...], grid_um: float
    ) -> tuple[
        NDArray[np.intp], NDArray[np.intp], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]
    ]:
        """Grid points inside the body: rows, columns, along (0..1), across (-1..1), local radius (um)."""
        reach = self.diameter_um / 2 / grid_um + 2
        low = np.floor(points.min(axis=0) - reach).astype(int)
        high = np.ceil(points.max(axis=0) + reach).astype(int) + 1
        size = high - low
        local = points - low
        canvas = np.full((size[1], size[0]), 255, np.uint8)
        fine = 16
        cv2.polylines(canvas, [np.round(local * fine).astype(np.int32)], False, 0, 1, cv2.LINE_8, 4)
        near = cv2.distanceTransform(canvas, cv2.DIST_L2, 3) <= reach
        rows, columns = np.nonzero(near)
        keep = (
            (rows + low[1] >= 0)
            & (rows + low[1] < shape[0])
            & (columns + low[0] >= 0)
            & (columns + low[0] < shape[1])
        )
        rows, columns = rows[keep], columns[keep]
        place = np.stack([columns, rows], axis=1).astype(np.float32)
        midline = local.astype(np.float32)
        # |a - b|^2 = a^2 - 2ab + b^2: one matrix product finds the nearest midline point of every pixel.
        distance = (midline**2).sum(axis=1)[None, :] - 2 * place @ midline.T
        nearest = distance.argmin(axis=1)
        tangent = np.gradient(midline, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        offset = place - midline[nearest]
        forward = np.einsum("ij,ij->i", offset, tangent[nearest])
        side = offset[:, 1] * tangent[nearest, 0] - offset[:, 0] * tangent[nearest, 1]
        spacing = self.length_um / MIDLINE_POINTS / grid_um
        along = ((nearest + 0.5 + forward / spacing) / MIDLINE_POINTS).astype(np.float32)
        radius = (self.diameter_um / 2 * _taper(along, self._head, self._tail)).astype(np.float32)
        across = (side * grid_um / np.maximum(radius, 1e-3)).astype(np.float32)
        inside = (np.abs(across) < 1 + 0.5 * grid_um / np.maximum(radius, 1e-3)) & (radius > 0.5)
        return (
            rows[inside] + low[1],
            columns[inside] + low[0],
            along[inside],
            np.clip(across[inside], -1, 1),
            radius[inside],
        )


def _taper(along: NDArray[np.float32], head_share: float, tail_share: float) -> NDArray[np.float32]:
    """Radius along the body as a share of the largest: a blunt head and a pointed tail."""
    head = np.clip(along / head_share, 0, 1)
    tail = np.clip((1 - along) / tail_share, 0, 1)
    shape: NDArray[np.float32] = (
        np.sqrt(np.maximum(1 - (1 - head) ** 2, 0)) * np.sin(0.5 * math.pi * tail) ** 0.85
    )
    return shape

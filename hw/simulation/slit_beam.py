"""The image of a slit-shaped laser beam that the cover glass has sent back (paper 4, figure 1).

Scalar diffraction. The field in the plane of the camera, in um of the specimen, is the Fourier transform of
the beam in the pupil,

    E(x) = integral A(s) exp(i k [ 2 d (sqrt(n^2 - s^2) - n) + W(s) ]) exp(i k s x) ds ,   I = |E|^2 ,

over the direction sines s that the slit leaves, with d the lens position minus that which focuses the beam:
the way to the glass and back counts d twice. A is a Gaussian cut by the slit, W the aberrations. Defocus
spreads the beam by NA^2 d, so that a slit of aspect a gives confocal parameters in a ratio of a^2 (paper 4:
3 and 9). Without aberrations the image would be the same on both sides of focus; the spherical aberration is
what tells them apart far from focus.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hw.simulation.config import draw
from hw.simulation.slit_config import AlignmentConfig, SlitLaserConfig

__all__ = ["SlitBeam"]

# The phase screen is a sum of so many waves, of at most so many periods over the slit's length.
ROUGH_WAVES, ROUGH_PERIODS = 12, 5.0
# Sampling the pupil makes replicas of the image: so far apart, um, or twice as far as often as it takes.
LEAST_EXTENT_UM = 100.0


@dataclass(frozen=True)
class _Sampling:
    """The pupil on a grid, and what transforms it to the camera's pixels.

    Attributes
    ----------
    sx, sy : (C,), (R,) direction sines; `step` apart
    axial : (R, C) float32, phase per um of defocus
    rough : (J, R, C) float32, phases of the waves of the phase screen
    to_columns, from_rows : (C, width), (height, R) complex64
    """

    sx: NDArray[np.float64]
    sy: NDArray[np.float64]
    step: float
    axial: NDArray[np.float32]
    rough: NDArray[np.float32]
    to_columns: NDArray[np.complex64]
    from_rows: NDArray[np.complex64]


class _Drifting:
    """A quantity that drifts about what it was drawn as."""

    def __init__(self, value: float, amplitude: float, period_s: float, phase: float) -> None:
        self._value, self._amplitude, self._period_s, self._phase = value, amplitude, period_s, phase

    @property
    def most(self) -> float:
        """Largest size that it ever has."""
        return abs(self._value) + abs(self._amplitude)

    def at(self, t: float) -> float:
        """Value at time `t` in seconds."""
        return self._value + self._amplitude * math.sin(2 * math.pi * t / self._period_s + self._phase)


class SlitBeam:
    """One day's beam.

    Parameters
    ----------
    config : the rig file's `simulation`
    um_per_px : of the autofocus camera
    size_px : its width and height
    rng : what is random is drawn from it
    """

    def __init__(
        self, config: SlitLaserConfig, um_per_px: float, size_px: tuple[int, int], rng: np.random.Generator
    ) -> None:
        beam = config.beam
        self._um_per_px = um_per_px
        self._size = size_px
        self._k = 2 * math.pi / beam.wavelength_um
        self._wavelength_um = beam.wavelength_um
        self._index = config.immersion_index
        self._na = draw(rng, beam.na_long)
        self._aspect = beam.aspect
        self._fill = draw(rng, beam.fill)

        def drifting(name: str) -> _Drifting:
            day, reach = (getattr(part, name) for part in (config.alignment, config.drift))
            value, amplitude = draw(rng, day), draw(rng, reach)
            return _Drifting(value, amplitude, draw(rng, config.drift_period_s), rng.uniform(0, 2 * math.pi))

        scalars = [name for name in AlignmentConfig.model_fields if name not in ("pointing_um", "lean")]
        self._quantities = {name: drifting(name) for name in scalars if name != "coma_waves"}
        self._pairs = {
            name: (drifting(name), drifting(name)) for name in ("pointing_um", "lean", "coma_waves")
        }
        angle = rng.uniform(0, 2 * math.pi, ROUGH_WAVES)
        periods = ROUGH_PERIODS * np.sqrt(rng.uniform(0.02, 1, ROUGH_WAVES))
        # In periods per unit of direction sine.
        self._rough_x = periods * np.cos(angle) / (2 * self._na)
        self._rough_y = periods * np.sin(angle) / (2 * self._na)
        self._rough_phase = rng.uniform(0, 2 * math.pi, ROUGH_WAVES)
        self._rough_drift = rng.normal(0, 1, ROUGH_WAVES)
        self._rough_period_s = draw(rng, config.drift_period_s)
        self._rough_waves = draw(rng, beam.roughness_waves) * math.sqrt(2 / ROUGH_WAVES)
        self._ghost = self._draw_ghost(config, rng)
        self._fringes = self._draw_fringes(config, rng)
        self._fringe_period_s = draw(rng, config.drift_period_s)
        self._sampling = lru_cache(8)(self._make_sampling)

    def parfocal_um(self, t: float) -> float:
        """Lens position that focuses the beam minus that which focuses the beads, um, at time `t` in s."""
        return self._quantities["parfocal_um"].at(t)

    def image(self, t: float, defocus_um: float) -> NDArray[np.float32]:
        """Intensity on the camera, (height, width) float32; the whole beam has power 1.

        Parameters
        ----------
        t : time, s
        defocus_um : lens position minus that which focuses the beads
        """
        d = defocus_um - self.parfocal_um(t)
        sampling = self._sampling(self._extent_um(d))
        pointing = [drifting.at(t) for drifting in self._pairs["pointing_um"]]
        phase = sampling.axial * np.float32(d) + self._aberration(sampling, t)
        phase += ((self._k * pointing[1]) * sampling.sy)[:, None].astype(np.float32)
        phase += ((self._k * pointing[0]) * sampling.sx)[None, :].astype(np.float32)
        amplitude = self._amplitude(sampling, t)
        wave = np.empty(phase.shape, np.complex64)
        np.multiply(np.cos(phase), amplitude, out=wave.real)
        np.multiply(np.sin(phase), amplitude, out=wave.imag)
        field = sampling.from_rows @ (wave @ sampling.to_columns)
        intensity = field.real**2 + field.imag**2
        # Parseval: the power on an endless camera of these pixels is that in the pupil.
        pupil_step = sampling.step / self._wavelength_um * self._um_per_px
        intensity *= np.float32(pupil_step**2 / float(np.sum(amplitude**2)))
        intensity += self._ghost
        across, depth = self._fringes
        turn = np.float32(2 * math.pi * t / self._fringe_period_s)
        return np.asarray(intensity * (1 + depth * np.cos(across + turn)), np.float32)

    def _extent_um(self, d: float) -> float:
        """Distance of replicas that keeps a beam so far from focus off itself, in powers of two."""
        reach = 2 * abs(d) * self._na / math.sqrt(self._index**2 - self._na**2)
        # The image may reach as far beyond the camera as a replica's reaches towards it.
        needed = reach + max(self._size) * self._um_per_px / 2 + 20
        return float(LEAST_EXTENT_UM * 2 ** max(0, math.ceil(math.log2(needed / LEAST_EXTENT_UM))))

    def _make_sampling(self, extent_um: float) -> _Sampling:
        step = self._wavelength_um / extent_um
        lean = self._na * max(drifting.most for drifting in self._pairs["lean"])
        rows, columns = (math.ceil((na + lean) / step) + 1 for na in (self._na, self._na / self._aspect))
        sy, sx = (np.arange(-n, n + 1, dtype=np.float64) * step for n in (rows, columns))
        squared = np.minimum(sx[None, :] ** 2 + sy[:, None] ** 2, (0.99 * self._index) ** 2)
        axial = 2 * self._k * (np.sqrt(self._index**2 - squared) - self._index)
        rough = 2 * math.pi * (self._rough_x[:, None, None] * sx + self._rough_y[:, None, None] * sy[:, None])
        width, height = self._size
        x, y = ((np.arange(n) - (n - 1) / 2) * self._um_per_px for n in (width, height))
        return _Sampling(
            sx,
            sy,
            step,
            axial.astype(np.float32),
            rough.astype(np.float32),
            np.exp(-1j * self._k * sx[:, None] * x).astype(np.complex64),
            np.exp(-1j * self._k * y[:, None] * sy).astype(np.complex64),
        )

    def _amplitude(self, sampling: _Sampling, t: float) -> NDArray[np.float32]:
        lean = [drifting.at(t) * self._na for drifting in self._pairs["lean"]]
        sides = []
        for s, middle, half in (
            (sampling.sy, lean[1], self._na),
            (sampling.sx, lean[0], self._na / self._aspect),
        ):
            # The slit's edge takes a share of the sample that it cuts.
            inside = np.clip(0.5 + (half - np.abs(s - middle)) / sampling.step, 0, 1)
            sides.append(inside * np.exp(-(((s - middle) / (self._fill * self._na)) ** 2)))
        return np.asarray(sides[0][:, None] * sides[1][None, :], np.float32)

    def _aberration(self, sampling: _Sampling, t: float) -> NDArray[np.float32]:
        """Phase of aberrations (Zernike polynomials, Noll's norm) and of the phase screen, (R, C)."""
        u, v = sampling.sx[None, :] / self._na, sampling.sy[:, None] / self._na
        squared = u * u + v * v
        value = {name: drifting.at(t) for name, drifting in self._quantities.items()}
        coma_x, coma_y = (drifting.at(t) for drifting in self._pairs["coma_waves"])
        waves = value["spherical_waves"] * math.sqrt(5) * (6 * squared * squared - 6 * squared + 1)
        waves += value["astigmatism_waves"] * math.sqrt(6) * (v * v - u * u)
        waves += value["oblique_astigmatism_waves"] * math.sqrt(6) * 2 * u * v
        waves += math.sqrt(8) * (3 * squared - 2) * (coma_x * u + coma_y * v)
        turned = self._rough_phase + self._rough_drift * (t / self._rough_period_s)
        screen = np.cos(sampling.rough + turned.astype(np.float32)[:, None, None]).sum(0)
        return np.asarray(2 * math.pi * (waves + self._rough_waves * screen), np.float32)

    def _draw_ghost(self, config: SlitLaserConfig, rng: np.random.Generator) -> NDArray[np.float32]:
        """Light of other surfaces: a Gaussian somewhere on the camera, power per pixel."""
        width, height = self._size
        share, radius = draw(rng, config.beam.ghost_share), draw(rng, config.beam.ghost_um)
        x, y = (
            (np.arange(n) - rng.uniform(0.2, 0.8) * n) * (self._um_per_px / radius) for n in (width, height)
        )
        spread = np.exp(-(x[None, :] ** 2 + y[:, None] ** 2)) / (math.pi * radius**2)
        return np.asarray(share * self._um_per_px**2 * spread, np.float32)

    def _draw_fringes(
        self, config: SlitLaserConfig, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], np.float32]:
        """Phase of the fringes at every pixel, and their contrast."""
        width, height = self._size
        angle, phase = rng.uniform(0, 2 * math.pi, 2)
        turns = 2 * math.pi * self._um_per_px / draw(rng, config.beam.fringe_um)
        across = turns * (
            math.cos(angle) * np.arange(width)[None, :] + math.sin(angle) * np.arange(height)[:, None]
        )
        return np.asarray(across + phase, np.float32), np.float32(draw(rng, config.beam.fringe_contrast))

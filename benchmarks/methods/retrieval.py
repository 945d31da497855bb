"""The phase of a coherent wave from intensities measured in a few planes along it.

Multi-plane Gerchberg-Saxton: the wave is propagated from plane to plane; in each its amplitude is replaced by
the measured one and its phase is kept (Gerchberg & Saxton, Optik 35 (1972) 237-246; for several planes
Pedrini, Osten & Zhang, Optics Letters 30 (2005) 833-835). Propagation is the simulator's own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hw.simulation.optics import propagate

__all__ = ["FreeSpace", "Recording", "Retrieved", "fit_geometry", "retrieve"]

PAD_PX = 100


@dataclass(frozen=True)
class Recording:
    """Intensities along a coherent beam.

    Attributes
    ----------
    intensity : (Z, H, W) float32, each plane of mean 1
    positions_um : (Z,) along the axis, as its scale says
    um_per_px, wavelength_um : um
    drift_px_per_um : (down, across) sideways motion of the image along the axis, as of an oblique stage
    z_scale : true over nominal distance between planes
    """

    intensity: NDArray[np.float32]
    positions_um: NDArray[np.float64]
    um_per_px: float
    wavelength_um: float
    drift_px_per_um: tuple[float, float] = (0.0, 0.0)
    z_scale: float = 1.0

    def plane(self, position_um: float) -> NDArray[np.float32]:
        """Intensity (H, W) of the plane at a position, its drift since position 0 taken back."""
        (number,) = np.flatnonzero(self.positions_um == position_um)
        down, across = (-rate * position_um for rate in self.drift_px_per_um)
        matrix = np.array([[1, 0, across], [0, 1, down]])
        shape = self.intensity.shape[2:0:-1]
        moved = cv2.warpAffine(
            self.intensity[number], matrix, shape, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        # Cubic interpolation may fall below 0 beside a bright edge.
        return np.maximum(moved, 0)


class FreeSpace:
    """The simulator's propagation, which pays for each distance's kernel once.

    A kernel is the spectrum of what `propagate` makes of an impulse.
    """

    def __init__(self, shape: tuple[int, int], um_per_px: float, wavelength_um: float) -> None:
        self._um_per_px = um_per_px
        self._wavelength_um = wavelength_um
        self._impulse = np.zeros(shape, np.complex64)
        self._impulse[0, 0] = 1
        self._kernels: dict[float, NDArray[np.complex64]] = {}

    def travel(self, wave: NDArray[np.complex64], distance_um: float) -> NDArray[np.complex64]:
        """Propagate a wave (H, W) by a distance in um, as `hw.simulation.optics.propagate`."""
        if distance_um not in self._kernels:
            response = propagate(self._impulse, distance_um, self._wavelength_um, self._um_per_px)
            self._kernels[distance_um] = _transform(response, 0)
        return _transform(_transform(wave, 0) * self._kernels[distance_um], cv2.DFT_INVERSE | cv2.DFT_SCALE)


@dataclass(frozen=True)
class Retrieved:
    """A retrieved wave.

    Attributes
    ----------
    wave : (H + margins, W + margins) complex64 at `home_um`
    home_um : position of the plane it is given in
    window : rows and columns of the measured field
    misfit : mean squared difference of retrieved and measured amplitude, over mean intensity
    space : what it travels through
    z_scale : true over nominal distance
    """

    wave: NDArray[np.complex64]
    home_um: float
    window: tuple[slice, slice]
    misfit: float
    space: FreeSpace
    z_scale: float

    def intensity(self, position_um: float) -> NDArray[np.float32]:
        """Intensity (H, W) that the wave has in the plane at a position."""
        wave = self.space.travel(self.wave, (position_um - self.home_um) * self.z_scale)
        predicted: NDArray[np.float32] = np.abs(wave[self.window]) ** 2
        return predicted


def retrieve(
    recording: Recording, planes_um: list[float], home_um: float, sweeps: int, averages: int = 0
) -> Retrieved:
    """Retrieve the wave that has the intensities measured in some planes.

    What lies beside the measured field is left to the propagation.

    Parameters
    ----------
    recording : only the planes named are looked at
    planes_um : their positions, ascending
    home_um : where to give the wave; need not be measured
    sweeps : times to go through the planes, up and down again, each time from where the last one ended
    averages : then, times to average what all planes make of the wave, so that none has the last word
    """
    height, width = recording.intensity.shape[1:]
    shape = cv2.getOptimalDFTSize(height + 2 * PAD_PX), cv2.getOptimalDFTSize(width + 2 * PAD_PX)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    window = slice(top, top + height), slice(left, left + width)
    space = FreeSpace((shape[0], shape[1]), recording.um_per_px, recording.wavelength_um)
    amplitudes = {z: np.sqrt(recording.plane(z)) for z in planes_um}

    def impose(wave: NDArray[np.complex64], z: float) -> float:
        measured, found = wave[window], np.abs(wave[window])
        difference = float(np.mean((found - amplitudes[z]) ** 2))
        measured *= amplitudes[z] / np.maximum(found, 1e-6)
        return difference

    wave, here = np.ones(shape, np.complex64), home_um
    misfits: list[float] = []
    route = planes_um + planes_um[-2:0:-1]
    for _ in range(sweeps):
        misfits = []
        for z in route:
            wave, here = space.travel(wave, (z - here) * recording.z_scale), z
            misfits.append(impose(wave, z))
    wave = space.travel(wave, (home_um - here) * recording.z_scale)
    for _ in range(averages):
        misfits, total = [], np.zeros_like(wave)
        for z in planes_um:
            there = space.travel(wave, (z - home_um) * recording.z_scale)
            misfits.append(impose(there, z))
            total += space.travel(there, (home_um - z) * recording.z_scale)
        wave = total / np.float32(len(planes_um))
    return Retrieved(wave, home_um, window, float(np.mean(misfits)), space, recording.z_scale)


def fit_geometry(
    recording: Recording, planes_um: list[float], home_um: float, sweeps: int, rounds: int = 2
) -> Recording:
    """Fit drift and scale of the axis to some planes: where their intensities agree with one wave best.

    One quantity after the other is moved to the vertex of the parabola through three misfits, with steps
    that are halved from round to round.
    """

    def misfit(down: float, across: float, scale: float) -> float:
        candidate = replace(recording, drift_px_per_um=(down, across), z_scale=scale)
        return retrieve(candidate, planes_um, home_um, sweeps).misfit

    best = [*recording.drift_px_per_um, recording.z_scale]
    steps = [0.08, 0.08, 0.06]
    for _ in range(rounds):
        for number, step in enumerate(steps):
            best[number] = _descend(
                lambda value, n=number: misfit(*best[:n], value, *best[n + 1 :]), best[number], step
            )
        steps = [step / 2 for step in steps]
    return replace(recording, drift_px_per_um=(best[0], best[1]), z_scale=best[2])


def _descend(cost: Callable[[float], float], start: float, step: float) -> float:
    """Step down to the lowest of equally spaced values, then to the vertex about it."""
    known: dict[int, float] = {}

    def at(k: int) -> float:
        if k not in known:
            known[k] = cost(start + k * step)
        return known[k]

    low = 0
    while (lower := min((low - 1, low, low + 1), key=at)) != low:
        low = lower
    left, middle, right = at(low - 1), at(low), at(low + 1)
    curvature = left - 2 * middle + right
    return start + (low + (0.5 * (left - right) / curvature if curvature > 0 else 0.0)) * step


def _transform(wave: NDArray[np.complex64], flags: int) -> NDArray[np.complex64]:
    """Fourier transform; OpenCV's, which takes a fifth of numpy's time here."""
    height, width = wave.shape
    pairs = np.ascontiguousarray(wave).view(np.float32).reshape(height, width, 2)
    out: NDArray[np.complex64] = cv2.dft(pairs, flags=flags).reshape(height, 2 * width).view(np.complex64)
    return out

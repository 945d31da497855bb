"""Where the focal plane is: a one-dimensional Kalman filter over the planes that frames report."""

import math
from collections import deque

__all__ = ["PlaneFilter"]


class PlaneFilter:
    """Estimate of the lens position that is in focus, in um, from measurements with known variance.

    The plane wanders as a random walk, so the state is one number (Kalman 1960; Bar-Shalom, Li and
    Kirubarajan 2001, section 5.2, gives the scalar equations and the validation gate). A measurement
    outside the gate is set aside; several in a row that agree with each other are a new plane, not
    outliers, and replace the estimate.

    Parameters
    ----------
    drift_um_s : how fast the plane wanders, um per square root of a second
    gate_sigmas : half width of the gate in standard deviations of the innovation
    reset_after : number of agreeing outliers that replace the estimate
    """

    def __init__(self, drift_um_s: float, gate_sigmas: float = 4.0, reset_after: int = 3) -> None:
        self._drift_um_s = drift_um_s
        self._gate = gate_sigmas
        self._set_aside: deque[tuple[float, float]] = deque(maxlen=reset_after)
        self._plane_um: float | None = None
        self._variance = math.inf
        self._time_s = 0.0

    @property
    def plane_um(self) -> float | None:
        """Estimated lens position in focus, um; None before the first measurement."""
        return self._plane_um

    @property
    def sigma_um(self) -> float:
        """Standard deviation of the estimate at the last measurement, um; infinite before the first."""
        return math.sqrt(self._variance)

    def measure(self, t: float, plane_um: float, sigma_um: float) -> bool:
        """Take in one measurement.

        Parameters
        ----------
        t : time of the measurement in seconds, not before the previous one
        plane_um : lens position that would be in focus, um
        sigma_um : its standard deviation, um

        Returns
        -------
        bool
            Whether the estimate now includes it; False for an outlier.
        """
        variance = sigma_um**2
        if self._plane_um is None:
            self._restart(t, plane_um, variance)
            return True
        self._variance += self._drift_um_s**2 * max(0.0, t - self._time_s)
        self._time_s = max(t, self._time_s)
        innovation = plane_um - self._plane_um
        spread = self._variance + variance
        if abs(innovation) > self._gate * math.sqrt(spread):
            return self._set_aside_or_restart(t, plane_um, variance)
        self._set_aside.clear()
        gain = self._variance / spread
        self._plane_um += gain * innovation
        self._variance *= 1 - gain
        return True

    def _set_aside_or_restart(self, t: float, plane_um: float, variance: float) -> bool:
        self._set_aside.append((plane_um, variance))
        if len(self._set_aside) < (self._set_aside.maxlen or 0):
            return False
        weight = sum(1 / v for _, v in self._set_aside)
        mean = sum(p / v for p, v in self._set_aside) / weight
        if any(abs(p - mean) > self._gate / 2 * math.sqrt(v) for p, v in self._set_aside):
            return False
        self._restart(t, mean, 1 / weight)
        return True

    def _restart(self, t: float, plane_um: float, variance: float) -> None:
        self._plane_um, self._variance, self._time_s = plane_um, variance, t
        self._set_aside.clear()

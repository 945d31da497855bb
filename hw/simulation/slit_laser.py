"""What the two cameras of a rig with a slit laser see: the reflected beam, and beads in a multiwell plate."""

import math

import numpy as np
from numpy.typing import NDArray

from hw.config import RigConfig
from hw.errors import ConfigError
from hw.simulation.config import draw
from hw.simulation.fluorescent_beads import BeadImages, PointSpread
from hw.simulation.grey_sensor import GreySensor
from hw.simulation.sensor import Sensor
from hw.simulation.slit_beam import SlitBeam
from hw.simulation.slit_config import SlitLaserConfig
from hw.simulation.well_plate import WellPlate

__all__ = ["BeadSample", "LaserSample"]

# Each part draws from a stream of its own, so that both cameras look at the same plate.
PLATE, BEAM, LASER_NOISE, BEADS, BEAD_NOISE, SPREAD = range(10, 16)


class _OnPlate:
    """What lies on the plate: in focus where the cover glass is."""

    def __init__(self, config: SlitLaserConfig, seed: int) -> None:
        self._plate = WellPlate(config.plate, np.random.default_rng([seed, PLATE]))

    def plane_um(self, t: float, place_um: tuple[float, float]) -> float:
        """Lens position in um that focuses the beads on the cover glass."""
        return self._plate.height_um(t, place_um)

    def focus_um(self, t: float, place_um: tuple[float, float]) -> float | None:
        """Lens position in um of true focus: the same, by construction."""
        return self._plate.height_um(t, place_um)


class LaserSample(_OnPlate):
    """The autofocus camera's view. Its true focus is that of the beads, which it does not see.

    Parameters
    ----------
    rig : the rig file
    config : its `simulation`
    seed : of the day and the plate
    """

    def __init__(self, rig: RigConfig, config: SlitLaserConfig, seed: int) -> None:
        super().__init__(config, seed)
        size = (rig.camera.width_px, rig.camera.height_px)
        self._beam = SlitBeam(config, rig.optics.um_per_px, size, np.random.default_rng([seed, BEAM]))
        noise = np.random.default_rng([seed, LASER_NOISE])
        self.sensor: Sensor = GreySensor(config.sensor, noise, follows_peak=True)

    def intensity(self, t: float, place_um: tuple[float, float], lens_um: float) -> NDArray[np.float32]:
        """Noise-free image (H, W, 3) of the reflected beam; the whole beam has power 1."""
        light = self._beam.image(t, lens_um - self.plane_um(t, place_um))
        return np.broadcast_to(light[..., None], (*light.shape, 3))


class BeadSample(_OnPlate):
    """The imaging camera's view: beads on the cover glass, others in every well.

    Parameters
    ----------
    rig : the rig file
    config : its `simulation`
    seed : of the plate

    Raises
    ------
    ConfigError
        The rig file has no imaging camera.
    """

    def __init__(self, rig: RigConfig, config: SlitLaserConfig, seed: int) -> None:
        super().__init__(config, seed)
        if rig.imaging is None:
            raise ConfigError(
                f"rig '{rig.name}' has no imaging camera to see beads with; add a section 'imaging'"
            )
        optics, camera = rig.imaging.optics, rig.imaging.camera
        self._config = config.beads
        self._seed = seed
        self._um_per_px = optics.um_per_px
        self._size = (camera.width_px, camera.height_px)
        self._spread = PointSpread(
            optics.na,
            config.immersion_index,
            config.beads.wavelength_um,
            draw(np.random.default_rng([seed, SPREAD]), config.beads.spherical_waves),
            math.hypot(*self._size) * optics.um_per_px,
        )
        self._beads: dict[tuple[int, int], BeadImages] = {}
        noise = np.random.default_rng([seed, BEAD_NOISE])
        self.sensor: Sensor = GreySensor(config.imaging_sensor, noise, follows_peak=False)

    def intensity(self, t: float, place_um: tuple[float, float], lens_um: float) -> NDArray[np.float32]:
        """Noise-free image (H, W, 3); the beads of a well stay in the middle of the field all over it."""
        well = self._plate.well(place_um)
        if well not in self._beads:
            rng = np.random.default_rng([self._seed, BEADS, *well])
            self._beads[well] = BeadImages(self._config, self._um_per_px, self._size, rng)
        light = self._beads[well].image(self._spread, lens_um - self.plane_um(t, place_um))
        return np.broadcast_to(light[..., None], (*light.shape, 3))

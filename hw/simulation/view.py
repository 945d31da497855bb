"""What the camera sees of a scene: full frames, and noise-free views of the worm.

What is simplified in full frames, besides what `hw.simulation.scene` says:

- Shake moves the worm relative to the plate; the surroundings never shake.
- The surroundings are rendered at lens positions some way apart.
- The worm's window fades into the surroundings over `FEATHER_UM`, at the edge of the frame too: a worm that
  leaves the field fades within 25 um of the edge.
"""

from collections import OrderedDict

import cv2
import numpy as np
from numpy.typing import NDArray

from hw.config import RigConfig
from hw.simulation.config import SimulationConfig, draw
from hw.simulation.optics import ExitWave
from hw.simulation.scene import Region, Scene
from hw.simulation.stage import SimulatedAxis

__all__ = ["FieldOfView", "IdealView"]

FEATHER_UM = 25.0
# Renderings of the surroundings: so many noisy images at each lens position, at so many positions.
NOISY_COPIES = 2
POSITIONS_KEPT = 24


class FieldOfView:
    """Full frames of a scene at the lens position of their exposure.

    The worm, and all within a window around it that is wide enough for the blur, is rendered for every frame.
    What lies outside is rendered at lens positions `background_step_um` apart; the `POSITIONS_KEPT` last used
    are kept as `NOISY_COPIES` images each, so that its noise repeats.

    Parameters
    ----------
    rig, simulation : the rig file
    scene, axis : what is looked at, and where the lens is
    focus_um : lens position in um that focuses the mid-height of a worm in the middle of the field at time 0
    rng : of the camera's shake
    """

    def __init__(
        self,
        rig: RigConfig,
        simulation: SimulationConfig,
        scene: Scene,
        axis: SimulatedAxis,
        focus_um: float,
        rng: np.random.Generator,
    ) -> None:
        self._rig = rig
        self._scene = scene
        self._axis = axis
        self._focus_um = focus_um
        self._rng = rng
        self._step_um = simulation.background_step_um
        self._shake_um = draw(rng, simulation.axis.shake_um)
        self._surroundings: OrderedDict[int, list[NDArray[np.uint8]]] = OrderedDict()

    def expose(self, start: float, end: float) -> NDArray[np.uint8]:
        """Expose a frame from `start` to `end`, seconds; (H, W, 3) uint8 RGB of the camera's size."""
        scene, middle = self._scene, (start + end) / 2
        defocus = self._defocus_um(middle)
        frame = self._surroundings_at(defocus)[int(self._rng.integers(NOISY_COPIES))].copy()
        feather = round(FEATHER_UM / scene.lens.grid_um)
        shown = _clip(scene.worm_region(middle, 0.5 * scene.lens.blur_um(defocus) + FEATHER_UM), scene.field)
        if shown is None:
            return frame
        intensity = self._integrate(shown, scene.blur_margin(defocus), start, end)
        image = scene.sensor.develop(intensity * scene.illumination(shown), scene.grid_px, binned=False)
        rows, columns = (
            slice(s.start * scene.grid_px, s.stop * scene.grid_px) for s in shown.inside(scene.field)
        )
        target = frame[rows, columns]
        image = image[: target.shape[0], : target.shape[1]]
        weight = _feathered(target.shape[0], target.shape[1], feather * scene.grid_px)
        cv2.blendLinear(image, np.ascontiguousarray(target), weight, 1 - weight, dst=image)
        frame[rows, columns] = image
        return frame

    def _defocus_um(self, t: float) -> float:
        return self._axis.true_um_at(t) - self._focus_um - self._scene.plane_um(t)

    def _integrate(self, shown: Region, margin: int, start: float, end: float) -> NDArray[np.float32]:
        """Average the intensity in a region over an exposure, in as many instants as the motion asks for."""
        scene = self._scene
        travel_um = abs(self._defocus_um(end) - self._defocus_um(start))
        before, after = (np.array(scene.crawl.posture(t).centre_um) for t in (start, end))
        blur = max(
            travel_um / (0.1 * self._rig.optics.dof_um),
            float(np.abs(after - before).max()) / self._rig.optics.um_per_px,
        )
        instants = start + (np.arange(1 + int(blur)) + 0.5) / (1 + int(blur)) * (end - start)
        outer = shown.grown(margin)
        inner = shown.inside(outer)
        total = np.zeros((shown.height, shown.width, 3), np.float32)
        for t in instants:
            shake = (0.0, 0.0)
            if self._axis.shaking_at(float(t)):
                x, y = self._rng.normal(0, self._shake_um, 2)
                shake = (float(x), float(y))
            wave = scene.lens.exit_wave(scene.slices(outer, float(t), shift_um=shake))
            total += scene.lens.image(wave, self._defocus_um(float(t)))[inner]
        return total / np.float32(len(instants))

    def _surroundings_at(self, defocus_um: float) -> list[NDArray[np.uint8]]:
        """Noisy images of the field without its worm at the nearest lens position of those rendered."""
        scene = self._scene
        # Defocus counts from the top slice: the worm's mid-height there, the plate's surface here.
        level = round((defocus_um + scene.body.diameter_um / 2) / self._step_um)
        if level not in self._surroundings:
            defocus = level * self._step_um
            outer = scene.field.grown(scene.blur_margin(defocus))
            wave = scene.lens.exit_wave(scene.slices(outer, 0.0, with_worm=False))
            intensity = scene.lens.image(wave, defocus)[scene.field.inside(outer)]
            intensity *= scene.illumination(scene.field)
            camera = self._rig.camera
            self._surroundings[level] = [
                scene.sensor.develop(intensity, scene.grid_px, binned=False)[
                    : camera.height_px, : camera.width_px
                ]
                for _ in range(NOISY_COPIES)
            ]
            if len(self._surroundings) > POSITIONS_KEPT:
                self._surroundings.popitem(last=False)
        self._surroundings.move_to_end(level)
        return self._surroundings[level]


class IdealView:
    """The worm as a perfect camera would see it: no noise, no shake, all of it in one window.

    Parameters
    ----------
    scene, axis : what is looked at, and where the lens is
    focus_um : lens position in um that focuses the mid-height of a worm in the middle of the field at time 0
    """

    def __init__(self, scene: Scene, axis: SimulatedAxis, focus_um: float) -> None:
        self._scene = scene
        self._axis = axis
        self._focus_um = focus_um
        self._wave: tuple[float, ExitWave, tuple[slice, slice]] | None = None

    def plane_um(self, t: float) -> float:
        """Lens position in um that focuses the worm's mid-height by geometrical optics at time `t`.

        For light without chromatic shift, through a lens without aberrations; the plate's surface is in focus
        half a diameter below.
        """
        return self._focus_um + self._scene.plane_um(t)

    def focus_um(self, t: float) -> float | None:
        """None: a worm's true focus is where its image peaks in the default measure."""
        return None

    def lens_error_um(self, t: float) -> float:
        """How far the lens really is from where the axis believes it at time `t`, um."""
        return self._axis.lens_error_um(t)

    def render(self, t: float, lens_um: float) -> NDArray[np.float32]:
        """Noise-free (H, W, 3) image of the worm at time `t` for a lens position in um; the field is 1."""
        scene = self._scene
        if self._wave is None or self._wave[0] != t:
            self._wave = (t, *scene.worm_wave(t))
        _, wave, inner = self._wave
        return scene.lens.image(wave, lens_um - self.plane_um(t))[inner]


def _clip(region: Region, field: Region) -> Region | None:
    left, top = max(region.x, field.x), max(region.y, field.y)
    right = min(region.x + region.width, field.x + field.width)
    bottom = min(region.y + region.height, field.y + field.height)
    return Region(left, top, right - left, bottom - top) if right > left and bottom > top else None


def _feathered(height: int, width: int, border: int) -> NDArray[np.float32]:
    """Weights that rise from 0 at the border of a window to 1 inside."""

    def ramp(size: int) -> NDArray[np.float32]:
        place = np.arange(size, dtype=np.float32)
        rise: NDArray[np.float32] = np.clip(
            (np.minimum(place, size - 1 - place) + 0.5) / max(border, 1), 0, 1
        )
        return rise

    return np.minimum(ramp(height)[:, None], ramp(width)[None, :])

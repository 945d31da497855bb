"""Simulated stacks of a worm whose true focus is known, clean and in trouble.

A stack is a window that follows the worm, as `calibration.simulate` makes it, but with evenly spaced planes
as a rig records them. Rendering takes seconds, so stacks are kept in a folder and read from there again.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.measure import DEFAULT_MEASURE, MEASURES
from calibration.peak import NoFocusPeak, find_peak
from calibration.stack import ZStack
from calibration.truth import sharpest_position
from hw.config import RigConfig
from hw.errors import StackError
from hw.frame import Box
from hw.simulation.config import SimulationConfig
from hw.simulation.optics import Slice
from hw.simulation.rig import worm_section
from hw.simulation.scene import FOCUS_MARGIN_UM, Region, Scene
from hw.whole_file import write_whole

__all__ = [
    "CASES",
    "WormStack",
    "crowded_seeds",
    "out_of_range",
    "pictured_focus",
    "tilted",
    "tilted_focus",
    "worm_stack",
]

CASES = ("plain", "linear", "dusty", "dust below")
"""What is rendered: the rig file's own worms, the same with grey levels in proportion to the light, on
very dusty plates, and with dust on the underside of the agar."""

WINDOW_UM = 868.0
TRACKING_ERROR_UM = 25.0
REACH_UM = 660.0
# Grains for each mm2 of a very dusty plate, and how much light they take: e-folds of intensity.
DUSTY = {"dust_per_mm2": (15.0, 40.0), "dust_absorbance": (1.0, 3.0), "dust_um": (5.0, 15.0)}
# Depth below the plate's surface, radius and number of the grains on the underside.
BELOW_UM = (200.0, 600.0)
GRAIN_UM = (8.0, 25.0)
GRAINS = (2, 6)
# How much of another worm's midline a crowded window shows at least, and how far from the subject's at most.
NEIGHBOUR_UM = 100.0
NEAR_UM = 270.0


@dataclass(frozen=True, eq=False)
class WormStack:
    """A stack whose positions count from the true focus, so that its label is its error.

    Attributes
    ----------
    stack : evenly spaced planes, in a random phase to the true focus
    worm : where the true focus was measured, in pixels of the window, as far as it lies inside
    """

    stack: ZStack
    worm: Box

    @property
    def cut_off(self) -> bool:
        """Whether part of the worm, or of the margin about it, lies outside the window."""
        (x, y, width, height), (rows, columns) = self.worm, self.stack.images.shape[1:3]
        return x == 0 or y == 0 or x + width == columns or y + height == rows


def worm_stack(rig: RigConfig, seed: int, case: str, step_um: float, folder: Path) -> WormStack | None:
    """Return the stack of a seed, rendered or read from `folder`; None where a worm has no true focus."""
    path = folder / f"{rig.name}-{case.replace(' ', '-')}-{step_um:g}um-{seed}.npz"
    if not path.exists():
        images, positions, box = _render(rig, seed, case, step_um)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, images=images, positions=positions, box=box)
        partial.replace(path)
    with np.load(path) as held:
        if not held["images"].size:
            return None
        grid_um = rig.optics.um_per_px * worm_section(rig).optics.grid_px
        notes = {"dof_um": f"{rig.optics.dof_um:g}", "rig": rig.name, "seed": str(seed), "simulated": "yes"}
        stack = ZStack(held["images"], held["positions"], grid_um, f"{rig.name}-{seed}", notes)
        return WormStack(stack, Box(*(int(n) for n in held["box"])))


def _render(
    rig: RigConfig, seed: int, case: str, step_um: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.int64]]:
    simulation = worm_section(rig)
    if case == "dusty":
        simulation = simulation.model_copy(update={"plate": simulation.plate.model_copy(update=DUSTY)})
    if case == "linear":
        sensor = simulation.sensor.model_copy(update={"gamma": (1.0, 1.0)})
        simulation = simulation.model_copy(update={"sensor": sensor})
    rng = np.random.default_rng([seed, 7])
    scene, t, view = _placed(rig, simulation, seed, rng)
    measure = MEASURES[DEFAULT_MEASURE]
    wave, worm = scene.worm_wave(t)
    try:
        focus = sharpest_position(lambda z: measure(scene.lens.image(wave, z)[worm]), 0.0, rig.optics.dof_um)
    except StackError:
        return np.empty(0, np.uint8), np.empty(0), np.zeros(4, np.int64)
    outer = view.grown(scene.blur_margin(REACH_UM + rig.optics.dof_um))
    slices = scene.slices(outer, t)
    if case == "dust below":
        slices = [_grains(rng, outer, view, scene.lens.grid_um), *slices]
    whole = scene.lens.exit_wave(slices)
    positions = np.arange(-REACH_UM, REACH_UM + 1, step_um) + rng.uniform(-0.5, 0.5) * step_um
    light = scene.illumination(view)
    images = np.stack(
        [
            scene.sensor.develop(
                scene.lens.image(whole, float(z) + focus)[view.inside(outer)] * light,
                scene.grid_px,
                binned=True,
            )
            for z in positions
        ]
    )
    return images, positions, _within(scene.worm_region(t, FOCUS_MARGIN_UM), view)


def _placed(
    rig: RigConfig, simulation: SimulationConfig, seed: int, rng: np.random.Generator
) -> tuple[Scene, float, Region]:
    """Scene of a seed, the time, and the window that follows the worm."""
    grid_um = rig.optics.um_per_px * simulation.optics.grid_px
    extent, side = 2 * round(WINDOW_UM / rig.optics.um_per_px), round(WINDOW_UM / grid_um)
    scene = Scene(rig, simulation, seed, (extent, extent))
    t = float(rng.uniform(0, 5))
    shift = rng.normal(0, TRACKING_ERROR_UM, 2)
    return scene, t, scene.centred_region(t, (side, side), (float(shift[0]), float(shift[1])))


def crowded_seeds(rig: RigConfig, first: int, count: int) -> list[int]:
    """Return the first so many seeds, from `first` on, whose window shows another worm near the subject.

    Seen from where the worms lie, before anything is rendered.
    """
    found: list[int] = []
    seed = first
    while len(found) < count:
        scene, t, view = _placed(rig, worm_section(rig), seed, np.random.default_rng([seed, 7]))
        subject = scene.crawl.posture(t).points_um
        if any(_shown_near(other, subject, view, scene.lens.grid_um) for other in scene.surface.others_um):
            found.append(seed)
        seed += 1
    return found


def _shown_near(
    other: NDArray[np.float64], subject: NDArray[np.float64], view: Region, grid_um: float
) -> bool:
    place = other / grid_um - (view.x, view.y)
    inside = ((place > 0) & (place < (view.width, view.height))).all(axis=1)
    lengths = np.hypot(*np.diff(other, axis=0).T)
    if float(lengths[inside[1:] & inside[:-1]].sum()) < NEIGHBOUR_UM:
        return False
    return bool(np.hypot(*(other[inside][:, None] - subject).transpose(2, 0, 1)).min() < NEAR_UM)


def _grains(rng: np.random.Generator, outer: Region, view: Region, grid_um: float) -> Slice:
    """Dark discs in a plane below the plate, in the window."""
    absorbance = np.zeros((outer.height, outer.width), np.float32)
    top, left = view.y - outer.y, view.x - outer.x
    for _ in range(int(rng.integers(*GRAINS))):
        centre = (left + int(rng.uniform(0, view.width)), top + int(rng.uniform(0, view.height)))
        cv2.circle(absorbance, centre, round(rng.uniform(*GRAIN_UM) / grid_um), 2.0, -1)
    return Slice(-float(rng.uniform(*BELOW_UM)), np.zeros_like(absorbance), absorbance[None])


def _within(region: Region, view: Region) -> NDArray[np.int64]:
    left, top = max(region.x - view.x, 0), max(region.y - view.y, 0)
    right = min(region.x + region.width - view.x, view.width)
    bottom = min(region.y + region.height - view.y, view.height)
    return np.array([left, top, right - left, bottom - top])


def tilted(stack: ZStack, planes: int) -> ZStack:
    """Return the stack of a specimen tilted about its middle column, so many planes from edge to edge.

    Each strip of columns is taken from the plane that stands as much higher as the strip lies deeper.
    """
    images, positions = _sheared(stack.images, stack.positions_um, planes)
    return ZStack(images, positions, stack.um_per_px, stack.specimen, stack.notes)


def _sheared(
    images: NDArray[Any], positions: NDArray[np.float64], planes: int
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    count = planes + 1
    edges = np.linspace(0, images.shape[2], count + 1).round().astype(int)
    kept = len(images) - planes
    parts = [images[strip : strip + kept, :, edges[strip] : edges[strip + 1]] for strip in range(count)]
    middle = planes / 2 * np.mean(np.diff(positions))
    return np.concatenate(parts, axis=2), positions[:kept] + middle


def tilted_focus(
    rig: RigConfig, seed: int, step_um: float, tilts: tuple[int, ...], folder: Path
) -> dict[int, float]:
    """Return where the worm of a plain stack is in focus when tilted, as a perfect labeller would say.

    That is where the noise-free image of the tilted worm, with its box and nothing beside it, peaks in the
    default measure; computed, or read from `folder`.

    Parameters
    ----------
    tilts : planes from edge to edge, as for `tilted`; 0 checks the method, the truth being 0

    Returns
    -------
    dict
        Position in um by tilt, counted from the flat worm's focus; NaN where the curve has no peak.
    """
    path = folder / f"{rig.name}-tilted-{step_um:g}um-{seed}.json"
    if path.exists():
        held = {int(k): float(v) for k, v in json.loads(path.read_text(encoding="utf-8")).items()}
        if set(tilts) <= set(held):
            return held
    _, view, part, positions, inside = _worm_alone(rig, seed, step_um)
    columns = slice(part.x - view.x, part.x - view.x + part.width)
    # Strips are those of the window, which is therefore filled up beside the box.
    filled = np.zeros((len(positions), part.height, view.width, inside[0].shape[2]), np.float32)
    filled[:, :, columns] = inside
    found = {planes: _focus(*_sheared(filled, positions, planes), columns) for planes in tilts}
    write_whole(path, json.dumps(found).encode())
    return found


def pictured_focus(rig: RigConfig, seed: int, step_um: float, folder: Path) -> float:
    """Return where the pictures of a plain stack would say that the worm is in focus, were there no noise.

    The worm's box, as far as the window shows it, with nothing beside it, through the camera's pixels and
    tone curve; computed, or read from `folder`. In um from true focus; NaN where the curve has no peak.
    """
    path = folder / f"{rig.name}-pictured-{step_um:g}um-{seed}.json"
    if not path.exists():
        scene, _, part, positions, inside = _worm_alone(rig, seed, step_um)
        light = scene.illumination(part)
        images = [
            scene.sensor.develop(plane * light, scene.grid_px, binned=True, noise=False) for plane in inside
        ]
        write_whole(path, json.dumps(_focus(np.stack(images), positions, slice(None))).encode())
    return float(json.loads(path.read_text(encoding="utf-8")))


def _worm_alone(
    rig: RigConfig, seed: int, step_um: float
) -> tuple[Scene, Region, Region, NDArray[np.float64], list[NDArray[np.float32]]]:
    """Light of a plain stack's worm with nothing beside it, without noise.

    Returns the scene, the window, the worm's box as far as the window shows it, positions counted from true
    focus, and the box's light at each.
    """
    scene, t, view = _placed(rig, worm_section(rig), seed, np.random.default_rng([seed, 7]))
    measure = MEASURES[DEFAULT_MEASURE]
    wave, worm = scene.worm_wave(t)
    focus = sharpest_position(lambda z: measure(scene.lens.image(wave, z)[worm]), 0.0, rig.optics.dof_um)
    shown = scene.worm_region(t, FOCUS_MARGIN_UM)
    x, y, width, height = (int(n) for n in _within(shown, view))
    part = Region(x + view.x, y + view.y, width, height)
    positions = np.arange(-REACH_UM, REACH_UM + 1, step_um)
    inside = part.inside(shown)
    planes = [scene.lens.image(wave, float(z) + focus)[worm][inside] for z in positions]
    return scene, view, part, positions, planes


def _focus(images: NDArray[Any], positions: NDArray[np.float64], columns: slice) -> float:
    measure = MEASURES[DEFAULT_MEASURE]
    try:
        return find_peak(positions, np.array([measure(plane[:, columns]) for plane in images])).position
    except NoFocusPeak:
        return float("nan")


def out_of_range(stack: ZStack, past_um: float) -> ZStack:
    """Return the planes that lie at least `past_um` above focus; below it where that is negative."""
    keep = stack.positions_um >= past_um if past_um > 0 else stack.positions_um <= past_um
    return ZStack(stack.images[keep], stack.positions_um[keep], stack.um_per_px, stack.specimen, stack.notes)

"""Labelled stacks of random simulated specimens."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from calibration.label import Label, label_path, write_label
from calibration.measure import DEFAULT_MEASURE, MEASURES
from calibration.stack import STACK_SUFFIX, ZStack, write_stack
from calibration.truth import sharpest_position
from hw.config import RigConfig
from hw.errors import ConfigError, StackError
from hw.simulation.optics import SumOverSource, sum_over_source
from hw.simulation.rig import sample_of, simulation_section, worm_section
from hw.simulation.sample import Sample
from hw.simulation.scene import Scene
from hw.whole_file import write_whole

__all__ = ["SimulatedStack", "StackPlan", "rig_sha256", "simulate_stack", "simulate_stacks"]

TRACKING_ERROR_UM = 25.0
"""How far the picture's middle strays from the worm's, um RMS along x and along y."""

AXIS_SPREAD_UM = 1000.0
"""Focus lies between plus and minus this on the axis, um, so that a position tells nothing."""

PLACES_TRIED = 20
"""Samples have gaps: so many places are tried until one has a focus."""


@dataclass(frozen=True)
class StackPlan:
    """What a simulated stack shows.

    Attributes
    ----------
    planes : number of lens positions, one drawn in each equal part of the range
    range_um : offsets lie between plus and minus this
    window_um : side of the square window that follows the worm, or of the patch of a still sample; None for
        full frames
    binned : camera pixels are averaged to the simulator's grid, which keeps files small; so is this
    """

    planes: int
    range_um: float
    window_um: float | None
    binned: bool


@dataclass(frozen=True)
class SimulatedStack:
    """Path of a stack, or None with the reason where a specimen had no trustworthy focus."""

    seed: int
    path: Path | None
    reason: str = ""


def simulate_stack(
    rig: RigConfig, plan: StackPlan, seed: int, summed_by: SumOverSource = sum_over_source
) -> tuple[ZStack, Label]:
    """Render a stack of the specimen and the microscope that a seed stands for, with its true focus.

    Parameters
    ----------
    rig : simulated
    plan : what the stack shows
    seed : of everything that is drawn
    summed_by : adds up the images of a worm's light; still samples have ways of their own

    Raises
    ------
    StackError
        The noise-free focus curve of this specimen has no peak near its mid-height.
    """
    if (sample := sample_of(_seen_through(plan, rig), seed=seed)) is not None:
        return _sample_stack(rig, plan, sample, seed)
    simulation = worm_section(rig)
    rng = np.random.default_rng([seed, 1])
    camera = rig.camera
    width, height = camera.width_px, camera.height_px
    if plan.window_um is not None:
        width = height = round(plan.window_um / rig.optics.um_per_px)
    # The worm is followed, in full frames too; it crawls away from the middle of the scene, so more is drawn.
    scene = Scene(rig, simulation, seed, (2 * width, 2 * height), summed_by)
    grid_px = scene.grid_px
    t = float(rng.uniform(0, 5))
    error = rng.normal(0, TRACKING_ERROR_UM, 2)
    size = (round(width / grid_px), round(height / grid_px))
    view = scene.centred_region(t, size, (float(error[0]), float(error[1])))
    outer = view.grown(scene.blur_margin(plan.range_um + rig.optics.dof_um))
    inner = view.inside(outer)
    wave = scene.lens.exit_wave(scene.slices(outer, t))
    measure = MEASURES[DEFAULT_MEASURE]
    worm_wave, worm = scene.worm_wave(t)
    peak_um = sharpest_position(
        lambda z: measure(scene.lens.image(worm_wave, z)[worm]), 0.0, rig.optics.dof_um
    )
    focus_um = float(rng.uniform(-AXIS_SPREAD_UM, AXIS_SPREAD_UM))
    edges = np.linspace(-plan.range_um, plan.range_um, plan.planes + 1)
    positions = focus_um + rng.uniform(edges[:-1], edges[1:])
    light = scene.illumination(view)
    images = np.stack(
        [
            scene.sensor.develop(
                scene.lens.image(wave, float(z) - focus_um + peak_um)[inner] * light,
                grid_px,
                binned=plan.binned,
            )
            for z in positions
        ]
    )
    um_per_px = rig.optics.um_per_px * (grid_px if plan.binned else 1)
    stack = ZStack(
        images,
        positions,
        um_per_px,
        specimen=f"{rig.name}-{seed}",
        notes={"rig": rig.name, "seed": str(seed), "simulated": "yes"},
    )
    label = Label(
        focus_um,
        0.0,
        f"noise-free {DEFAULT_MEASURE}",
        {"seed": str(seed), "geometrical_offset_um": f"{peak_um:.1f}"},
    )
    return stack, label


def _seen_through(plan: StackPlan, rig: RigConfig) -> RigConfig:
    """Return the rig with a camera that shows the plan's window only; focus is then that of the window."""
    if plan.window_um is None:
        return rig
    side = round(plan.window_um / rig.optics.um_per_px)
    camera = rig.camera
    smaller = {"width_px": min(side, camera.width_px), "height_px": min(side, camera.height_px)}
    return rig.model_copy(update={"camera": camera.model_copy(update=smaller)})


def _sample_stack(rig: RigConfig, plan: StackPlan, sample: Sample, seed: int) -> tuple[ZStack, Label]:
    """Render a stack of a still sample, at a place of the stage that is drawn until one has a focus."""
    rng = np.random.default_rng([seed, 1])
    c = rig.stage
    for tries_left in reversed(range(1 if c is None else PLACES_TRIED)):
        place = (0.0, 0.0)
        if c is not None:
            place = (float(rng.uniform(c.min_x_um, c.max_x_um)), float(rng.uniform(c.min_y_um, c.max_y_um)))
        try:
            true_um, method = _true_focus(sample, place, rig.optics.dof_um)
            break
        except StackError:
            if not tries_left:
                raise
    # Focus lies anywhere on the axis, so that a position tells nothing.
    focus_um = float(rng.uniform(-1, 1)) * plan.range_um
    edges = np.linspace(-plan.range_um, plan.range_um, plan.planes + 1)
    positions = focus_um + rng.uniform(edges[:-1], edges[1:])
    images = np.stack(
        [
            sample.sensor.develop(
                sample.intensity(0.0, place, float(z) - focus_um + true_um), 1, binned=False
            )
            for z in positions
        ]
    )
    if (images == images[..., :1]).all():
        # Of a monochrome camera one channel says it all.
        images = np.ascontiguousarray(images[..., 0])
    notes = {"rig": rig.name, "seed": str(seed), "simulated": "yes"}
    stack = ZStack(images, positions, rig.optics.um_per_px, specimen=f"{rig.name}-{seed}", notes=notes)
    return stack, Label(focus_um, 0.0, method, {"seed": str(seed)})


def _true_focus(sample: Sample, place_um: tuple[float, float], dof_um: float) -> tuple[float, str]:
    """Return true focus in um at a place of a still sample at time 0, and how it is known."""
    known_um = sample.focus_um(0.0, place_um)
    if known_um is not None:
        return known_um, "known by construction"
    measure = MEASURES[DEFAULT_MEASURE]
    found_um = sharpest_position(
        lambda z: measure(sample.intensity(0.0, place_um, z)), sample.plane_um(0.0, place_um), dof_um
    )
    return found_um, f"noise-free {DEFAULT_MEASURE}"


def simulate_stacks(
    rig: RigConfig,
    plan: StackPlan,
    seeds: range,
    folder: Path,
    *,
    workers: int = 1,
    summed_by: SumOverSource = sum_over_source,
) -> Iterator[SimulatedStack]:
    """Write the stacks of a range of seeds; those already there are kept, so that a run can be resumed.

    Parameters
    ----------
    rig, plan, summed_by : as for `simulate_stack`
    seeds : one specimen each
    folder : is made where it is not there
    workers : processes

    Yields
    ------
    SimulatedStack
        One for each seed, as it is done; specimens without a trustworthy focus are left out with the reason.

    Raises
    ------
    ConfigError
        The rig is not simulated, or the folder cannot be made or holds stacks of another plan or rig file.
    """
    simulation_section(rig)
    plan_file = folder / "simulated.txt"
    plan_line = f"{rig.name} {plan}\n".encode()
    rig_line = f"rig sha256 {rig_sha256(rig)}\n".encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not plan_file.exists():
            write_whole(plan_file, plan_line + rig_line)
        held = plan_file.read_bytes()
        # A file of before the rig was recorded has the plan only, and stays so: nobody knows its rig.
        if held not in (plan_line, plan_line + rig_line):
            other = "another version of the rig file" if held.startswith(plan_line) else "another plan"
            raise ConfigError(f"{folder}: holds stacks of {other} ({plan_file.name}); choose a new folder")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written to ({error.strerror}); choose another") from error
    todo = []
    for seed in seeds:
        path = folder / f"{rig.name}-{seed:08d}{STACK_SUFFIX}"
        if path.exists() and label_path(path).exists():
            yield SimulatedStack(seed, path)
        else:
            todo.append((rig, plan, seed, path, summed_by))
    if workers <= 1:
        yield from map(_write_one, todo)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_write_one, todo, chunksize=4)


def rig_sha256(rig: RigConfig) -> str:
    """SHA-256 of everything that a rig file says, whatever its layout; keys at their defaults say nothing."""
    text = json.dumps(rig.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write_one(job: tuple[RigConfig, StackPlan, int, Path, SumOverSource]) -> SimulatedStack:
    rig, plan, seed, path, summed_by = job
    # One process per core: threads within a transform would only get in each other's way.
    cv2.setNumThreads(1)
    try:
        stack, label = simulate_stack(rig, plan, seed, summed_by)
    except StackError as error:
        return SimulatedStack(seed, None, str(error))
    # The label is written last: a stack without one is rendered again.
    write_stack(path, stack)
    write_label(path, label)
    return SimulatedStack(seed, path)

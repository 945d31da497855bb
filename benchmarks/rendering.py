"""How fast the simulator renders, on one core.

All in processor time, so that other work on the machine does not count.

Full frames: the rig's own camera, lens at rest in focus and 250 steps out. The first frame at a defocus also
renders the field around the worm, which is kept from then on: `first_ms`. `fps` is 1 over the median of the
others.

Windows: what a stack of simulated worms is made of, camera pixels averaged to the simulator's grid.
`specimen_ms` is what a new specimen costs before its first image. Beside it stands the same sum over source
points written plainly with numpy's transforms, in double precision, and the largest difference of the two.
"""

import argparse
import math
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from methods.report import Row, print_rows, write_report
from numpy.typing import NDArray

from hw.config import load_rig
from hw.frame import Frame
from hw.rig import open_rig
from hw.simulation.optics import Lens, Slice, propagate
from hw.simulation.rig import simulation_section
from hw.simulation.scene import Scene

STEPS_OUT = (0, 250)
WINDOW = 240
WINDOW_DEFOCUS_UM = (0.0, 1500.0)


def full_frames(seeds: range, frames: int, steps_out: int) -> Row:
    """Row for full frames with the lens at rest at a distance from the plane of focus."""
    config = load_rig("worm_tracker_sim")
    first_ms: list[float] = []
    times_ms: list[float] = []
    for seed in seeds:
        with open_rig(config, seed=seed) as rig:
            if rig.ideal is None:
                raise SystemExit(f"rig '{config.name}': not simulated, so its focus is unknown")
            rig.axis.home()
            focus = rig.ideal.plane_um(0.0) / config.axis.um_per_step
            # Towards home, so that the lens stays within its travel.
            rig.axis.move_to(focus - math.copysign(steps_out, focus))
            while rig.axis.moving:
                rig.clock.sleep(0.1)
            # Frames on their way were exposed while the lens still moved.
            rig.clock.sleep(1.0)
            stream = rig.camera.frames()
            first_ms.append(_spent_ms(stream))
            times_ms += [_spent_ms(stream) for _ in range(frames)]
    return {
        "case": f"full frames {config.camera.width_px}x{config.camera.height_px}, "
        f"{steps_out} steps from focus",
        "frames": len(times_ms),
        "fps": round(1000 / float(np.median(times_ms)), 1),
        "median_ms": round(float(np.median(times_ms)), 1),
        "p90_ms": round(float(np.quantile(times_ms, 0.9)), 1),
        "first_ms": round(float(np.median(first_ms)), 1),
    }


def windows(seeds: range, repeats: int, defocus_um: float) -> Row:
    """Row for windows on the worm at one defocus, beside the plain sum."""
    config = load_rig("worm_tracker_sim")
    simulation = simulation_section(config)
    specimen_ms: list[float] = []
    ours_ms: list[float] = []
    plain_ms: list[float] = []
    difference = 0.0
    for seed in seeds:
        start = time.process_time()
        scene = Scene(config, simulation, seed, (4 * WINDOW, 4 * WINDOW))
        view = scene.centred_region(0.0, (WINDOW, WINDOW))
        outer = view.grown(scene.blur_margin(defocus_um))
        inner = view.inside(outer)
        slices = scene.slices(outer, 0.0)
        wave = scene.lens.exit_wave(slices)
        specimen_ms.append((time.process_time() - start) * 1e3)
        image = scene.lens.image(wave, defocus_um)  # makes the pupils, which are kept
        for _ in range(repeats):
            begin = time.process_time()
            window = scene.lens.image(wave, defocus_um)[inner]
            scene.sensor.develop(window, scene.grid_px, binned=True)
            ours_ms.append((time.process_time() - begin) * 1e3)
        begin = time.process_time()
        plain = abbe_sum(scene.lens, slices, defocus_um)
        plain_ms.append((time.process_time() - begin) * 1e3)
        difference = max(difference, float(np.abs(plain - image).max()))
    ours, plainly = float(np.median(ours_ms)), float(np.median(plain_ms))
    return {
        "case": f"windows {WINDOW}x{WINDOW}, {defocus_um:.0f} um from focus",
        "images": len(ours_ms),
        "source_points": len(scene.lens.source(defocus_um)),
        "fps": round(1000 / ours, 1),
        "median_ms": round(ours, 1),
        "p90_ms": round(float(np.quantile(ours_ms, 0.9)), 1),
        "specimen_ms": round(float(np.median(specimen_ms)), 1),
        "plain_sum_ms": round(plainly, 1),
        "plain_over_ours": round(plainly / ours, 1),
        "largest_difference": float(f"{difference:.1e}"),
    }


def abbe_sum(lens: Lens, slices: list[Slice], defocus_um: float) -> NDArray[np.float64]:
    """Form an image (H, W, 3) as `Lens.image` does, by the equation in `hw.simulation.optics`.

    Source points stand on the grid's frequencies, as the lens puts them.
    """
    height, width = slices[0].opd_um.shape
    fy = np.fft.fftfreq(height, lens.grid_um)[:, None]
    fx = np.fft.fftfreq(width, lens.grid_um)[None, :]
    fine_y, fine_x = 1 / (height * lens.grid_um), 1 / (width * lens.grid_um)
    intensity = np.zeros((height, width, 3))
    for number, band in enumerate(lens.bands):
        wave = slices[0].transmission(number, band.wavelength_um)
        for lower, upper in pairwise(slices):
            gap = upper.height_um - lower.height_um
            wave = propagate(wave, gap, band.wavelength_um, lens.grid_um)
            wave *= upper.transmission(number, band.wavelength_um)
        spectrum = np.fft.fft2(wave.astype(np.complex128))
        k = 2 * math.pi / band.wavelength_um
        sources = lens.source(defocus_um) * lens.na / band.wavelength_um
        for sx, sy in sources:
            sine2 = (fx - round(sx / fine_x) * fine_x) ** 2 + (fy - round(sy / fine_y) * fine_y) ** 2
            sine2 *= band.wavelength_um**2
            inside = sine2 <= lens.na**2
            axial = np.sqrt(1 - np.where(inside, sine2, 0)) - 1
            phase = k * (axial * (defocus_um - band.shift_um) + lens.spherical_um * (sine2 / lens.na**2) ** 2)
            field = np.fft.ifft2(spectrum * inside * np.exp(1j * phase))
            intensity[..., number] += np.abs(field) ** 2 * band.gain / len(sources)
    return np.asarray(intensity @ lens._mixing.T, np.float64)


def _spent_ms(stream: Iterator[Frame]) -> float:
    begin = time.process_time()
    next(stream)
    return (time.process_time() - begin) * 1e3


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--specimens", type=int, default=5, help="simulated specimens")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the first specimen")
    parser.add_argument("--frames", type=int, default=20, help="frames of each specimen")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    seeds = range(options.seed, options.seed + options.specimens)
    rows = [full_frames(seeds, options.frames, steps) for steps in STEPS_OUT]
    rows += [windows(seeds, options.frames, defocus) for defocus in WINDOW_DEFOCUS_UM]
    print_rows(rows)
    if options.json is not None:
        write_report(options.json, rows)


if __name__ == "__main__":
    main()

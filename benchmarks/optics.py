"""Whether the simulated optics are like real ones, and how finely they sample the condenser.

Recorded waves (`--data`, `dhm_cheekcell_laser`: a cell in coherent light of 532 nm, 43 planes): the phase is
retrieved from a few planes with the simulator's propagation, which then predicts every other plane. Axial
scale and sideways drift of the stage are fitted to the planes of the retrieval alone. Correlations are
Pearson's, over the field less 100 px on every side. Beside them stand those of predictions without a wave:
the in-focus plane as it is, the same under the Gaussian blur that suits best (found with hindsight), the
nearest plane of the retrieval, and the in-focus plane propagated without its phase. The crop is 107 x 82 um:
beyond some 200 um from focus much of a plane's light comes from outside it, which nothing here can know.

Focus curves: Vollath F5 of recorded stacks and of noise-free windows on simulated worms, and the asymmetry of
their flanks as `methods/flanks.py` defines it. The controls take away what makes the sides of focus differ.

Source points: the difference of images made with few source points from those made with many, RMS, in units
of the standard deviation of the latter.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from methods.flanks import Flanks, compare_flanks
from methods.report import Row, print_rows, write_report
from methods.retrieval import Recording, Retrieved, fit_geometry, retrieve
from numpy.typing import NDArray

from calibration.measure import vollath_f5
from calibration.stack import read_recording
from hw.config import RigConfig, load_rig
from hw.simulation.config import SimulatedOpticsConfig, SimulationConfig
from hw.simulation.rig import simulation_section
from hw.simulation.scene import Scene

WAVELENGTH_UM = 0.532
DHM_UM_PER_PX = 2.4 / 20 * 200 / 150
FOCUS_UM = 10.0
INSET_PX = 100
BLURS_PX = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
WINDOW = 240
CURVE_UM = np.arange(-900.0, 901.0, 50.0)
SOURCE_POINTS, FINE_SOURCE_POINTS = (4, 6, 10, 16, 32, 64), 256
SOURCE_DEFOCUS_UM = (0.0, 250.0, 500.0, 1000.0, 1500.0)


@dataclass(frozen=True)
class Trial:
    """A choice of planes to retrieve the phase from, and how long to."""

    name: str
    planes_um: list[float]
    sweeps: int
    averages: int
    fit_sweeps: int


TRIALS = (
    Trial("5 planes within 30 um of focus", [-20.0, 0.0, 10.0, 20.0, 40.0], 40, 5, 6),
    Trial("11 planes 20 um apart", [float(z) for z in range(-100, 101, 20)], 30, 3, 3),
)


def read_waves(folder: Path) -> Recording:
    """Read the recorded planes, each divided by the empty field and by its own mean."""
    stack = read_recording(folder)
    empty = cv2.imread(str(folder / "Reference_crop.png"), cv2.IMREAD_UNCHANGED).astype(np.float64)
    flat = stack.images / empty
    flat /= flat.mean(axis=(1, 2), keepdims=True)
    return Recording(flat.astype(np.float32), stack.positions_um, DHM_UM_PER_PX, WAVELENGTH_UM)


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Pearson correlation of two planes in the middle of the field."""
    inner = slice(INSET_PX, -INSET_PX)
    return round(float(np.corrcoef(a[inner, inner].ravel(), b[inner, inner].ravel())[0, 1]), 3)


def predicted_planes(recording: Recording) -> list[Row]:
    """Rows for every held-out plane of every trial, after one for the trial itself."""
    rows: list[Row] = []
    for trial in TRIALS:
        fitted = fit_geometry(recording, trial.planes_um, FOCUS_UM, trial.fit_sweeps)
        wave = retrieve(fitted, trial.planes_um, FOCUS_UM, trial.sweeps, trial.averages)
        down, across = (rate * DHM_UM_PER_PX for rate in fitted.drift_px_per_um)
        held_out = [float(z) for z in recording.positions_um if z not in trial.planes_um]
        planes = [_predicted_plane(fitted, wave, trial, z) for z in held_out]
        rows.append(
            {
                "case": f"recorded waves, {trial.name}",
                "planes_um": trial.planes_um,
                "held_out_planes": len(held_out),
                "fitted_drift_um_per_um": [round(down, 4), round(across, 4)],
                "fitted_z_scale": round(fitted.z_scale, 3),
                "rms_amplitude_error": round(wave.misfit**0.5, 4),
                **{
                    f"{figure}_median": round(float(np.median([p[figure] for p in planes if figure in p])), 3)
                    for figure in planes[0]
                    if figure == "correlation" or figure.startswith("null")
                },
            }
        )
        rows += planes
    return rows


def _predicted_plane(recording: Recording, wave: Retrieved, trial: Trial, z: float) -> Row:
    measured = recording.plane(z)
    nearest = min(trial.planes_um, key=lambda plane: abs(plane - z))
    row: Row = {
        "case": f"plane at {z:+.0f} um, {trial.name}",
        "from_focus_um": z - FOCUS_UM,
        "from_nearest_plane_um": abs(z - nearest),
        "correlation": correlation(measured, wave.intensity(z)),
        "null_nearest_plane": correlation(measured, recording.plane(nearest)),
    }
    # The other nulls are made of the in-focus plane, so they say nothing about itself.
    if z != FOCUS_UM:
        focused = recording.plane(FOCUS_UM)
        blurred = [cv2.GaussianBlur(focused, (0, 0), sigma) for sigma in BLURS_PX]
        margins = [(s.start, n - s.stop) for s, n in zip(wave.window, wave.wave.shape, strict=True)]
        absorbing = np.pad(np.sqrt(focused), margins, mode="reflect").astype(np.complex64)
        moved = wave.space.travel(absorbing, (z - FOCUS_UM) * recording.z_scale)[wave.window]
        row |= {
            "null_in_focus_plane": correlation(measured, focused),
            "null_blurred": max(correlation(measured, image) for image in blurred),
            "null_without_phase": correlation(measured, np.abs(moved) ** 2),
        }
    return row


def recorded_curves(stacks: Path) -> list[Row]:
    """Rows for the flanks of recorded stacks; their lengths in um, but for one whose spacing is unknown."""
    waves = read_waves(stacks / "dhm_cheekcell_laser")
    fluorescence = read_recording(stacks / "dfnn_mitochondria_fluor")
    yeast = read_recording(stacks / "bfautofocus_fissionyeast" / "BF.tif")
    scorpion = read_recording(stacks / "pi_scorpion_lapse", 1.0)
    return [
        _curve_row(
            "recorded fluorescence, mitochondria", fluorescence.positions_um, fluorescence.images, "um"
        ),
        _curve_row("recorded brightfield, pseudoscorpion", scorpion.positions_um, scorpion.images, "planes"),
        _curve_row("recorded laser light, cell", waves.positions_um, waves.intensity, "um"),
        _curve_row("recorded brightfield, yeast", yeast.positions_um, yeast.images, "um"),
    ]


def _curve_row(case: str, positions: NDArray[np.float64], images: NDArray[np.generic], unit: str) -> Row:
    flanks = compare_flanks(positions, np.array([vollath_f5(image) for image in images]))
    return {
        "case": case,
        "asymmetry": round(flanks.asymmetry, 3),
        "kind": flanks.kind,
        f"left_half_width_{unit}": round(flanks.left, 2),
        f"right_half_width_{unit}": round(flanks.right, 2),
        "reach_half_widths": round(flanks.reach, 2),
    }


def controls(simulation: SimulationConfig) -> dict[str, SimulationConfig]:
    """Return the rig's own simulation, and those with one or none of the causes of asymmetry left in."""
    optics, worm, plate = simulation.optics, simulation.worm, simulation.plate
    shifts = {"bands": tuple(band.model_copy(update={"shift_um": 0.0}) for band in optics.bands)}
    spherical = {"spherical_waves": 0.0}
    phase_free = {
        "worm": worm.model_copy(update={"index_contrast": 0.0, "granule_opd_um": 0.0, "pharynx_opd_um": 0.0}),
        "plate": plate.model_copy(update={"agar_opd_um": 0.0, "lawn_opd_um": 0.0}),
    }

    def without(changes: dict[str, object], *, phase: bool = False) -> SimulationConfig:
        update: dict[str, object] = {"optics": optics.model_copy(update=changes)}
        return simulation.model_copy(update=update if phase else update | phase_free)

    return {
        "as the rig file says": simulation,
        "spherical aberration alone": without(shifts),
        "chromatic shift alone": without(spherical),
        "phase alone": without(shifts | spherical, phase=True),
        "control: none of the three": without(shifts | spherical),
        "control: none, 64 source points": without(
            shifts | spherical | {"source_points": 64, "source_points_per_mm": 0.0}
        ),
    }


def simulated_flanks(rig: RigConfig, simulation: SimulationConfig, seed: int) -> Flanks:
    """Flanks of the noise-free focus curve of a window on the worm of a seed."""
    scene = Scene(rig, simulation, seed, (4 * WINDOW, 4 * WINDOW))
    view = scene.centred_region(0.0, (WINDOW, WINDOW))
    outer = view.grown(scene.blur_margin(float(CURVE_UM[-1])))
    inner = view.inside(outer)
    wave = scene.lens.exit_wave(scene.slices(outer, 0.0))
    return compare_flanks(
        CURVE_UM, np.array([vollath_f5(scene.lens.image(wave, float(z))[inner]) for z in CURVE_UM])
    )


def simulated_curves(seeds: range) -> list[Row]:
    """Rows for the flanks of simulated worms: the distribution over seeds."""
    rig = load_rig("worm_tracker_sim")
    rows: list[Row] = []
    for name, simulation in controls(simulation_section(rig)).items():
        # Many source points are slow, and a few specimens show whether the rest goes away with them.
        some = seeds if simulation.optics.source_points <= 16 else seeds[:5]
        found = [simulated_flanks(rig, simulation, seed) for seed in some]
        asymmetry = np.array([flanks.asymmetry for flanks in found])
        rows.append(
            {
                "case": f"simulated worms, {name}",
                "specimens": len(some),
                "asymmetry_median": round(float(np.median(asymmetry)), 3),
                "asymmetry_p10": round(float(np.quantile(asymmetry, 0.1)), 3),
                "asymmetry_p90": round(float(np.quantile(asymmetry, 0.9)), 3),
                "absolute_asymmetry_median": round(float(np.median(np.abs(asymmetry))), 3),
                "minima": sum(flanks.kind == "minimum" for flanks in found),
                "half_width_median_um": round(float(np.median([(f.left + f.right) / 2 for f in found])), 1),
                "reach_half_widths_least": round(min(flanks.reach for flanks in found), 2),
            }
        )
    return rows


def source_sampling(seeds: range) -> list[Row]:
    """Rows for the error of few source points at several defoci: median and largest over seeds."""
    rig = load_rig("worm_tracker_sim")
    optics = simulation_section(rig).optics
    own = f"the rig file's: {optics.source_points}, or {optics.source_points_per_mm:g} per mm"
    choices = {own: optics} | {f"{n} source points": sampled(optics, n) for n in SOURCE_POINTS}
    errors: dict[tuple[str, float], list[float]] = {}
    for seed in seeds:
        reference = through_focus(rig, sampled(optics, FINE_SOURCE_POINTS), seed)
        for name, choice in choices.items():
            images = through_focus(rig, choice, seed)
            for z, coarse, fine in zip(SOURCE_DEFOCUS_UM, images, reference, strict=True):
                error = float(np.sqrt(np.mean((coarse - fine) ** 2)) / fine.std())
                errors.setdefault((name, z), []).append(error)
    return [
        {
            "case": name,
            **{
                f"rms_error_{z:.0f}um": round(float(np.median(errors[name, z])), 4) for z in SOURCE_DEFOCUS_UM
            },
            "rms_error_largest": round(max(max(errors[name, z]) for z in SOURCE_DEFOCUS_UM), 4),
        }
        for name in choices
    ]


def sampled(optics: SimulatedOpticsConfig, points: int) -> SimulatedOpticsConfig:
    """Return the same optics with so many source points at every defocus."""
    return optics.model_copy(update={"source_points": points, "source_points_per_mm": 0.0})


def through_focus(rig: RigConfig, optics: SimulatedOpticsConfig, seed: int) -> list[NDArray[np.float32]]:
    """Return noise-free windows on the worm of a seed at `SOURCE_DEFOCUS_UM`."""
    simulation = simulation_section(rig).model_copy(update={"optics": optics})
    scene = Scene(rig, simulation, seed, (4 * WINDOW, 4 * WINDOW))
    view = scene.centred_region(0.0, (WINDOW, WINDOW))
    outer = view.grown(scene.blur_margin(SOURCE_DEFOCUS_UM[-1]))
    wave = scene.lens.exit_wave(scene.slices(outer, 0.0))
    return [scene.lens.image(wave, z)[view.inside(outer)] for z in SOURCE_DEFOCUS_UM]


def main() -> None:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with dhm_cheekcell_laser and the other stacks")
    parser.add_argument("--specimens", type=int, default=20, help="simulated specimens of focus curves")
    parser.add_argument("--source-specimens", type=int, default=5, help="specimens of the source sampling")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the first specimen")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows: list[Row] = []
    if options.data is not None:
        if not (options.data / "dhm_cheekcell_laser").is_dir():
            parser.error(f"{options.data}: no dhm_cheekcell_laser in it; give the folder of recorded stacks")
        rows += predicted_planes(read_waves(options.data / "dhm_cheekcell_laser"))
        rows += recorded_curves(options.data)
    rows += simulated_curves(range(options.seed, options.seed + options.specimens))
    rows += source_sampling(range(options.seed, options.seed + options.source_specimens))
    print_rows(rows)
    if options.json is not None:
        write_report(options.json, rows)


if __name__ == "__main__":
    main()

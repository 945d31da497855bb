"""What comparisons of contrast tell of a network's constant error, and how near the trim comes to it.

    python benchmarks/trim.py --json benchmarks/results/trim.json

Every seed of the simulated reference rig is focused for 30 s with a comparison every 3 s. From each
comparison, a parabola of the logarithm of F5 over the lens position, in depths of field, gives `slope` and
`curvature`, and the true focus gives `error`, what the network missed. Then all comparisons are shown to
`edge.trim.ContrastTrim` again, with several expectations of how frames scatter and how networks err: the trim
after each comparison is compared with the error at the next, so that none can have seen what it is judged on.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from methods.report import Row, print_rows, write_report
from methods.rig_files import write_rig
from numpy.typing import NDArray

import edge.trim
from edge.trim import FRAMES_PER_PLACE, PLACES, ContrastTrim
from hw.config import load_rig

SECONDS, EVERY_S = 30.0, 3.0
FRAMES = FRAMES_PER_PLACE * len(PLACES)
# Two frames of one comparison are never farther apart.
LARGEST_GAP_S = 0.8
EXPECTED: dict[str, dict[str, float]] = {
    "as shipped": {},
    "frames scatter by 0.05, networks err by 0.3, half a minute": {
        "SCATTER": 0.05,
        "ERROR_DOF": 0.3,
        "MEMORY_S": 30.0,
    },
    "frames scatter by 0.05": {"SCATTER": 0.05},
    "networks err by 0.3": {"ERROR_DOF": 0.3},
    "half a minute": {"MEMORY_S": 30.0},
}


@dataclass(frozen=True)
class Compared:
    """One comparison: times, lens positions and sharpness of its frames, and what was true meanwhile.

    Attributes
    ----------
    frames : (12, 3) seconds, um, squared grey levels
    network_um : where the network put focus when it began
    error_dof : from there to true focus, mean over the frames
    """

    frames: NDArray[np.float64]
    network_um: float
    error_dof: float


def main() -> None:
    """Focus, look at the comparisons, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rig", default="worm_tracker_sim")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    dof_um = load_rig(options.rig).optics.dof_um
    with TemporaryDirectory() as folder, ProcessPoolExecutor(options.workers) as pool:
        often = {"control": {"trim_every_s": EVERY_S}}
        rig = write_rig(Path(folder) / "often_comparing.yaml", options.rig, often)
        jobs = [(str(rig), options.bundle, seed) for seed in range(options.seeds)]
        found = dict(enumerate(pool.map(focused, jobs)))
    rows = [
        {"case": f"seed {seed}, comparison {place}", **told(compared, dof_um)}
        for seed, comparisons in found.items()
        for place, compared in enumerate(comparisons)
    ]
    usable = [row for row in rows if row["usable"]]
    errors, slopes = (np.array([row[name] for row in usable]) for name in ("error_dof", "slope"))
    gain, offset = np.polyfit(errors, slopes, 1)
    summary = {
        "comparisons": len(rows),
        "usable": len(usable),
        "error_sd_dof": float(errors.std()),
        "slope_per_error": float(gain),
        "slope_scatter": float((slopes - gain * errors - offset).std()),
        "frame_scatter": float(np.sqrt(np.mean([row["residual"] ** 2 for row in usable]))),
    }
    judged = [judge(name, expected, found, dof_um) for name, expected in EXPECTED.items()]
    print_rows([{"case": "comparisons", **summary}, *judged])
    if options.json is not None:
        write_report(options.json, rows, summary=summary, trims=judged)


def focused(job: tuple[str, str, int]) -> list[Compared]:
    """Focus on one seed; return its comparisons."""
    import cv2

    from calibration.truth import true_focus
    from edge.figures import Step
    from edge.loop import run_autofocus
    from wormfocus.autofocus import MethodName, open_parts

    rig, bundle, seed = job
    cv2.setNumThreads(1)
    seen: list[tuple[float, ...]] = []

    def note(step: Step) -> None:
        look, known = step.look, step.truth_steps is not None and step.look.plane_um is not None
        if look.sharpness is not None and look.decision.state == "locked" and known:
            network_um = look.plane_um - look.trim_um
            times = (step.frame.exposure_start_s, step.frame.lens_steps * um_per_step)
            seen.append((*times, look.sharpness, network_um, step.truth_steps * um_per_step))

    with open_parts(rig, bundle, MethodName.network, seed=seed, full_scan=False) as parts:
        um_per_step, dof_um = parts.rig.config.axis.um_per_step, parts.rig.config.optics.dof_um
        run_autofocus(parts.rig, parts.focuser, seconds=SECONDS, truth=true_focus(parts.rig), progress=note)
    return list(comparisons(np.array(seen).reshape(-1, 5), dof_um))


def comparisons(seen: NDArray[np.float64], dof_um: float) -> Iterator[Compared]:
    """Cut frames (N, 5), of time, lens, sharpness, network's and true focus, into whole comparisons."""
    breaks = np.flatnonzero(np.diff(seen[:, 0]) > LARGEST_GAP_S) + 1
    for frames in np.split(seen, breaks):
        if len(frames) == FRAMES:
            error_um = float(np.mean(frames[:, 4] - frames[0, 3]))
            yield Compared(frames[:, :3], float(frames[0, 3]), error_um / dof_um)


def told(compared: Compared, dof_um: float) -> Row:
    """Fit one comparison's parabola, a level and a steady change with time taken out."""
    t, lens_um, sharpness = compared.frames.T
    u = (lens_um - compared.network_um) / dof_um
    terms = np.column_stack([u, u**2, np.ones_like(t), t - t.mean()])
    values = np.log(sharpness)
    fit = np.linalg.lstsq(terms, values, rcond=None)[0]
    residual = values - terms @ fit
    return {
        "error_dof": compared.error_dof,
        "slope": float(fit[0]),
        "curvature": float(fit[1]),
        "residual": float(residual.std()),
        "usable": bool(np.abs(residual).max() <= edge.trim.LARGEST_STRAY),
    }


def judge(name: str, expected: dict[str, float], found: dict[int, list[Compared]], dof_um: float) -> Row:
    """Show all comparisons to a trim that expects this; compare it with the next one's error, in DOF."""
    kept = {key: getattr(edge.trim, key) for key in expected}
    misses, errors = [], []
    try:
        for key, value in expected.items():
            setattr(edge.trim, key, value)
        for runs in found.values():
            trim = ContrastTrim(dof_um, 0.25 * dof_um, EVERY_S)
            for compared, following in pairwise(runs):
                trim.begin(compared.network_um, compared.network_um, compared.frames[0, 0])
                for start_s, lens_um, sharpness in compared.frames:
                    trim.record(start_s, lens_um, sharpness, start_s)
                misses.append(trim.offset_um / dof_um - following.error_dof)
                errors.append(following.error_dof)
    finally:
        for key, value in kept.items():
            setattr(edge.trim, key, value)
    return {
        "case": name,
        "n": len(misses),
        "rms_dof": rms(misses),
        "worst_dof": float(np.abs(misses).max()),
        "untrimmed_rms_dof": rms(errors),
        "untrimmed_worst_dof": float(np.abs(errors).max()),
    }


def rms(values: list[float]) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    main()

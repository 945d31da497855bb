"""Properties of the focus measures, on simulated worms and on recorded stacks.

    python benchmarks/measures.py --stacks STACKS --data RECORDED --json benchmarks/results/measures.json

For each measure, in the region that `wormfocus label` would use: how often its curve has one hump, how wide
that is, how far noise moves its peak, what it does in the focus of two phase objects, and what it costs.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from methods.report import Row, print_rows, write_report
from methods.worm_stacks import worm_stack
from numpy.typing import NDArray

from calibration.examine import Plan, examine
from calibration.measure import MEASURES, FocusMeasure, luminance
from calibration.peak import NoFocusPeak, find_peak
from calibration.stack import read_recording
from hw.config import load_rig
from hw.frame import Box

PLANES_PER_DOF = 3
NOISE_LEVELS = 5.0
"""Standard deviation of the noise that is added, in grey levels of 255."""

HUMP = 0.1
"""A maximum that stands out by this share of the range is a hump."""

PHASE_OBJECTS = {"bfautofocus_fissionyeast/BF.tif": 4.5, "dhm_cheekcell_laser": 10.0}
"""Recorded phase objects and where they are in focus, um."""

PEAKS = {"dfnn_mitochondria_fluor": None, "pi_scorpion_lapse": 1.0}
"""Recorded stacks with a peak, and the spacing where only the order is known."""

Curve = NDArray[np.float64]


def humps(curve: Curve) -> int:
    """Count the maxima that stand out from the minima beside them, the ends included."""
    least, count, low, high, rising = HUMP * float(np.ptp(curve)), 0, curve[0], curve[0], True
    for value in curve[1:]:
        if rising:
            high = max(high, value)
            if value < high - least:
                count, rising, low = count + 1, False, value
        else:
            low = min(low, value)
            if value > low + least:
                rising, high = True, value
    return count + int(rising and high - low >= least)


def width(z: Curve, curve: Curve) -> float:
    """Full width at half maximum, by linear interpolation; nan where a flank does not fall so far."""
    half = (curve.max() + curve.min()) / 2
    top = int(curve.argmax())
    below_left, below_right = np.nonzero(curve[:top] < half)[0], np.nonzero(curve[top:] < half)[0]
    if not (below_left.size and below_right.size):
        return float("nan")
    left, right = int(below_left[-1]), top + int(below_right[0])
    from_left = np.interp(half, curve[left : left + 2], z[left : left + 2])
    from_right = np.interp(half, curve[right - 1 : right + 1][::-1], z[right - 1 : right + 1][::-1])
    return float(from_right - from_left)


def upright(measure: FocusMeasure, planes: list[Curve], box: Box | None) -> Curve:
    """Curve of a measure, turned over where focus is its minimum."""
    curve = np.array([measure(plane, box) for plane in planes])
    return curve if measure.focus_is == "maximum" else -curve


def on_worms(measure: FocusMeasure, worms: list[tuple[Curve, list[Curve], Box]], dof_um: float) -> Row:
    """Unimodality, width and robustness on simulated worms."""
    rng = np.random.default_rng(0)
    single, widths, shifts, lost = 0, [], [], 0
    for z, planes, box in worms:
        curve = upright(measure, planes, box)
        single += humps(curve) == 1
        widths.append(width(z, curve) / dof_um)
        noisy = [plane + rng.normal(0, NOISE_LEVELS, plane.shape) for plane in planes]
        try:
            clean_um = find_peak(z, curve).position
            shifts.append((find_peak(z, upright(measure, noisy, box)).position - clean_um) / dof_um)
        except NoFocusPeak:
            lost += 1
    known = [w for w in widths if np.isfinite(w)]
    return {
        "worms": len(worms),
        "one_hump": single,
        "fwhm_dof_median": round(float(np.median(known)), 2) if known else None,
        "no_half_width": len(worms) - len(known),
        "noise_shift_dof_rms": round(float(np.sqrt(np.mean(np.square(shifts)))), 3) if shifts else None,
        "noise_no_peak": lost,
    }


def read_recorded(folder: Path) -> dict[str, tuple[Curve, list[Curve]]]:
    """Positions and grey planes of the recorded stacks, by name."""
    read = {}
    for name in (*PEAKS, *PHASE_OBJECTS):
        stack = read_recording(folder / name, PEAKS.get(name))
        read[name] = (stack.positions_um, [luminance(plane) for plane in stack.images])
    return read


def on_recorded(measure: FocusMeasure, stacks: dict[str, tuple[Curve, list[Curve]]]) -> Row:
    """Where it peaks on recorded stacks, and what it is in the focus of phase objects: 0 least, 1 most."""
    row: Row = {}
    for name, (z, planes) in stacks.items():
        short = name.split("_")[0]
        if name in PEAKS:
            curve = upright(measure, planes, None)
            row |= {f"best_plane_{short}_um": float(z[curve.argmax()]), f"humps_{short}": humps(curve)}
        else:
            curve = np.array([measure(plane) for plane in planes])
            there = int(np.abs(z - PHASE_OBJECTS[name]).argmin())
            row[f"in_focus_{short}"] = round(float((curve[there] - curve.min()) / np.ptp(curve)), 2)
    return row


def cost_ms(measure: FocusMeasure) -> float:
    """Median processor time for a megapixel of grey, ms."""
    image = np.random.default_rng(0).integers(0, 255, (1000, 1000)).astype(np.uint8)
    times = []
    for _ in range(7):
        start = time.process_time()
        measure(image)
        times.append(time.process_time() - start)
    return round(1000 * float(np.median(times)), 1)


def main() -> None:
    """Run and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=Path, required=True, help="folder where simulated stacks are kept")
    parser.add_argument("--data", type=Path, help="folder of recorded stacks")
    parser.add_argument("--specimens", type=int, default=20, help="simulated worms")
    parser.add_argument("--seed", type=int, default=6000, help="seed of the first worm")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.stacks.mkdir(parents=True, exist_ok=True)
    rig = load_rig("worm_tracker_sim")
    worms = []
    for seed in range(options.seed, options.seed + options.specimens):
        found = worm_stack(rig, seed, "plain", rig.optics.dof_um / PLANES_PER_DOF, options.stacks)
        if found is not None:
            region = examine(found.stack, plan=Plan(patches=(1, 1), witnesses=())).region
            worms.append((found.stack.positions_um, [luminance(p) for p in found.stack.images], region))
    recorded = {} if options.data is None else read_recorded(options.data)
    rows: list[Row] = []
    for name, measure in MEASURES.items():
        row: Row = {"case": name, "focus_is": measure.focus_is, "cost_ms_per_megapixel": cost_ms(measure)}
        row |= on_worms(measure, worms, rig.optics.dof_um)
        row |= on_recorded(measure, recorded)
        rows.append(row)
        print_rows([row])
    if options.json is not None:
        write_report(options.json, rows)


if __name__ == "__main__":
    main()

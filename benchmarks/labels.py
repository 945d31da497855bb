"""Labels against the truth: how far each focus measure peaks from true focus, and which labels are wrong.

    python benchmarks/labels.py --stacks STACKS --data RECORDED --json benchmarks/results/labels.json

Simulated worms at the reference rig's noise, evenly spaced planes; other simulated rigs with the planes of
`wormfocus simulate`. Every measure is asked alone, in the region that `wormfocus label` would use, and its
bias and spread stated. Then whole labels, with everything that may refuse them, on the same stacks and on
stacks in trouble: dust, tilt, focus out of range. A *wrong* label is more than a tenth of the depth of field
out. Stacks are kept in a folder: a run that was cut short goes on.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from methods.label_rows import Verdict, summary, verdicts
from methods.report import Row, print_rows, write_report
from methods.worm_stacks import (
    WormStack,
    crowded_seeds,
    out_of_range,
    pictured_focus,
    tilted,
    tilted_focus,
    worm_stack,
)
from numpy.typing import NDArray

from calibration.examine import Plan, examine
from calibration.label import read_label
from calibration.measure import DEFAULT_MEASURE, MEASURES, luminance
from calibration.peak import NoFocusPeak, Peak, find_peak
from calibration.simulate import StackPlan, simulate_stacks
from calibration.stack import ZStack, read_recording, read_stack
from hw.config import RigConfig, load_rig
from hw.frame import Box

PLANES_PER_DOF = 3
TILTS = (3, 6)
"""Planes from edge to edge: one and two depths of field."""

OUT_DOF = (0.1, 1.5)


@dataclass(frozen=True)
class Other:
    """How stacks of another rig are made and labelled.

    Attributes
    ----------
    planes : of `wormfocus simulate`
    measure, criterion : of the labels; the criterion is that of all measures of contrast
    linear : as of `Plan`, for stacks that say nothing of their camera
    own_zero : the measure's focus is at a distance from the rig's true focus that belongs to the rig, such as
        that of a beam from the imaging camera's, so that bias is no error
    """

    planes: StackPlan
    measure: str = DEFAULT_MEASURE
    criterion: Literal["max", "min"] | None = None
    linear: bool | None = None
    own_zero: bool = False


OTHERS = {
    # Paper 2's +-10 um in steps of 0.5 um; paper 4's short range; paper 5's beads, paper 3's yeast, whose
    # contrast is least in focus.
    "slide_sim": Other(StackPlan(41, 10.0, 120.0, True)),
    "slit_laser_sim": Other(StackPlan(41, 10.0, None, True), "power_spectrum_std", own_zero=True),
    "beads_sim": Other(StackPlan(31, 150.0, None, True), linear=True, own_zero=True),
    "yeast_sim": Other(StackPlan(31, 5.0, None, True), criterion="min", linear=True),
}

RECORDED = {
    "dfnn_mitochondria_fluor": None,
    "pi_scorpion_lapse": 1.0,
    "bfautofocus_fissionyeast/BF.tif": None,
    "dhm_cheekcell_laser": None,
}
"""Recorded stacks, with the spacing where only the planes' order is known."""


def peak_of(
    z: NDArray[np.float64],
    planes: list[NDArray[np.float64]],
    name: str,
    box: Box | None,
    criterion: Literal["max", "min"] | None = None,
) -> Peak | None:
    """Peak of one measure alone; None where it has none to be trusted."""
    measure = MEASURES[name]
    curve = np.array([measure(plane, box) for plane in planes])
    try:
        return find_peak(z, curve, criterion or ("max" if measure.focus_is == "maximum" else "min"))
    except NoFocusPeak:
        return None


def verdict(stack: ZStack, truth_um: float, how: Other | None = None) -> Verdict:
    """Label a stack as `wormfocus label` does."""
    if how is None:
        found = examine(stack)
    else:
        found = examine(stack, how.measure, Plan(criterion=how.criterion, linear=how.linear))
    if found.reason or found.peak is None:
        return Verdict(None, found.reason)
    return Verdict(found.peak.position - truth_um, sigma_um=found.peak.sigma)


def rendered(rig: RigConfig, seeds: Sequence[int], case: str, folder: Path) -> list[WormStack]:
    """Stacks of a case, of those seeds whose worm has a true focus."""
    step_um = rig.optics.dof_um / PLANES_PER_DOF
    return [s for seed in seeds if (s := worm_stack(rig, seed, case, step_um, folder)) is not None]


def measures_of_worms(rig: RigConfig, seeds: range, folder: Path) -> Iterator[Row]:
    """Rows for every measure alone, on simulated worms."""
    plain = rendered(rig, seeds, "plain", folder)
    truths = [0.0] * len(plain)
    peaks: dict[str, list[Peak | None]] = {}
    for specimen in plain:
        planes, z = [luminance(plane) for plane in specimen.stack.images], specimen.stack.positions_um
        region = examine(specimen.stack, plan=Plan(patches=(1, 1), witnesses=())).region
        for name in MEASURES:
            peaks.setdefault(f"{name}, subject", []).append(peak_of(z, planes, name, region))
        for place, box in (("the worm's true box", specimen.worm), ("whole window", None)):
            peaks.setdefault(f"{DEFAULT_MEASURE}, {place}", []).append(
                peak_of(z, planes, DEFAULT_MEASURE, box)
            )
    for name, found in peaks.items():
        yield summary(f"{rig.name}, {name}", found, truths, rig)
    sparse = [replace(s, stack=_thinned(s.stack)) for s in plain]
    yield _of_worms(rig, "the worm's true box, every second plane", sparse)


def labels_of_tilted_worms(rig: RigConfig, seeds: range, folder: Path) -> Iterator[Row]:
    """Rows for whole labels of tilted worms alone."""
    yield from _tilted(rig, rendered(rig, seeds, "plain", folder), folder)


def labels_of_plain_worms(rig: RigConfig, seeds: range, crowded: int, folder: Path) -> Iterator[Row]:
    """Rows for whole labels of worms as they come, and of so many beside another worm."""
    plain = rendered(rig, seeds, "plain", folder)
    found, row = _plain(rig, "plain", plain)
    yield row
    yield _against_pictures(rig, row, found, plain, folder)
    if crowded:
        beside = crowded_seeds(rig, seeds.stop, crowded)
        yield _plain(rig, "beside another worm", rendered(rig, beside, "plain", folder))[1]


def _plain(rig: RigConfig, what: str, specimens: list[WormStack]) -> tuple[list[Verdict], Row]:
    """Against true focus, that of the whole worm in light."""
    found = [verdict(s.stack, 0.0) for s in specimens]
    row = verdicts(f"{rig.name}, labels, {what}", found, rig)
    return found, row | {"cut_off_by_the_window": sum(s.cut_off for s in specimens)}


def _seeds(specimens: list[WormStack]) -> list[int]:
    return [int(specimen.stack.notes["seed"]) for specimen in specimens]


def _against_pictures(
    rig: RigConfig, row: Row, found: list[Verdict], specimens: list[WormStack], folder: Path
) -> Row:
    step_um = rig.optics.dof_um / PLANES_PER_DOF
    pictured = [pictured_focus(rig, seed, step_um, folder) for seed in _seeds(specimens)]
    return _against("the noise-free curve of the camera's pictures", row, found, pictured, rig)


def _against(what: str, row: Row, found: list[Verdict], foci: list[float], rig: RigConfig) -> Row:
    """Errors against another focus than the true one of a row; stacks without one are left out."""
    moved = [
        label if label.error_um is None else replace(label, error_um=label.error_um - focus)
        for label, focus in zip(found, foci, strict=True)
        if not np.isnan(focus)
    ]
    return verdicts(f"{row['case']}, against {what}", moved, rig)


def labels_of_worms(rig: RigConfig, seeds: range, dusty: int, folder: Path) -> Iterator[Row]:
    """Rows for whole labels of simulated worms, in trouble and not."""
    plain = rendered(rig, seeds, "plain", folder)
    found, row = _plain(rig, "plain", plain)
    yield row
    step_um = rig.optics.dof_um / PLANES_PER_DOF
    shown = [tilted_focus(rig, seed, step_um, (0,), folder)[0] for seed in _seeds(plain)]
    yield _against("the noise-free curve of what the window shows", row, found, shown, rig)
    yield _against_pictures(rig, row, found, plain, folder)
    yield from _tilted(rig, plain, folder)
    yield _out_of_range(rig, plain)
    for case in ("dusty", "dust below"):
        held = rendered(rig, seeds[::dusty], case, folder)
        yield verdicts(f"{rig.name}, labels, {case}", [verdict(s.stack, 0.0) for s in held], rig)
    for case in ("plain", "linear"):
        held = rendered(rig, seeds[::dusty], case, folder)
        yield _of_worms(rig, f"the worm's true box, some of them, {case} tones", held)


def _of_worms(rig: RigConfig, what: str, specimens: list[WormStack]) -> Row:
    """How the default measure does in the true boxes of some worms."""
    peaks = [
        peak_of(s.stack.positions_um, [luminance(p) for p in s.stack.images], DEFAULT_MEASURE, s.worm)
        for s in specimens
    ]
    return summary(f"{rig.name}, {DEFAULT_MEASURE}, {what}", peaks, [0.0] * len(peaks), rig)


def _tilted(rig: RigConfig, plain: list[WormStack], folder: Path) -> Iterator[Row]:
    """Against the plane of the middle of the worm's box, and against the tilted worm's own curve."""
    step_um = rig.optics.dof_um / PLANES_PER_DOF
    seeds = _seeds(plain)
    # Tilted by nothing, a worm's focus has to be that of its stack.
    sharpest = [tilted_focus(rig, seed, step_um, (0, *TILTS), folder) for seed in seeds]
    flat = [tilts[0] for tilts in sharpest]
    yield {
        "case": f"{rig.name}, noise-free curves of planes tilted by 0 DOF, what the method gets wrong",
        "stacks": len(flat),
        "without_peak": int(np.isnan(flat).sum()),
        "rms_steps": round(float(np.sqrt(np.nanmean(np.square(flat)))) / rig.axis.um_per_step, 2),
        "largest_steps": round(float(np.nanmax(np.abs(flat))) / rig.axis.um_per_step, 2),
    }
    for planes in TILTS:
        found, moved = [], []
        for specimen, tilts in zip(plain, sharpest, strict=True):
            stack = tilted(specimen.stack, planes)
            slope = planes * specimen.stack.spacing_um / stack.images.shape[2]
            # Strips further right come from higher planes, so their focus is at lower positions.
            middle = -slope * (specimen.worm.centre[0] - stack.images.shape[2] / 2)
            label = verdict(stack, middle)
            found.append(label)
            if not np.isnan(tilts[planes]):
                error = None if label.error_um is None else label.error_um + middle - tilts[planes]
                moved.append(replace(label, error_um=error))
        case = f"{rig.name}, labels, tilted by {planes / PLANES_PER_DOF:g} DOF"
        yield verdicts(case, found, rig)
        yield verdicts(f"{case}, against the tilted worm's noise-free curve", moved, rig)


def _out_of_range(rig: RigConfig, plain: list[WormStack]) -> Row:
    rng = np.random.default_rng(0)
    found = []
    for specimen in plain:
        past = rig.optics.dof_um * float(rng.uniform(*OUT_DOF)) * float(rng.choice([-1, 1]))
        found.append(verdict(out_of_range(specimen.stack, past), 0.0))
    return verdicts(f"{rig.name}, labels, focus out of range", found, rig, in_range=False)


def _thinned(stack: ZStack) -> ZStack:
    return ZStack(stack.images[::2], stack.positions_um[::2], stack.um_per_px, stack.specimen, stack.notes)


def others(
    rig: RigConfig, how: Other, seeds: range, folder: Path, *, labels_only: bool = False
) -> Iterator[Row]:
    """Rows for another simulated rig."""
    made = simulate_stacks(rig, how.planes, seeds, folder / rig.name)
    paths = [done.path for done in made if done.path is not None]
    peaks: dict[str, list[Peak | None]] = {}
    truths, found = [], []
    of_light = MEASURES[how.measure].focus_is == "minimum"
    names = [how.measure] if of_light else [n for n, m in MEASURES.items() if m.focus_is == "maximum"]
    names = [] if labels_only else names
    for path in paths:
        stack, label = read_stack(path), read_label(path)
        assert label is not None
        truths.append(label.focus_um)
        planes = [luminance(plane) for plane in stack.images]
        for name in names:
            peaks.setdefault(name, []).append(peak_of(stack.positions_um, planes, name, None, how.criterion))
        found.append(verdict(stack, label.focus_um, how))
    for name, of_measure in peaks.items():
        yield summary(f"{rig.name}, {name}, whole", of_measure, truths, rig)
    row = verdicts(f"{rig.name}, labels by {how.measure}, plain", found, rig)
    yield {k: v for k, v in row.items() if "wrong" not in k and "_dof" not in k} if how.own_zero else row


def recorded(folder: Path) -> Iterator[Row]:
    """Rows for recorded stacks: accepted or refused, by what is asked for."""
    for name, spacing_um in RECORDED.items():
        stack = read_recording(folder / name, spacing_um)
        for asked, plan in (("as it comes", Plan()), ("criterion min, whole planes", Plan("min", "whole"))):
            found = examine(stack, plan=plan)
            row: Row = {"case": f"recorded {name}, {asked}", "planes": len(stack.images)}
            if found.peak is not None:
                row |= {
                    "peak_um": round(found.peak.position, 3),
                    "sigma_um": round(found.peak.sigma, 3),
                    "width_um": round(found.peak.width, 3),
                    "others_um": {k: round(p.position, 3) for k, p in found.peaks.items()},
                }
            yield row | ({"refused": found.reason} if found.reason else {"accepted": True})


def main() -> None:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=Path, required=True, help="folder where simulated stacks are kept")
    parser.add_argument("--data", type=Path, help="folder of recorded stacks")
    parser.add_argument("--specimens", type=int, default=100, help="worms")
    parser.add_argument("--dusty", type=int, default=5, help="one worm in so many is rendered with dust too")
    parser.add_argument("--labels-only", action="store_true", help="leave out the rows of each measure")
    parser.add_argument("--tilted-only", action="store_true", help="the worms' rows of tilted stacks alone")
    parser.add_argument("--plain-only", action="store_true", help="the worms' rows of plain stacks alone")
    parser.add_argument(
        "--crowded", type=int, default=0, help="with --plain-only: so many later seeds beside another worm"
    )
    parser.add_argument("--others", type=int, default=100, help="stacks of each other rig")
    parser.add_argument("--rigs", nargs="*", default=["worm_tracker_sim", *OTHERS], help="which rigs")
    parser.add_argument("--seed", type=int, default=6000, help="seed of the first specimen")
    parser.add_argument("--json", type=Path, help="file for the figures; its rows of other cases stay")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.stacks.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Row] = {}
    if options.json is not None and options.json.exists():
        rows = {row["case"]: row for row in json.loads(options.json.read_text(encoding="utf-8"))["rows"]}

    def keep(new: Iterator[Row]) -> None:
        for row in new:
            print_rows([row])
            rows[row["case"]] = row
            if options.json is not None:
                write_report(options.json, list(rows.values()))

    for name in options.rigs:
        rig = load_rig(name)
        if name in OTHERS:
            seeds = range(options.seed, options.seed + options.others)
            keep(others(rig, OTHERS[name], seeds, options.stacks, labels_only=options.labels_only))
        else:
            seeds = range(options.seed, options.seed + options.specimens)
            if options.tilted_only:
                keep(labels_of_tilted_worms(rig, seeds, options.stacks))
                continue
            if options.plain_only:
                keep(labels_of_plain_worms(rig, seeds, options.crowded, options.stacks))
                continue
            if not options.labels_only:
                keep(measures_of_worms(rig, seeds, options.stacks))
            keep(labels_of_worms(rig, seeds, options.dusty, options.stacks))
    if options.data is not None:
        keep(recorded(options.data))


if __name__ == "__main__":
    main()

"""How well the worm is found and followed: on recorded plates, on simulated sequences, in what time.

Recorded plates (`--data`): folders `seg_train_unique` and `seg_valid`, each with `images/` and YOLO polygons
in `labels/`. The scale and the score above which an object counts as a worm are set on the first, and nothing
is set on the second. An object counts when its box and a polygon's share at least 0.3 of their union. Each
polygon counts once, so a second object on the same worm is a false one, and each object counts once, so a
mating pair that is found as one object is one worm found and one missed; `covered` counts both as found.

Simulated sequences: the rig's own simulation, every seed a new specimen and new optics, at fixed defocus.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from methods.report import print_rows, write_report
from numpy.typing import NDArray

from edge.detect import Detector, WormLike
from edge.track import WormTracker
from hw.clock import VirtualClock
from hw.config import load_rig
from hw.frame import Box
from hw.simulation.rig import simulation_section
from hw.simulation.scene import Scene
from hw.simulation.stage import SimulatedAxis
from hw.simulation.view import FieldOfView

Polygon = NDArray[np.int32]
WORM_LENGTH_UM, WORM_WIDTH_UM = 1000.0, 80.0
IOU = 0.3
DEFOCUS_UM = (-1500, -1000, -500, -250, 0, 250, 500, 1000, 1500)


def labelled(folder: Path) -> Iterator[tuple[NDArray[np.uint8], list[Polygon]]]:
    """Yield each image of a folder, RGB, with its polygons in pixels."""
    for path in sorted((folder / "images").iterdir()):
        bgr = cv2.imread(str(path))
        if bgr is None:
            sys.exit(f"{path}: no readable image; remove it from the folder")
        size = np.array(bgr.shape[1::-1])
        lines = (folder / "labels" / f"{path.stem}.txt").read_text(encoding="utf-8").splitlines()
        polygons = [np.array(line.split()[1:], float).reshape(-1, 2) * size for line in lines]
        yield (
            np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8),
            [p.round().astype(np.int32) for p in polygons],
        )


def median_length_px(folder: Path) -> float:
    """Median length of a folder's worms: of the ribbon with a polygon's area and perimeter."""
    lengths = []
    for _, polygons in labelled(folder):
        for polygon in polygons:
            half = cv2.arcLength(polygon, True) / 2
            lengths.append((half + math.sqrt(max(half**2 - 4 * cv2.contourArea(polygon), 0))) / 2)
    return float(np.median(lengths))


def share_of_union(a: Box, b: Box) -> float:
    """Shared area of two boxes over the area of their union."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    shared = max(0, width) * max(0, height)
    return shared / (a.width * a.height + b.width * b.height - shared)


class Verdict(NamedTuple):
    """An object's score, whether it is a worm by its box and by its centre, and the polygons it covers."""

    score: float
    by_box: bool
    by_centre: bool
    covers: frozenset[tuple[int, int]]


def judge(objects: list[WormLike], polygons: list[Polygon], image: int) -> list[Verdict]:
    """Judge the objects of an image, best first."""
    boxes = [Box(*cv2.boundingRect(p)) for p in polygons]
    free_box, free_centre = set(range(len(boxes))), set(range(len(boxes)))
    verdicts = []
    for found in objects:
        best = max(free_box, key=lambda i: share_of_union(found.box, boxes[i]), default=None)
        by_box = best is not None and share_of_union(found.box, boxes[best]) >= IOU
        if best is not None and by_box:
            free_box -= {best}
        holder = next(
            (i for i in free_centre if cv2.pointPolygonTest(polygons[i], found.centre_px, False) >= 0), None
        )
        if holder is not None:
            free_centre -= {holder}
        covers = frozenset((image, i) for i, box in enumerate(boxes) if share_of_union(found.box, box) >= IOU)
        verdicts.append(Verdict(found.score, by_box, holder is not None, covers))
    return verdicts


def detect_all(folder: Path, um_per_px: float) -> tuple[list[Verdict], int, int]:
    """Verdicts on all objects of a folder, and its numbers of polygons and images."""
    detector = Detector(WORM_LENGTH_UM, WORM_WIDTH_UM, um_per_px)
    verdicts: list[Verdict] = []
    worms = images = 0
    for pixels, polygons in labelled(folder):
        verdicts.extend(judge(detector.detect(pixels), polygons, images))
        worms, images = worms + len(polygons), images + 1
    return verdicts, worms, images


def recall_and_precision(verdicts: list[Verdict], worms: int, least: float) -> dict[str, float]:
    """Recall and precision of the objects that score at least `least`."""
    kept = [v for v in verdicts if v.score >= least]
    by_box, by_centre = sum(v.by_box for v in kept), sum(v.by_centre for v in kept)
    return {
        "recall": by_box / worms,
        "precision": by_box / max(1, len(kept)),
        "covered": len(frozenset().union(*(v.covers for v in kept))) / worms,
        "recall_centre_in_polygon": by_centre / worms,
        "precision_centre_in_polygon": by_centre / max(1, len(kept)),
    }


def recorded_plates(data: Path) -> list[dict[str, Any]]:
    """Rows for the recorded plates: least score and scale from the training part, figures for both."""
    train, valid = data / "seg_train_unique", data / "seg_valid"
    um_per_px = WORM_LENGTH_UM / median_length_px(train)
    rows: list[dict[str, Any]] = []
    least = 0.0
    for folder in (train, valid):
        verdicts, worms, images = detect_all(folder, um_per_px)
        if folder is train:
            least = max(
                np.arange(0.05, 1.0, 0.01).round(2),
                key=lambda s: _f1(recall_and_precision(verdicts, worms, s)),
            )
        figures = recall_and_precision(verdicts, worms, least)
        rows.append(
            {
                "case": f"recorded plates, {folder.name}",
                "images": images,
                "worms": worms,
                "um_per_px": round(um_per_px, 2),
                "least_score": float(least),
                **{key: round(value, 3) for key, value in figures.items()},
            }
        )
    return rows


def _f1(figures: dict[str, float]) -> float:
    recall, precision = figures["recall"], figures["precision"]
    return 2 * recall * precision / max(recall + precision, 1e-9)


def simulated_sequences(seeds: range, frames: int) -> list[dict[str, Any]]:
    """Rows for sequences at fixed defocus: share tracked, error of the centre."""
    rig = load_rig("worm_tracker_sim")
    simulation = simulation_section(rig)
    um_per_px, period_s = rig.optics.um_per_px, 1 / rig.camera.fps
    axis = SimulatedAxis(rig.axis, simulation.axis, VirtualClock(), np.random.default_rng(0))
    errors_um: dict[int, list[float]] = {z: [] for z in DEFOCUS_UM}
    sighted = dict.fromkeys(DEFOCUS_UM, 0)
    for seed in seeds:
        scene = Scene(rig, simulation, seed, (rig.camera.width_px, rig.camera.height_px))
        grid_um = scene.lens.grid_um
        for z in DEFOCUS_UM:
            # The lens stands at 0; the plane of focus lies where that is the defocus asked for.
            focus_um = -z - scene.plane_um(0.0)
            view = FieldOfView(rig, simulation, scene, axis, focus_um, np.random.default_rng(seed))
            tracker = WormTracker(rig.tracking, um_per_px, period_s)
            for number in range(frames):
                start = number * period_s
                sighting = tracker.track(view.expose(start, start + rig.camera.exposure_s))
                if sighting.state != "tracked" or sighting.centre_px is None:
                    continue
                sighted[z] += 1
                true_um = scene.crawl.posture(start + rig.camera.exposure_s / 2).centre_um
                # Grid point (0, 0) is the middle of the field; the centre of grid point i is at i + 1/2.
                true_px = [
                    (value / grid_um - origin) * scene.grid_px
                    for value, origin in zip(true_um, (scene.field.x, scene.field.y), strict=True)
                ]
                errors_um[z].append(math.dist(sighting.centre_px, true_px) * um_per_px)
        print(f"  simulated specimen {seed} done", file=sys.stderr)
    rows = []
    for z in DEFOCUS_UM:
        errors = np.array(errors_um[z] or [math.nan])
        rows.append(
            {
                "case": f"simulated sequences, defocus {z:+d} um",
                "specimens": len(seeds),
                "frames": len(seeds) * frames,
                "tracked_fraction": round(sighted[z] / (len(seeds) * frames), 3),
                "centre_error_median_um": round(float(np.median(errors)), 1),
                "centre_error_p90_um": round(float(np.quantile(errors, 0.9)), 1),
                "centre_error_above_200um_fraction": round(float(np.mean(errors > 200)), 3),
            }
        )
    return rows


def frame_time(repeats: int) -> dict[str, Any]:
    """Row for the processor time of one full frame of the reference rig, and of its mean in a run."""
    rig = load_rig("worm_tracker_sim")
    simulation = simulation_section(rig)
    axis = SimulatedAxis(rig.axis, simulation.axis, VirtualClock(), np.random.default_rng(0))
    scene = Scene(rig, simulation, 0, (rig.camera.width_px, rig.camera.height_px))
    frame = FieldOfView(rig, simulation, scene, axis, 0.0, np.random.default_rng(0)).expose(0.0, 0.004)
    every_frame = rig.tracking.model_copy(update={"look_every_s": 0.0})
    taken = {}
    for tracking in (every_frame, rig.tracking):
        tracker = WormTracker(tracking, rig.optics.um_per_px, 1 / rig.camera.fps)
        times_ms = taken[tracking.look_every_s] = []
        for _ in range(repeats):
            # Processor time, so that a busy machine's other work does not count.
            begin = time.thread_time()
            tracker.track(frame)
            times_ms.append((time.thread_time() - begin) * 1e3)
    look_ms = taken[0.0]
    return {
        "case": f"processor time of one frame of {rig.camera.width_px}x{rig.camera.height_px}",
        "median_ms": round(float(np.median(look_ms)), 2),
        "p10_ms": round(float(np.quantile(look_ms, 0.1)), 2),
        "p99_ms": round(float(np.quantile(look_ms, 0.99)), 2),
        "looking_now_and_then_mean_ms": round(float(np.mean(taken[rig.tracking.look_every_s])), 2),
    }


def main() -> None:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with seg_train_unique and seg_valid")
    parser.add_argument("--specimens", type=int, default=4, help="simulated specimens; 0 for none")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the first specimen")
    parser.add_argument("--frames", type=int, default=10, help="frames of each sequence")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = [frame_time(200)]
    if options.data is not None:
        if not (options.data / "seg_valid" / "images").is_dir():
            parser.error(f"{options.data}: no seg_valid/images in it; give the folder of labelled plates")
        rows += recorded_plates(options.data)
    if options.specimens:
        rows += simulated_sequences(range(options.seed, options.seed + options.specimens), options.frames)
    print_rows(rows)
    if options.json is not None:
        write_report(options.json, rows)


if __name__ == "__main__":
    main()

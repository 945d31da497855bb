"""Recording sessions that are killed again and again, and what becomes of their stacks.

    python benchmarks/interrupted_recording.py --json benchmarks/results/interrupted_recording.json

A session of `wormfocus stack` is killed (SIGKILL) at random moments, and the same command goes on with it: on
a small simulated rig, which spends its time on images, and on a replayed rig with larger frames, which spends
it on the disk. After every kill all files are read and compared with the manifest; in the end, with those of
a session that nobody disturbed. `--full-disk FOLDER`, on a small file system of its own, fills it up in
mid-session, and goes on once there is room again.
"""

import argparse
import hashlib
import multiprocessing
import os
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from methods.report import print_rows, write_report
from methods.rig_files import write_rig

from calibration.dataset import MANIFEST, read_dataset, require_dataset
from calibration.dataset_check import check_stacks
from calibration.stack import ZStack, read_stack, write_stack
from hw.errors import StackError
from wormfocus.command import main as wormfocus

PRELOADED = ["wormfocus.stack", "calibration.campaign", "hw.simulation.rig", "hw.replay", "rich.progress"]


def small_rig(folder: Path) -> list[str]:
    """Write the reference rig with a field of 300 by 220 um, lit from one direction; returns its options."""
    changes = {
        "name": "small",
        "camera": {"width_px": 96, "height_px": 72},
        "optics": {"um_per_px": 3.1},
        "simulation": {"optics": {"grid_px": 1, "source_points": 1, "source_points_per_mm": 0}},
    }
    path = write_rig(folder / "small.yaml", "worm_tracker_sim", changes)
    return ["--rig", str(path), "--span-um", "800", "--step-um", "400", "--settle-s", "0.03"]


def replayed_rig(folder: Path) -> list[str]:
    """Write a recording of 21 planes of noise, 512 by 384 pixels; returns the options that replay it."""
    images = np.random.default_rng(0).integers(0, 256, (21, 384, 512, 3), np.uint8)
    path = folder / "recording.ome.tif"
    write_stack(path, ZStack(images, np.arange(21.0), 1.0))
    return ["--rig", "replay", "--stack", str(path), "--step-um", "1", "--settle-s", "0"]


def phase(out: Path) -> str:
    """Say what a killed session was doing."""
    dataset = read_dataset(out) if out.exists() else None
    if dataset is None:
        return "before its plan was fixed"
    session = dataset.sessions[-1]
    if session.finished:
        return "after it was finished"
    if any(out.glob(".*.ome.tif.*.partial")):
        return "a stack half written"
    listed = {entry.file for entry in session.stacks if entry.recorded}
    if {path.name for path in out.glob("*.ome.tif")} - listed:
        return "a stack named, not yet listed"
    if (out / f".{MANIFEST}.partial").exists():
        return "the manifest half written"
    return "all stacks recorded" if session.done == len(session.stacks) else "in between"


def damage(out: Path) -> Counter[str]:
    """Count stacks that have a name and cannot be read whole, and those that the manifest is wrong about."""
    found: Counter[str] = Counter()
    for path in out.glob("*.ome.tif"):
        try:
            read_stack(path)
        except StackError:
            found["half_written"] += 1
    dataset = read_dataset(out)
    if dataset is not None:
        found["not_as_listed"] += sum(f.state != "good" for f in check_stacks(out, dataset))
    return found


def digests(out: Path) -> dict[str, str]:
    """Return a digest of the pixels and positions of every stack."""
    found = {}
    for path in sorted(out.glob("*.ome.tif")):
        stack = read_stack(path)
        found[path.name] = hashlib.sha256(stack.images.tobytes() + stack.positions_um.tobytes()).hexdigest()
    return found


def killed_session(
    name: str, options: list[str], folder: Path, stacks: int, kills: int, seed: int
) -> dict[str, Any]:
    """Kill a session so many times, finish it, and count what went wrong.

    A session that comes to its end before is followed by another in the same data set.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    rng = np.random.default_rng(seed)
    whole, out = folder / f"{name}_whole", folder / f"{name}_killed"
    base = ["stack", *options, "-n", str(stacks), "--out"]
    began = time.monotonic()
    assert wormfocus([*base, str(whole)]) == 0
    each_s = (time.monotonic() - began) / stacks
    phases: Counter[str] = Counter()
    harm: Counter[str] = Counter()
    inodes: dict[str, int] = {}
    twice = done = 0
    while done < kills:
        process = context.Process(target=wormfocus, args=([*base, str(out)],))
        process.start()
        # At any moment of the next stacks, or on the way to the first of them.
        wanted = len(list(out.glob("*.ome.tif"))) + int(rng.integers(0, 4))
        while process.is_alive() and len(list(out.glob("*.ome.tif"))) < wanted:
            process.join(0.001)
        process.join(float(rng.uniform(0, 2 * each_s)))
        alive = process.is_alive()
        process.kill()
        process.join()
        if not alive:
            continue
        done += 1
        phases[phase(out)] += 1
        harm += damage(out)
        for path in out.glob("*.ome.tif"):
            twice += inodes.setdefault(path.name, path.stat().st_ino) != path.stat().st_ino
        print(f"{name}: kill {done} of {kills}", flush=True)
    assert wormfocus([*base, str(out), "--resume"]) == 0
    harm += damage(out)
    sessions = require_dataset(out).sessions
    undisturbed, found = digests(whole), digests(out)
    same = sum(found.get(file) == digest for file, digest in undisturbed.items())
    planned = sum(len(session.stacks) for session in sessions)
    return {
        "case": name,
        "kills": kills,
        "phases": dict(phases.most_common()),
        "sessions": len(sessions),
        "stacks_planned": planned,
        "lost": planned - sum(session.done for session in sessions),
        "unlisted": len(found) - planned,
        "half_written": harm["half_written"],
        "not_as_listed": harm["not_as_listed"],
        "recorded_twice": twice,
        "first_session_same_as_undisturbed": f"{same} of {len(undisturbed)}",
    }


def full_disk(options: list[str], folder: Path, stacks: int) -> dict[str, Any]:
    """Fill a small file system in mid-session, then make room and go on."""
    out, ballast = folder / "full_disk", folder / "ballast"
    arguments = ["stack", *options, "-n", str(stacks), "--out", str(out)]

    def fill() -> None:
        while len(list(out.glob("*.ome.tif"))) < 2:
            time.sleep(0.001)
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass

    filler = threading.Thread(target=fill)
    filler.start()
    status = wormfocus(arguments)
    filler.join()
    recorded = require_dataset(out).sessions[-1].done
    harm = damage(out)
    ballast.unlink()
    again = wormfocus(["stack", *options, "--out", str(out), "--resume"])
    harm += damage(out)
    return {
        "case": "full disk",
        "status_when_full": status,
        "recorded_when_full": recorded,
        "status_with_room": again,
        "stacks_planned": stacks,
        "lost": stacks - require_dataset(out).sessions[-1].done,
        "half_written": harm["half_written"],
        "not_as_listed": harm["not_as_listed"],
    }


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--stacks", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full-disk", type=Path, default=None, help="Folder on a file system of its own.")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        how = (folder, options.stacks, options.kills, options.seed)
        rows = [
            killed_session("simulated", small_rig(folder), *how),
            killed_session("replayed", replayed_rig(folder), *how),
        ]
        if options.full_disk is not None:
            rows.append(full_disk(replayed_rig(folder), options.full_disk, 5))
    print_rows(rows)
    if options.json:
        write_report(options.json, rows)


if __name__ == "__main__":
    main()

"""The demo's scenario over many seeds and all methods: time to lock, share in focus.

    python benchmarks/scenario.py --methods network contrast none --json benchmarks/results/scenario.json

Every seed is another worm on another plate under another objective of the simulated rig's family, and starts
250 steps out of focus. All methods meet the same seeds. Runs that the JSON file already holds are kept if
they are of the same rig, network and duration.
"""

import argparse
import json
import math
import platform
import shlex
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from methods.report import held_rows

# `contrast-scan` is `contrast` that begins with a scan of the whole search span, as `focus` does.
METHODS = ("network", "contrast", "contrast-scan", "none")


def one_run(job: tuple[str, int, str, float, str]) -> dict[str, Any]:
    """Run one method on one seed; returns its figures."""
    import cv2

    from calibration.truth import true_focus
    from edge.loop import run_autofocus
    from wormfocus.autofocus import MethodName, open_parts

    rig, seed, method, seconds, bundle = job
    cv2.setNumThreads(1)
    name, scan = MethodName(method.removesuffix("-scan")), method.endswith("-scan")
    with open_parts(rig, bundle, name, seed=seed, full_scan=scan) as parts:
        figures = run_autofocus(parts.rig, parts.focuser, seconds=seconds, truth=true_focus(parts.rig))
    return {
        "rig": rig,
        "bundle": bundle,
        "network": digest(bundle, method),
        "seed": seed,
        **figures.as_dict(),
        "method": method,
    }


def digest(bundle: str, method: str) -> str | None:
    """First digits of the SHA-256 of the network that a method uses: bundles of a name are many networks."""
    from edge.bundle import load_bundle

    if method != "network":
        return None
    return load_bundle(bundle).card.flatbuffer_sha256[:12]


def summary(rows: list[dict[str, Any]], method: str) -> dict[str, Any]:
    """Medians and worst cases of one method over its seeds."""
    runs = [row for row in rows if row["method"] == method]
    locks = [row["time_to_lock_s"] for row in runs]

    def over(name: str, worst: Callable[[list[float]], float]) -> tuple[float | None, float | None]:
        # A run without a lock has 0 in focus; None is for rigs whose true focus is not known.
        values = [row[name] for row in runs if row[name] is not None]
        return (median(values), worst(values)) if values else (None, None)

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    waits = [math.inf if lock is None else lock for lock in locks]
    focus, focus_all, rms = (
        over("in_focus_fraction", min),
        over("in_focus_fraction_all", min),
        over("rms_error_um_all", max),
    )
    return {
        "method": method,
        "seeds": len(runs),
        "never_locked": sum(lock is None for lock in locks),
        "time_to_lock_s_median": finite(median(waits)) if runs else None,
        "time_to_lock_s_worst": finite(max(waits)) if runs else None,
        "in_focus_fraction_median": focus[0],
        "in_focus_fraction_worst": focus[1],
        "in_focus_fraction_all_median": focus_all[0],
        "in_focus_fraction_all_worst": focus_all[1],
        "rms_error_um_all_median": rms[0],
        "moves_median": over("moves", max)[0],
    }


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rig", default="worm_tracker_sim")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()

    rows = held_rows(options.json)
    network = {method: digest(options.bundle, method) for method in options.methods}
    rows = [
        row
        for row in rows
        if row["rig"] == options.rig
        and row["network"] == network.get(row["method"], row["network"])
        and abs(row["seconds"] - options.seconds) < 1
    ]
    done = {(row["seed"], row["method"]) for row in rows}
    jobs = [
        (options.rig, seed, method, options.seconds, options.bundle)
        for method in options.methods
        for seed in range(options.seeds)
        if (seed, method) not in done
    ]
    with ProcessPoolExecutor(options.workers) as pool:
        for row in pool.map(one_run, jobs):
            rows.append(row)
            lock, share = row["time_to_lock_s"], row["in_focus_fraction"]
            print(f"{row['method']:13} seed {row['seed']:2}: lock {lock} s, in focus {share:.3f}", flush=True)
            if options.json:
                save(options.json, rows)
    for method in options.methods:
        print(json.dumps(summary(rows, method), indent=1))


def save(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows and their summary, whole or not at all."""
    rows = sorted(rows, key=lambda row: (METHODS.index(row["method"]), row["seed"]))
    document = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "summary": [summary(rows, method) for method in METHODS if any(r["method"] == method for r in rows)],
        "rows": rows,
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    main()

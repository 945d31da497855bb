"""Whether a damaged or forged bundle is ever loaded, and what is said of it.

    python benchmarks/bundle_corruption.py --json benchmarks/results/bundle_corruption.json

Random single bytes are changed, the file is cut at random lengths, bytes are put behind it, every byte behind
the network is changed once, members are exchanged, sizes lie, cards are rewritten with their checksums right,
and signatures are forged. A row says how often, and which message was given how often. A fault is what loads,
raises anything but a BundleError, or is refused without a single line with a next step; the script then ends
with status 1. Needs the extra `sign`.
"""

import argparse
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from methods.bundle_damage import (
    Tally,
    appended,
    changed_bytes,
    forged,
    forged_signatures,
    hostile_sizes,
    rewritten_cards,
    tail_positions,
    truncated,
)
from methods.report import Row, print_rows, write_report

from edge.bundle.file import find_bundle, load_bundle
from edge.bundle.layout import read_parts, write_parts
from edge.bundle.signature import make_key, sign

MARGIN = 256


def main() -> int:
    """Run all cases on an unsigned and a signed copy of a bundle."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--other", default="slide", help="bundle whose parts are exchanged with its own")
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--truncations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()

    rng = np.random.default_rng(options.seed)
    rows: list[Row] = []
    faults: list[str] = []
    parts, other = (read_parts(find_bundle(name)) for name in (options.bundle, options.other))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key, other_key = make_key(folder / "key"), make_key(folder / "other_key")
        unsigned, signed = folder / "unsigned.tflite", folder / "signed.tflite"
        shutil.copyfile(find_bundle(options.bundle), unsigned)
        write_parts(signed, sign(parts, key))

        def note(bundle: str, case: Callable[[], Tally]) -> None:
            tally = case()
            faults.extend(f"{bundle}, {tally.case}: {fault}" for fault in tally.faults)
            rows.append(
                {
                    "case": f"{bundle}: {tally.case}",
                    "tried": tally.tried,
                    "refused": tally.refused,
                    "faults": len(tally.faults),
                    "longest_ms": round(tally.longest_s * 1e3, 1),
                    "messages": dict(tally.said.most_common()),
                }
            )
            print_rows([{k: v for k, v in rows[-1].items() if k != "messages"}])

        for bundle, path in (("unsigned", unsigned), ("signed", signed)):
            size, tail = path.stat().st_size, tail_positions(path)
            changes, cuts = rng.integers(0, size, options.changes), rng.integers(0, size, options.truncations)
            note(bundle, lambda path=path, at=changes: changed_bytes(path, at.tolist(), rng))
            note(
                bundle,
                lambda path=path, at=tail: changed_bytes(
                    path, at, rng, "each byte behind the network changed"
                ),
            )
            note(bundle, lambda path=path, at=cuts: truncated(path, at.tolist()))
            ends = {*range(MARGIN), *range(tail.start - MARGIN, size)}
            note(bundle, lambda path=path, at=ends: truncated(path, at, "cut at each place near the ends"))
            note(bundle, lambda path=path: appended(path, 200, rng))
            # Whatever was done to it was undone: it is refused for what is done now, and for nothing else.
            load_bundle(path)
        note("forged", lambda: forged(folder, parts, other))
        note("forged", lambda: rewritten_cards(folder, parts))
        note("forged", lambda: forged_signatures(folder, parts, key, other_key))
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        note("forged", lambda: hostile_sizes(folder, parts))
    # None of it ever reached an interpreter, whose library is imported by the first network that is run.
    asked = any(module.startswith(("ai_edge_litert", "tflite_runtime")) for module in sys.modules)
    summary = {
        "bundle": options.bundle,
        "network_bytes": len(parts.flatbuffer),
        "tried": sum(row["tried"] for row in rows),
        "refused": sum(row["refused"] for row in rows),
        "faults": len(faults),
        "interpreter_loaded": asked,
        "peak_memory_mib": round(peak_mib),
        "peak_memory_hostile_sizes_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print_rows([{"case": "all", **summary}])
    for fault in faults[:50]:
        print(f"FAULT {fault[:300]}")
    if options.json is not None:
        write_report(options.json, rows, summary=summary)
    return 1 if faults or asked else 0


if __name__ == "__main__":
    sys.exit(main())

"""How many stacks a network needs (paper 3, figure 4; paper 4 records 100), on the rig slit_laser_sim.

    python benchmarks/training_size.py --folder RUNS --json benchmarks/results/training_size.json

Sets of 50 to 300 stacks, each holding the smaller ones, one tenth of each to validate with. Either every
stack is of another day, and the test of days never seen; or all are of three hours of one day, and so is the
test. The network, its input and the number of images that it sees, repeats counted, are the same for all. A
seed is other days and other weights to start from. Cases that the JSON file holds are not run again.
"""

import argparse
from pathlib import Path

from methods.report import Row, held_rows, print_rows, write_report
from methods.slit_days import RANGES, Range, write_day
from methods.slit_training import NETWORK, judged, learn, small_recipe

SIZES = (50, 100, 150, 200, 300)
KINDS = ("days", "one day")
TEST_STACKS = 40
# Days are counted: those of a seed and kind begin here.
DAYS_OF_SEED, DAYS_OF_KIND = 10_000, 5_000
PAPERS = {
    "paper 3, figure 4": "the error drops sharply at about 100 stacks, then slowly; up to 345 stacks",
    "paper 4": "100 stacks a day, 401 planes each",
}


def folders_of(kind: str, wanted: Range, seed: int, planes: int, home: Path) -> tuple[list[Path], list[Path]]:
    """Record the largest set, in parts that make up each size, and the test of a kind and seed."""
    first = 1 + DAYS_OF_SEED * seed + DAYS_OF_KIND * KINDS.index(kind)
    if kind == "one day":
        parts = [
            write_day(home, wanted, first, range(low, high), planes)
            for low, high in zip((0, *SIZES), SIZES, strict=False)
        ]
        others = range(SIZES[-1], SIZES[-1] + TEST_STACKS)
        return parts, [write_day(home, wanted, first, others, planes)]
    days = range(first, first + SIZES[-1] + TEST_STACKS)
    folders = [write_day(home, wanted, day, range(1), planes) for day in days]
    return folders[: SIZES[-1]], folders[SIZES[-1] :]


def one_case(kind: str, size: int, seed: int, wanted: Range, images: int, planes: int, home: Path) -> Row:
    """Train on so many stacks and judge; returns the figures."""
    parts, test = folders_of(kind, wanted, seed, planes, home / "stacks")
    given = parts[:size] if kind == "days" else parts[: SIZES.index(size) + 1]
    run = learn(
        small_recipe(wanted, seed, images),
        given,
        home / f"{wanted.recipe}-{kind.replace(' ', '_')}-{size}-{seed}",
    )
    figures = judged(run, test)
    # Forty days of one stack each say nothing singly.
    del figures["by_day"]
    return {"case": kind, "range": wanted.recipe, "stacks": size, "seed": seed, **figures}


def main() -> None:
    """Run what is missing, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="for stacks and runs, 0.3 GB a seed")
    parser.add_argument("--range", dest="wanted", choices=list(RANGES), default="short")
    parser.add_argument("--sizes", type=int, nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--images", type=int, default=16_000, help="seen by every network, repeats counted")
    parser.add_argument("--planes", type=int, default=20, help="of a stack")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    rows = held_rows(options.json)
    wanted = RANGES[options.wanted]
    for seed in options.seeds:
        for kind in options.kinds:
            for size in options.sizes:
                named = (kind, wanted.recipe, size, seed)
                if any((r["case"], r["range"], r["stacks"], r["seed"]) == named for r in rows):
                    continue
                rows.append(
                    one_case(kind, size, seed, wanted, options.images, options.planes, options.folder)
                )
                print_rows(rows[-1:])
                if options.json is not None:
                    rows.sort(key=lambda row: (KINDS.index(row["case"]), row["stacks"], row["seed"]))
                    write_report(options.json, rows, network=NETWORK, input_px=96, papers=PAPERS)


if __name__ == "__main__":
    main()

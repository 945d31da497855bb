"""A network and days that it has not seen (paper 4, figures 5 and 6, discussion), on the rig slit_laser_sim.

    python benchmarks/training_days.py --folder RUNS --json benchmarks/results/training_days.json

Day by day the rig's alignment is another, and it drifts within a day. One network is trained on 100 stacks of
day 1, recorded in three hours, and judged on others of the same hours, of the next three, and of days 2 to
10; one on 100 stacks aggregated from days 1 to 10, ten of each, and judged later on those days and on new
ones. For each new day both are fine-tuned with ten stacks of that day, nine to learn from and one to validate
with, a tenth of the learning rate, the first 17 of 27 layers frozen, which is the paper's share (100 of 157).
Controls: the same with no layer frozen, and a network trained from nothing on the same ten stacks. Networks
that start from nothing see the same number of images, repeats counted, and fine-tuning sees a quarter of it.
A seed is other days and other weights to start from. Cases that the JSON file holds are not run again.
"""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from methods.report import Row, held_rows, print_rows, write_report
from methods.slit_days import RANGES, Range, write_day
from methods.slit_training import NETWORK, judged, learn, small_recipe

from training.recipe import Recipe
from training.transfer import fine_tuning

DAYS = tuple(range(1, 11))
STACKS, STACKS_A_DAY, TEST_STACKS = 100, 10, 10
FROZEN = 17
DAYS_OF_SEED = 1000
PAPER = {
    "day 1": "short range: about 0.1 um on the same day (figure 3), not usable on subsequent days (figure 5)",
    "days 1 to 10": "of 6 days over 10: within the 0.6 um depth of field on a subsequent day (figure 6)",
    "fine-tuned": "as precise as before, on that day and subsequent ones (discussion)",
}


@dataclass(frozen=True)
class Case:
    """A network, and the days that it is judged on.

    Attributes
    ----------
    name : of the case
    test : of the days
    recipe : to train by
    given : folders of stacks to train on
    run : name of the run
    days : to judge on
    later : on those days, in the hours after the stacks that are learnt from
    """

    name: str
    test: str
    recipe: Recipe
    given: tuple[Path, ...]
    run: Path
    days: tuple[int, ...]
    later: bool = True


@dataclass(frozen=True)
class Recorder:
    """Records stacks of the days of one seed.

    Attributes
    ----------
    wanted : range of offsets
    seed : of the study
    planes : of a stack
    home : folder for them
    """

    wanted: Range
    seed: int
    planes: int
    home: Path

    def stacks(self, day: int, low: int = 0, high: int = STACKS_A_DAY) -> Path:
        """Return the folder of the stacks of a day with these numbers."""
        return write_day(self.home, self.wanted, self._seed(day), range(low, high), self.planes)

    def test(self, day: int, *, later: bool) -> Path:
        """Return the folder of those to judge on, of the same three hours or of the next three."""
        low = STACKS if later else STACKS + TEST_STACKS
        numbers = range(low, low + TEST_STACKS)
        return write_day(self.home, self.wanted, self._seed(day), numbers, self.planes, later=later)

    def _seed(self, day: int) -> int:
        return DAYS_OF_SEED * self.seed + day


def cases(recorder: Recorder, images: int, new_days: tuple[int, ...], home: Path) -> list[Case]:
    """Return the cases of a seed, each after those that it starts from."""
    recipe = small_recipe(recorder.wanted, recorder.seed, images)

    def run(name: str) -> Path:
        return home / f"{recorder.wanted.recipe}-{name}-{recorder.seed}"

    one = (recorder.stacks(1), recorder.stacks(1, STACKS_A_DAY, STACKS))
    ten = tuple(recorder.stacks(day) for day in DAYS)
    found = [
        Case("day 1", "the same hours", recipe, one, run("day_1"), (1,), later=False),
        Case("day 1", "later on day 1", recipe, one, run("day_1"), (1,)),
        Case("day 1", "days 2 to 10", recipe, one, run("day_1"), DAYS[1:]),
        Case("days 1 to 10", "later on days 1 to 10", recipe, ten, run("days"), DAYS),
    ]
    for day in new_days:
        given = (recorder.stacks(day),)
        runs = [("days 1 to 10", recipe, ten, run("days")), ("day 1", recipe, one, run("day_1"))]
        for name, parent in (("days 1 to 10", run("days")), ("day 1", run("day_1"))):
            for frozen in (FROZEN, 0):
                tuned = fine_tuning(recipe, parent).model_copy(
                    update={"samples": images // 4, "epoch_samples": images // 32, "freeze": frozen}
                )
                folder = home / f"{parent.name}-on_{day}-frozen_{frozen}"
                runs.append((f"{name}, fine-tuned, {frozen or 'none'} frozen", tuned, given, folder))
        runs.append(("ten stacks alone", recipe, given, run(f"alone_{day}")))
        for name, by, stacks, folder in runs:
            for later in (False, True):
                test = f"new day {day}, {'later' if later else 'the same hours'}"
                found.append(Case(name, test, by, stacks, folder, (day,), later))
    return found


def summary(rows: list[Row]) -> list[Row]:
    """Return the means over days and seeds of every case, and the worst day."""
    together: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        test = re.sub(r"^new day \d+", "new days", row["test"])
        together.setdefault((row["case"], test), []).append(row)
    found: list[Row] = []
    for (case, test), some in together.items():
        days = [day for row in some for day in row["by_day"].values()]
        found.append(
            {
                "case": case,
                "test": test,
                "seeds": len({row["seed"] for row in some}),
                "days": len(days),
                "mae_um": round(fmean(day["mae_um"] for day in days), 3),
                "worst_day_mae_um": round(max(day["mae_um"] for day in days), 3),
                "bias_size_um": round(fmean(abs(day["bias_um"]) for day in days), 3),
            }
        )
    return found


def main() -> None:
    """Run what is missing, then print the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="for stacks and runs, 0.3 GB a seed")
    parser.add_argument("--range", dest="wanted", choices=list(RANGES), default="short")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--new-days", type=int, default=2, help="to fine-tune on")
    parser.add_argument("--images", type=int, default=16_000, help="seen by a network from nothing")
    parser.add_argument("--planes", type=int, default=20, help="of a stack")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    rows = held_rows(options.json)
    wanted = RANGES[options.wanted]
    new_days = tuple(DAYS[-1] + 1 + number for number in range(options.new_days))
    for seed in options.seeds:
        recorder = Recorder(wanted, seed, options.planes, options.folder / "stacks")
        asked = cases(recorder, options.images, new_days, options.folder)
        place = {(case.name, case.test): number for number, case in enumerate(asked)}
        for case in asked:
            named = {"case": case.name, "test": case.test, "range": wanted.recipe, "seed": seed}
            if any({key: row[key] for key in named} == named for row in rows):
                continue
            run = learn(case.recipe, case.given, case.run)
            tests = [recorder.test(day, later=case.later) for day in case.days]
            rows.append({**named, **judged(run, tests)})
            print_rows([{key: value for key, value in rows[-1].items() if key != "by_day"}])
            rows.sort(key=lambda row: (row["seed"], place.get((row["case"], row["test"]), len(place))))
            if options.json is not None:
                write_report(
                    options.json, rows, network=NETWORK, input_px=96, paper_4=PAPER, summary=summary(rows)
                )
    print_rows(summary(rows))


if __name__ == "__main__":
    main()

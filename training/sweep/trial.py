"""One run of a sweep: an ordinary run in a folder of its own, and how it takes over another's state."""

import csv
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.errors import ConfigError
from hw.whole_file import write_whole
from training.recipe import Recipe
from training.sweep.space import Changes, with_changes

__all__ = [
    "Plan",
    "begin",
    "current_changes",
    "epochs_done",
    "is_finished",
    "last_mae_um",
    "lineage",
    "mend",
    "snapshot",
    "take_over",
    "train_on",
]

LINEAGE = "lineage.jsonl"
# What a run needs to go on; the curves of TensorBoard stay where they are.
_STATE = ("run.json", "best.ckpt", "metrics.csv", "train.log", LINEAGE, "last.ckpt")


@dataclass(frozen=True, slots=True)
class Plan:
    """What all runs of a sweep have in common; paths are absolute.

    Attributes
    ----------
    recipe : what is varied
    stacks : folders of stacks
    out : the sweep's folder
    cache : for decoded images, or None
    every : epochs between two looks at a population
    """

    recipe: Recipe
    stacks: tuple[Path, ...]
    out: Path
    cache: Path | None
    every: int = 1

    def folder(self, number: int) -> Path:
        """Return the folder of a run."""
        return self.out / "trials" / f"{number:03d}"

    def recipe_of(self, number: int, changes: Changes) -> Recipe:
        """Return the recipe of a run.

        Raises
        ------
        ConfigError
            It cannot have these values.
        """
        return with_changes(self.recipe, changes, f"{self.recipe.name}_{number:03d}")


def train_on(plan: Plan, number: int, changes: Changes, epochs: int | None = None) -> bool:
    """Train a run of a sweep, or go on with it.

    Parameters
    ----------
    epochs : end early, with so many epochs more; None to go on to the end

    Returns
    -------
    bool
        Whether it is finished.

    Raises
    ------
    WormfocusError
        It cannot be trained, or this machine does not see the sweep's folder.
    """
    from training.fit import train

    if not plan.out.is_dir():
        raise ConfigError(
            f"{plan.out}: not seen by every machine of the cluster; put sweep, stacks and cache on storage "
            "that all of them share"
        )
    run = train(
        plan.recipe_of(number, changes),
        plan.stacks,
        plan.folder(number),
        cache=plan.cache,
        # The sweep shares devices out among its runs.
        devices=1,
        # Its epochs stand in its train.log, and the sweep says once what there is to say of stacks.
        tell=lambda line: None,
        stop_after_epochs=epochs,
    )
    return run is not None


def is_finished(plan: Plan, number: int) -> bool:
    """Return whether a run is over and has its weights."""
    from training.run import RECORD, WEIGHTS, read_record

    folder = plan.folder(number)
    return (folder / WEIGHTS).is_file() and (folder / RECORD).is_file() and read_record(folder).finished


def epochs_done(run: Path) -> int:
    """Return the number of epochs that a run's last checkpoint has behind it."""
    from training.checkpoint import LAST, read_checkpoint
    from training.run import read_record

    if not (run / LAST).is_file():
        return 0
    recipe = read_record(run).recipe
    return int(read_checkpoint(run / LAST)["global_step"]) // (recipe.epoch_samples // recipe.batch)


def last_mae_um(run: Path) -> float:
    """Return the mean error on the validation specimens after a run's last epoch, um; huge if it is none.

    A run whose numbers are none any more shall count as the worst, to be replaced.
    """
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        error = float(list(csv.DictReader(file))[-1]["val_mae_um"])
    return error if math.isfinite(error) else 1e12


def current_changes(run: Path, keys: list[str]) -> dict[str, Any] | None:
    """Return the values that a run goes on with; None before it began, and where its record is damaged."""
    from training.run import read_record

    try:
        data = read_record(run).recipe.model_dump()
    except ConfigError:
        return None
    found = {}
    for key in keys:
        value: Any = data
        for part in key.split("."):
            value = value[part]
        found[key] = value
    return found


@contextmanager
def snapshot(plan: Plan, number: int) -> Iterator[Path]:
    """Copy the state of a run that rests, for another to take over; gone when the block is left."""
    # Of another name each time: Ray may end a process before the block is left.
    folder = Path(tempfile.mkdtemp(prefix=f".{number:03d}.snapshot.", dir=plan.out / "trials"))
    try:
        for name in _STATE:
            if (plan.folder(number) / name).exists():
                shutil.copy2(plan.folder(number) / name, folder / name)
        (folder / "origin.json").write_text(json.dumps({"trial": number}), encoding="utf-8")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def take_over(plan: Plan, number: int, state: Path, changes: Changes) -> None:
    """Replace a run's state by another's, to go on from there with other values.

    The folder is replaced at once: a kill leaves the one or the other.

    Parameters
    ----------
    state : as `snapshot` made it
    changes : the values to go on with
    """
    from training.run import read_record, write_record

    home = plan.folder(number)
    donor = json.loads((state / "origin.json").read_bytes())["trial"]
    if donor == number:
        return
    new, old = home.with_name(f".{home.name}.new"), home.with_name(f".{home.name}.old")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(state, new, ignore=shutil.ignore_patterns("origin.json", ".*"))
    record = read_record(new)
    write_record(new, record.model_copy(update={"recipe": plan.recipe_of(number, changes)}))
    _note(new, epochs_done(new), donor, changes)
    shutil.rmtree(old, ignore_errors=True)
    home.rename(old)
    new.rename(home)
    shutil.rmtree(old)


def mend(plan: Plan, number: int) -> None:
    """Undo what a kill in the middle of `take_over` left, and remove snapshots that were left behind."""
    home = plan.folder(number)
    old = home.with_name(f".{home.name}.old")
    if old.is_dir() and not home.exists():
        old.rename(home)
    for left in (old, home.with_name(f".{home.name}.new"), *home.parent.glob(f".{home.name}.snapshot.*")):
        shutil.rmtree(left, ignore_errors=True)


def begin(plan: Plan, number: int, changes: Changes) -> None:
    """Note the values that a member of a population begins with."""
    plan.folder(number).mkdir(parents=True, exist_ok=True)
    (plan.folder(number) / LINEAGE).unlink(missing_ok=True)
    _note(plan.folder(number), 0, None, changes)


def _note(run: Path, epoch: int, donor: int | None, changes: Changes) -> None:
    """Note in a run's folder with which values it goes on from an epoch, and whose weights it took."""
    line = {"from_epoch": epoch, "weights_of_trial": donor, "values": dict(changes)}
    before = (run / LINEAGE).read_bytes() if (run / LINEAGE).exists() else b""
    write_whole(run / LINEAGE, before + (json.dumps(line) + "\n").encode())


def lineage(run: Path) -> list[dict[str, Any]]:
    """Return what a population did to a run's values, in order; empty outside populations."""
    path = run / LINEAGE
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

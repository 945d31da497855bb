"""A run that is killed and started again ends as one that was left alone."""

import csv
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.checkpoint import LAST, read_checkpoint

CHILD = Path(__file__).with_name("killed_run.py")
# Ten steps to an epoch: in the third. Of files there are the record, then in each epoch two logs and the
# checkpoints: in the first of these, when the logs have an epoch that no checkpoint has.
IN_MID_EPOCH = ("step", 26)
WHILE_SAVING = ("save", 4)


def sitting(stacks: Path, cache: Path, run: Path, *how: object) -> int:
    done = subprocess.run(
        [sys.executable, str(CHILD), *map(str, (stacks, cache, run, *how))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode


def tensors(content: object, name: str = "") -> dict[str, torch.Tensor]:
    """All tensors and numbers of a checkpoint, by where they stand in it."""
    if isinstance(content, torch.Tensor):
        return {name: content}
    if isinstance(content, bool | int | float):
        return {name: torch.tensor(content, dtype=torch.float64)}
    if isinstance(content, dict):
        content = [(str(key), value) for key, value in content.items() if key != "elapsed_s"]
    elif isinstance(content, list | tuple):
        content = [(str(index), value) for index, value in enumerate(content)]
    else:
        return {}
    found: dict[str, torch.Tensor] = {}
    for key, value in content:
        # Paths differ: the runs lie in two folders.
        found |= tensors(value, f"{name}.{Path(key).name}")
    return found


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key != "minutes"} for row in found]


@pytest.fixture(scope="module")
def alone(stacks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    assert sitting(stacks, folder / "cache", folder / "run") == 0
    return folder / "run"


def test_a_run_killed_twice_ends_with_the_weights_of_one_left_alone(stacks, alone, tmp_path):
    cache, run = alone.parent / "cache", tmp_path / "run"
    for how in (IN_MID_EPOCH, WHILE_SAVING):
        assert sitting(stacks, cache, run, *how) == -signal.SIGKILL
        assert not (run / "best.pt").exists()
        assert read_checkpoint(run / LAST)["global_step"] == 20
    assert len(rows(run)) == 3
    assert sitting(stacks, cache, run) == 0

    ours, theirs = (torch.load(each / "best.pt", weights_only=True) for each in (run, alone))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    ours, theirs = (tensors(read_checkpoint(each / LAST)) for each in (run, alone))
    assert ours.keys() == theirs.keys()
    # Weights, their averages, the optimizer's two moments of each, the best so far.
    assert len(theirs) > 100
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []

    assert rows(run) == rows(alone)
    assert [row["epoch"] for row in rows(run)] == ["0", "1", "2", "3"]
    shown = [(each / "train.log").read_text().splitlines() for each in (run, alone)]
    assert [len(lines) for lines in shown] == [4, 4]
    assert (run / "evaluation.json").read_bytes() == (alone / "evaluation.json").read_bytes()

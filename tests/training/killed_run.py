"""A training process for `test_killed`: by a recipe of seconds, with dropout, and killed where it is told.

    python killed_run.py STACKS CACHE RUN [step N | save N]

`step N` kills it in the forward pass of its Nth training step, `save N` with half of its Nth file written.
"""

import os
import signal
import sys
from pathlib import Path

# The test's own checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch import nn

import hw.whole_file
from training import networks
from training.fit import train
from training.focusnet import FocusNet
from training.recipe import Recipe

RECIPE = {
    "name": "killed",
    "network": "with_dropout_for_tests",
    "input": {"width_px": 32, "height_px": 32, "um_per_px": 3.1},
    "split": {"validation": 0.25, "test": 0.2},
    "views": {"window": 1.0, "full": 0.5},
    "jitter_px": 4,
    "samples": 640,
    "epoch_samples": 160,
    "batch": 16,
    "learning_rate": 5e-3,
    "ema_decay": 0.9,
}


class WithDropout(nn.Module):
    def __init__(self, outputs: int, kill_at: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(0.3)
        self.net = FocusNet(outputs, widths=(8, 8, 16), blocks=(1, 1))
        self._left = kill_at

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self._left -= 1
            if self._left == 0:
                die()
        out: torch.Tensor = self.net(self.dropout(images))
        return out


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_in_file(number: int) -> None:
    """Die when half of a file is written under its passing name, the last moment at which it is not whole."""
    whole = hw.whole_file.put_in_place
    count = 0

    def half(scratch: Path, path: Path) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.truncate(scratch, scratch.stat().st_size // 2)
            die()
        whole(scratch, path)

    hw.whole_file.put_in_place = half


def main() -> None:
    stacks, cache, run, *how = sys.argv[1:]
    what, number = (how[0], int(how[1])) if how else ("", 0)
    if what == "save":
        kill_in_file(number)
    kill_at = number if what == "step" else 0

    @networks.register("with_dropout_for_tests")
    def _(wanted: networks.Wanted) -> WithDropout:
        return WithDropout(wanted.outputs, kill_at)

    train(Recipe.model_validate(RECIPE), [Path(stacks)], Path(run), cache=Path(cache))


if __name__ == "__main__":
    main()

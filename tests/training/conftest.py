"""Tiny stacks whose planes say their offset: blurred by its size, reddened by its sign."""

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.label import Label, write_label
from calibration.stack import ZStack, write_stack
from training import networks
from training.focusnet import FocusNet
from training.recipe import Recipe

SIDE_PX = 48


@networks.register("tiny_for_tests")
def _tiny(wanted: networks.Wanted) -> FocusNet:
    return FocusNet(wanted.outputs, widths=(8, 8, 16), blocks=(1, 1))


def write_fake_stack(folder: Path, seed: int, *, label: bool = True, specimen: str | None = None) -> Path:
    rng = np.random.default_rng(seed)
    base = cv2.GaussianBlur(rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8), (0, 0), 1.0)
    base = base // 2 + 64
    focus_um = float(rng.uniform(-200, 200))
    offsets_um = np.linspace(-600, 600, 7) + rng.uniform(-50, 50, 7)
    planes = []
    for offset_um in offsets_um:
        plane = cv2.GaussianBlur(base, (0, 0), 0.3 + abs(offset_um) / 200).astype(int)
        plane[..., 0] += round(offset_um / 12)
        planes.append(np.clip(plane, 0, 255).astype(np.uint8))
    path = folder / f"stack_{seed:03d}.ome.tif"
    name = f"worm-{seed}" if specimen is None else specimen
    write_stack(path, ZStack(np.stack(planes), focus_um - offsets_um, 3.1, name))
    if label:
        write_label(path, Label(focus_um, 1.0, "made up"))
    return path


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stacks")
    for seed in range(20):
        write_fake_stack(folder, seed)
    return folder


@pytest.fixture(scope="session")
def fake_stack() -> Callable[..., Path]:
    return write_fake_stack


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "network": "tiny_for_tests",
            "input": {"width_px": 32, "height_px": 32, "um_per_px": 3.1},
            "split": {"validation": 0.25, "test": 0.2},
            "views": {"window": 1.0, "full": 0.5},
            "jitter_px": 4,
            "samples": 1280,
            "epoch_samples": 320,
            "batch": 16,
            "learning_rate": 5e-3,
            "ema_decay": 0.9,
            "schedule": "cosine",
        }
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for decoded images, which the runs of a file share."""
    return tmp_path_factory.mktemp("cache")


@contextmanager
def _files_of_at_most(count: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as a disk that is full would not."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="session")
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    return _files_of_at_most

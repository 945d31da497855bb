"""A small network with outputs of a sane size, a run of it, and stacks to export it with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SIDE = 32
NAME = "tests_small"


def colours_and_offsets(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, SIDE, SIDE, 3) uint8 whose red minus blue tells the offset in um, and the offsets."""
    rng = np.random.default_rng(seed)
    offsets = rng.uniform(-1000, 1000, count)
    images = rng.normal(128, 12, (count, SIDE, SIDE, 3))
    images[..., 0] += offsets[:, None, None] / 20
    images[..., 2] -= offsets[:, None, None] / 20
    return np.clip(np.round(images), 0, 255).astype(np.uint8), offsets


@pytest.fixture(scope="session")
def samples() -> Callable[[int, int], tuple[np.ndarray, np.ndarray]]:
    """`colours_and_offsets(count, seed)`."""
    return colours_and_offsets


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run on six simulated-looking specimens, and its stacks in `stacks` within."""
    import torch

    from calibration.label import Label, write_label
    from calibration.stack import ZStack, write_stack
    from edge.bundle import InputSpec, Normalisation
    from hw.config import load_rig
    from training import networks
    from training.recipe import Recipe
    from training.run import WEIGHTS, RunRecord, write_record

    folder = tmp_path_factory.mktemp("run")
    stacks = folder / "stacks"
    stacks.mkdir()
    for seed in range(6):
        images, offsets = colours_and_offsets(12, seed)
        path = stacks / f"worm_tracker_sim-{seed}.ome.tif"
        notes = {"rig": "worm_tracker_sim", "seed": str(seed), "simulated": "yes"}
        write_stack(path, ZStack(images, 50.0 - offsets, 3.1, f"worm_tracker_sim-{seed}", notes))
        write_label(path, Label(50.0, 0.0, "by hand", {}))
    if NAME not in networks.names():
        networks.register(NAME)(lambda wanted: small_network(wanted.outputs))
    recipe = Recipe(
        name="small",
        network=NAME,
        input=InputSpec(width_px=SIDE, height_px=SIDE, um_per_px=3.1),
        scale_um=500,
        jitter_px=0,
        samples=8,
        epoch_samples=8,
        batch=8,
    )
    specimens = [f"worm_tracker_sim-{seed}" for seed in range(6)]
    record = RunRecord(
        recipe=recipe,
        normalisation=Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        optics=load_rig("worm_tracker").optics,
        um_per_step=5,
        trained_range_um=987.0,
        stacks=(str(stacks),),
        fingerprint="f" * 64,
        split={
            "train": tuple(specimens[:3]),
            "validation": (specimens[3],),
            "test": tuple(specimens[4:]),
        },
        planes=36,
        versions={},
        finished=True,
        best_epoch=0,
        sigma_factor=1.25,
    )
    write_record(folder, record)
    torch.save(small_network(2).state_dict(), folder / WEIGHTS)
    return folder


def small_network(outputs: int) -> Any:
    """Convolutions with random weights, and a head fitted so that the first output is the offset / 500 um."""
    import torch
    from torch import nn

    torch.manual_seed(1)
    trunk = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU()
    )
    images, offsets = colours_and_offsets(64, 99)
    normalised = torch.from_numpy((images / 255 - 0.5) / 0.25).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        trunk.train()(normalised)
        features = trunk.eval()(normalised).mean(dim=(2, 3)).double()
        design = torch.cat([features, torch.ones(len(features), 1)], dim=1)
        # Ridge regression: some features are dead or alike, and huge weights would magnify rounding.
        normal = design.T @ design + 0.01 * torch.eye(13, dtype=torch.float64)
        fit = torch.linalg.solve(normal, design.T @ torch.from_numpy(offsets / 500)).float()
        head = nn.Linear(12, outputs)
        head.weight.zero_()
        head.bias.fill_(-1.0)
        head.weight[0], head.bias[0] = fit[:-1], fit[-1]
    return nn.Sequential(trunk, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()

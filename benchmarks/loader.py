"""Does the loader keep up with the trainer: images a second of both, for several networks and inputs.

    python benchmarks/loader.py --json benchmarks/results/loader.json

The two take turns in one run, batch by batch, as in training on a processor: what stands between two steps is
the loader. Time is processor time of one core, so that a busy machine does not tell in it. Images come from a
file of random bytes that the system holds in memory, with the margins that recipes shift within, in eight
orientations; a step is forward, backward, clipping, AdamW and averaging of weights.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from methods.report import Row, print_rows, write_report
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edge.bundle import InputSpec, Normalisation
from training.batches import ShuffledBatches
from training.heads import build
from training.loss import recipe_loss
from training.prepared import Prepared
from training.recipe import Recipe, ViewsConfig
from training.run import normalised

CASES: tuple[tuple[str, int, float], ...] = (
    ("focusnet_tiny", 96, 0.0),
    ("focusnet_tiny", 128, 0.0),
    ("focusnet_tiny", 192, 0.0),
    ("focusnet_small", 96, 0.0),
    ("focusnet_small", 192, 0.0),
    ("mobilenetv3_small", 96, 0.0),
    ("mobilenetv3_small", 192, 0.0),
    ("mobilenetv3_small", 500, 45.0),
)
IMAGES, JITTER_PX = 400, 16
PLAIN = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def main() -> None:
    """Time every case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="*", help="names; all when absent")
    parser.add_argument("--batches", type=int, default=20, help="timed in each case")
    parser.add_argument("--batch", type=int, default=32, help="images in each")
    parser.add_argument("--seed", type=int, default=0, help="of weights and images")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows: list[Row] = []
    for network, side, rotation in CASES:
        if options.networks and network not in options.networks:
            continue
        with tempfile.TemporaryDirectory() as folder:
            data = random_images(Path(folder) / "images.u8", side, options.seed)
            rows.append(timed(network, data, rotation, options.batch, options.batches, options.seed))
        print_rows(rows[-1:])
    if options.json is not None:
        write_report(options.json, rows)


def random_images(path: Path, side_px: int, seed: int) -> Prepared:
    """Lay down images as `training.prepared` does."""
    whole = side_px + 2 * JITTER_PX
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        for _ in range(IMAGES):
            file.write(rng.integers(0, 256, (whole, whole, 3), np.uint8).tobytes())
    images = np.memmap(path, np.uint8, "r", shape=(IMAGES, whole, whole, 3))
    return Prepared(
        images=images,
        offsets_um=rng.uniform(-1500, 1500, IMAGES).astype(np.float32),
        margins=np.full((IMAGES, 2), JITTER_PX, np.uint8),
        views=np.zeros(IMAGES, np.uint8),
        specimen=np.zeros(IMAGES, np.int32),
        specimens=["made up"],
        spec=InputSpec(width_px=side_px, height_px=side_px, um_per_px=3.1),
        fingerprint="",
    )


def timed(network: str, data: Prepared, rotation_deg: float, batch: int, count: int, seed: int) -> Row:
    """Take turns of loading and training; medians over batches."""
    recipe = Recipe(
        name="timed",
        network=network,
        input=data.spec,
        samples=batch * count,
        epoch_samples=batch * (count + 2),
        batch=batch,
        rotation_deg=rotation_deg,
        seed=seed,
    )
    torch.manual_seed(seed)
    step = steps(recipe)
    next(step)
    batches = iter(
        ShuffledBatches(
            data,
            np.arange(IMAGES),
            batch,
            recipe.epoch_samples,
            ViewsConfig(),
            seed,
            0,
            rotation_deg=rotation_deg,
        )
    )
    loading, training = [], []
    for number in range(count + 2):
        start = time.process_time()
        images, offsets_um = next(batches)
        loaded = time.process_time()
        step.send((images, offsets_um))
        # The first two warm up caches and torch.
        if number >= 2:
            loading.append(loaded - start)
            training.append(time.process_time() - loaded)
    loader_s, trainer_s = median(loading), median(training)
    return {
        "case": f"{network} {data.spec.width_px} px" + (", rotated" if rotation_deg else ""),
        "loader_images_per_s": round(batch / loader_s),
        "trainer_images_per_s": round(batch / trainer_s, 1),
        "ratio": round(trainer_s / loader_s, 1),
        "loader_share_percent": round(100 * loader_s / (loader_s + trainer_s), 2),
        "loader_ms_per_batch_p10_p90": [round(1e3 * float(v), 2) for v in np.percentile(loading, (10, 90))],
        "batch": batch,
    }


def steps(recipe: Recipe) -> Generator[None, tuple[Tensor, Tensor], None]:
    """Do an optimizer step for every batch that is sent."""
    network = build(recipe).to(memory_format=torch.channels_last).train()
    averaged = AveragedModel(copy.deepcopy(network), multi_avg_fn=get_ema_multi_avg_fn(0.998))
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate)
    while True:
        images, offsets_um = yield
        optimizer.zero_grad()
        recipe_loss(network(normalised(images, PLAIN)), offsets_um, recipe, 0.5).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(network)


if __name__ == "__main__":
    main()

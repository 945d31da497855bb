"""One training run of every registered network, on images of a slit laser, which even slow learners learn."""

from collections.abc import Callable, Sequence
from pathlib import Path

from training.fit import train
from training.recipe import Recipe, load_recipe
from training.run import Run, load_run

__all__ = ["MINUTES", "recipe_of", "trained"]

# What each gets to learn in, by what it costs.
MINUTES = {
    "convnextv2_atto": 12.0,
    "mobilenetv3_small": 3.0,
    "mobilenetv3_large": 8.0,
    "mobilenetv2": 7.0,
    "resnet18": 4.0,
    "focusnet_small": 2.0,
    "focusnet_tiny": 1.5,
    "two_block": 2.0,
    "efficientnet_lite0": 7.0,
    "convnextv2_pico": 7.0,
    "convnextv2_tiny": 6.0,
}
# Depthwise convolutions are slower in bfloat16 than in float32 on a processor, all others faster.
_DEPTHWISE = ("mobilenet", "efficientnet")


def recipe_of(network: str) -> Recipe:
    """Return the recipe of the bundle `slit_long`, for another network and less time."""
    convnext = network.startswith("convnext")
    changes = {
        "name": f"slit_long_{network}",
        "network": network,
        "samples": 200_000,
        "epoch_samples": 4_000,
        "batch": 16,
        "learning_rate": 0.0005 if convnext else 0.001,
        "max_minutes": MINUTES[network],
        "precision": "32-true" if network.startswith(_DEPTHWISE) else "bf16-mixed",
    }
    return Recipe.model_validate(load_recipe("slit_long").model_dump() | changes)


def trained(network: str, folder: Path, stacks: Sequence[Path], tell: Callable[[str], None]) -> Run:
    """Return the run of a network, trained first where it is not there or was cut short."""
    run = train(recipe_of(network), stacks, folder / network, cache=folder / "cache", tell=tell)
    return run if run is not None else load_run(folder / network)

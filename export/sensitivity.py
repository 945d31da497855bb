"""Which parts of a network suffer from int8, and the file that spares as many of them as it takes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.operators import operators_of
from export.parity import Samples
from export.quantize import Quantization, Quantizer, plan

__all__ = ["TARGET_LOSS", "Block", "Choice", "Suffering", "blocks", "choose", "measure"]

# A file that loses at most this on validation spares enough. The gate allows more on new specimens, as chance
# lies between the two.
TARGET_LOSS = 1.02

_BLOCKS = 40

# Images by which blocks are put in order, of those that the choice is made by.
_RANKING_IMAGES = 256

# Keeps ratios finite where a network makes no errors.
_TINY = 1e-12

Predict = Callable[[bytes, NDArray[np.uint8]], NDArray[np.float64]]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Block:
    """Operations that are quantized, or spared, together.

    Attributes
    ----------
    name : of the layer that the first of them comes from
    scopes : of the operators
    """

    name: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suffering:
    """What it costs to quantize one block and nothing else.

    Attributes
    ----------
    block : the one
    ratio : mean absolute error over that of the float network
    rms_um : root of the mean squared difference of the two predictions
    """

    block: Block
    ratio: float
    rms_um: float


@dataclass(frozen=True, slots=True)
class Choice:
    """A quantized file, and how it was come by.

    Attributes
    ----------
    flatbuffer : the file
    loss : of it, on the images that it was chosen by; see `choose`. None where there were none
    plain_loss : the same with nothing spared
    spared : blocks of static int8 that measure their input as they run, where that is fast, and are in float
        elsewhere; those that suffer most first
    left_float : blocks in float, likewise
    ranking : of all blocks, by what each costs alone; empty where nothing had to be spared
    """

    flatbuffer: bytes
    loss: float | None = None
    plain_loss: float | None = None
    spared: tuple[Block, ...] = ()
    left_float: tuple[Block, ...] = ()
    ranking: tuple[Suffering, ...] = ()

    def figures(self) -> dict[str, Any]:
        """Return what a report says of it."""
        return {
            "loss": self.loss,
            "loss_with_nothing_spared": self.plain_loss,
            "spared": [block.name for block in self.spared],
            "left_float": [block.name for block in self.left_float],
            "ranking": [
                {
                    "block": each.block.name,
                    "operations": len(each.block.scopes),
                    "ratio": each.ratio,
                    "rms_um": each.rms_um,
                }
                for each in self.ranking
            ],
        }


def blocks(flatbuffer: bytes, method: Quantization, limit: int = _BLOCKS) -> tuple[Block, ...]:
    """Divide what a method quantizes into blocks: layers, each with what follows it up to the next.

    Parameters
    ----------
    flatbuffer : a float model
    method : of quantization
    limit : how many blocks at most; neighbours are joined
    """
    chosen = plan(flatbuffer, method)
    layers: list[list[str]] = []
    for operator in operators_of(flatbuffer):
        if operator.scope not in chosen:
            continue
        if operator.weights is not None or not layers:
            layers.append([])
        layers[-1].append(operator.scope)
    joined = np.array_split(np.arange(len(layers)), min(limit, len(layers))) if layers else []
    found = []
    for group in joined:
        scopes = [scope for place in group for scope in layers[place]]
        found.append(Block(_layer_name(scopes[0]), tuple(scopes)))
    return tuple(found)


def measure(
    quantizer: Quantizer,
    method: Quantization,
    predict: Predict,
    samples: Samples,
    *,
    tell: Tell = print,
) -> tuple[Suffering, ...]:
    """Quantize one block at a time, and see what it costs.

    Parameters
    ----------
    quantizer : of a float model
    method : of quantization
    predict : returns the offsets, (N,) um, that a file tells of images (N, height, width, 3) uint8
    samples : neither trained nor tested on, in random order
    tell : takes lines meant for a person

    Returns
    -------
    tuple
        By how far predictions move, most first. Errors of a few hundred images are a rougher measure: a move
        may by chance go the right way.
    """
    every = blocks(quantizer.flatbuffer, method)
    images, offsets_um = samples.images[:_RANKING_IMAGES], samples.offsets_um[:_RANKING_IMAGES]
    before = predict(quantizer.flatbuffer, images)
    found = []
    for number, block in enumerate(every, 1):
        after = predict(quantizer.file(method, only=set(block.scopes)), images)
        found.append(
            Suffering(
                block,
                _ratio(after, before, offsets_um),
                float(np.sqrt(np.mean((after - before) ** 2))),
            )
        )
        if number % 10 == 0:
            tell(f"{number} of {len(every)} blocks quantized alone")
    return tuple(sorted(found, key=lambda each: -each.rms_um))


def choose(
    quantizer: Quantizer,
    method: Quantization,
    predict: Predict,
    samples: Samples,
    *,
    target: float = TARGET_LOSS,
    ranked: bool = False,
    tell: Tell = print,
) -> Choice:
    """Quantize, and spare the blocks that suffer most until the loss is within a target, or all are spared.

    The loss of a file is the ratio of mean absolute errors, its own over the float network's, or what that
    ratio would be if its rounding had nothing to do with the float network's errors, where that is more:
    ``sqrt(1 + d**2 / e**2)``, with d the RMS difference of the two predictions, and e the RMS error of the
    float network. On a few hundred images the former alone would take luck for quality.

    Parameters
    ----------
    quantizer, method, predict, samples, tell : as `measure` takes them
    target : of the loss
    ranked : measure what each block costs even where none has to be spared

    Returns
    -------
    Choice
        The first file within the target; otherwise the best one. Without samples, the file that spares
        nothing.
    """
    offsets_um = samples.offsets_um
    file = quantizer.file(method)
    if not len(offsets_um) or not blocks(quantizer.flatbuffer, method):
        return Choice(file)
    before = predict(quantizer.flatbuffer, samples.images)
    plain = _loss(predict(file, samples.images), before, offsets_um)
    ranking: tuple[Suffering, ...] = ()
    if ranked or plain > target:
        tell(f"int8 throughout loses {plain - 1:.1%} on validation; measuring what each block costs")
        ranking = measure(quantizer, method, predict, samples, tell=tell)
    best, lowest = Choice(file, plain, plain, ranking=ranking), plain
    every = tuple(each.block for each in ranking)
    # What measures its input as it runs costs little time; where that is not enough, float does.
    for measured in (True, False) if method == "static-int8" else (False,):
        start = best
        for count in range(1, len(every) + 1):
            if lowest <= target:
                break
            some = every[:count]
            chosen = replace(start, spared=some) if measured else replace(start, left_float=some)
            file = quantizer.file(
                method, spared=_scopes(chosen.spared), left_float=_scopes(chosen.left_float)
            )
            loss = _loss(predict(file, samples.images), before, offsets_um)
            if loss < lowest:
                best, lowest = replace(chosen, flatbuffer=file, loss=loss), loss
    if lowest < plain:
        tell(
            f"{lowest - 1:.1%} where, of {len(every)} blocks, {len(best.spared)} measure their input as they "
            f"run and {len(best.left_float)} are in float"
        )
    return best


def _scopes(some: tuple[Block, ...]) -> set[str]:
    return {scope for block in some for scope in block.scopes}


def _loss(
    after_um: NDArray[np.float64], before_um: NDArray[np.float64], offsets_um: NDArray[np.float64]
) -> float:
    moved = float(np.mean((after_um - before_um) ** 2))
    wrong = float(np.mean((before_um - offsets_um) ** 2))
    ratio = _ratio(after_um, before_um, offsets_um)
    return max(ratio, math.sqrt(1 + moved / max(wrong, _TINY)))


def _ratio(
    after_um: NDArray[np.float64], before_um: NDArray[np.float64], offsets_um: NDArray[np.float64]
) -> float:
    after, before = (float(np.abs(each - offsets_um).mean()) for each in (after_um, before_um))
    return after / max(before, _TINY)


def _layer_name(scope: str) -> str:
    """Names of the modules that a tensor comes from: ``a.b.Outer_stem/c.d.Conv2d_0;`` is stem.0."""
    parts = scope.split(";")[0].split("/")
    names = [part.rpartition(".")[2].lstrip("_").partition("_")[2] for part in parts]
    return ".".join(name for name in names if name and name != "wrapped") or parts[-1]

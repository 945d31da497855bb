"""Which parts of a network suffer from int8, and the file that spares as many of them as it takes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from export.flatbuffer import operations
from export.quantize import Quantization, Quantizer, plan

__all__ = ["TARGET_LOSS", "Block", "Choice", "Suffering", "blocks", "choose", "measure"]

# A file whose error on validation is at most this many times the float network's spares enough. The limit that
# the gate sets on new specimens is wider, as chance lies between.
TARGET_LOSS = 1.02

_BLOCKS = 40

Judge = Callable[[bytes], NDArray[np.float64]]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Block:
    """Operations that are quantized, or spared, together.

    Attributes
    ----------
    name : of the layer that the first of them comes from
    scopes : of the operations
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
    loss : of it, on the images that it was chosen by; see `choose`
    plain_loss : the same with nothing spared
    spared : blocks that keep activations in float, those that suffer most first
    ranking : of all blocks, by what each costs alone; empty where nothing had to be spared
    """

    flatbuffer: bytes
    loss: float
    plain_loss: float
    spared: tuple[Block, ...] = ()
    ranking: tuple[Suffering, ...] = ()


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
    for operation in operations(flatbuffer):
        if operation.scope not in chosen:
            continue
        if operation.weights is not None or not layers:
            layers.append([])
        layers[-1].append(operation.scope)
    joined = np.array_split(np.arange(len(layers)), min(limit, len(layers))) if layers else []
    found = []
    for group in joined:
        scopes = [scope for place in group for scope in layers[place]]
        found.append(Block(_layer_name(scopes[0]), tuple(scopes)))
    return tuple(found)


def measure(
    quantizer: Quantizer,
    method: Quantization,
    judge: Judge,
    offsets_um: NDArray[np.float64],
    *,
    tell: Tell = print,
) -> tuple[Suffering, ...]:
    """Quantize one block at a time, and see what it costs.

    Parameters
    ----------
    quantizer : of a float model
    method : of quantization
    judge : returns what a file predicts, (N,) um, on images that are neither trained nor tested on
    offsets_um : (N,), the truth
    tell : takes lines meant for a person

    Returns
    -------
    tuple
        By how far predictions move, most first. Errors of a few hundred images are a rougher measure: a move
        may by chance go the right way.
    """
    every = blocks(quantizer.flatbuffer, method)
    before = judge(quantizer.flatbuffer)
    found = []
    for number, block in enumerate(every, 1):
        after = judge(quantizer.file(method, only=set(block.scopes)))
        found.append(
            Suffering(
                block,
                _mae(after, offsets_um) / _mae(before, offsets_um),
                float(np.sqrt(np.mean((after - before) ** 2))),
            )
        )
        if number % 10 == 0:
            tell(f"{number} of {len(every)} blocks quantized alone")
    return tuple(sorted(found, key=lambda each: -each.rms_um))


def choose(
    quantizer: Quantizer,
    method: Quantization,
    judge: Judge,
    offsets_um: NDArray[np.float64],
    *,
    target: float = TARGET_LOSS,
    tell: Tell = print,
) -> Choice:
    """Quantize, and spare the blocks that suffer most until the loss is within a target, or all are spared.

    The loss of a file is the ratio of mean absolute errors, its own over the float network's, or what that
    ratio would be if its rounding had nothing to do with the float network's errors, where that is more:
    ``sqrt(1 + d**2 / e**2)``, with d the RMS difference of the two predictions, and e the RMS error of the
    float network. On a few hundred images the former alone would take luck for quality.

    Parameters
    ----------
    quantizer, method, judge, offsets_um, tell : as `measure` takes them
    target : of the loss

    Returns
    -------
    Choice
        The first file within the target; otherwise the best one.
    """
    before = judge(quantizer.flatbuffer)
    file = quantizer.file(method)
    plain = _loss(judge(file), before, offsets_um)
    if plain <= target or not blocks(quantizer.flatbuffer, method):
        return Choice(file, plain, plain)
    tell(f"int8 throughout loses {plain - 1:.1%} on validation; looking for the blocks that suffer")
    ranking = measure(quantizer, method, judge, offsets_um, tell=tell)
    best = Choice(file, plain, plain, ranking=ranking)
    for spared in accumulate(((each.block,) for each in ranking), lambda some, more: some + more):
        file = quantizer.file(method, spared={scope for block in spared for scope in block.scopes})
        loss = _loss(judge(file), before, offsets_um)
        if loss < best.loss:
            best = Choice(file, loss, plain, spared, ranking)
        if loss <= target:
            break
    tell(f"{best.loss - 1:.1%} with {len(best.spared)} of {len(ranking)} blocks spared")
    return best


def _loss(
    after_um: NDArray[np.float64], before_um: NDArray[np.float64], offsets_um: NDArray[np.float64]
) -> float:
    moved = float(np.mean((after_um - before_um) ** 2))
    wrong = float(np.mean((before_um - offsets_um) ** 2))
    ratio = _mae(after_um, offsets_um) / _mae(before_um, offsets_um)
    return max(ratio, math.sqrt(1 + moved / wrong))


def _mae(predicted_um: NDArray[np.float64], offsets_um: NDArray[np.float64]) -> float:
    return float(np.abs(predicted_um - offsets_um).mean())


def _layer_name(scope: str) -> str:
    """Names of the modules that a tensor comes from: ``a.b.Outer_stem/c.d.Conv2d_0;`` is stem.0."""
    parts = scope.split(";")[0].split("/")
    names = [part.rpartition(".")[2].lstrip("_").partition("_")[2] for part in parts]
    return ".".join(name for name in names if name and name != "wrapped") or parts[-1]

"""What is benched: a bundle, a plain TFLite model or an ONNX model."""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from edge.bundle import load_bundle
from edge.bundle.composition import precision_of
from edge.bundle.operators import Operator, operators_of
from hw.errors import BundleError

__all__ = ["Candidate", "open_candidate", "open_candidates"]


@dataclass(frozen=True)
class Candidate:
    """A network to be timed.

    Attributes
    ----------
    name : of the bundle or the file
    network : its architecture; of a plain file, the file's name
    format : `tflite` or `onnx`
    content : the model, without a card
    sha256 : of `content`
    asks : how many times the network is asked for one answer, once per mirror image
    operators : of a TFLite model; nobody looks into an ONNX model
    validation : the figures on its card, none of a plain model
    """

    name: str
    network: str
    format: str
    content: bytes
    sha256: str
    asks: int
    operators: tuple[Operator, ...]
    validation: dict[str, Any]

    @property
    def precision(self) -> str:
        """`fp32`, `fp16`, `dynamic`, `int8`, or `unknown` of an ONNX model."""
        return precision_of(self.operators) if self.operators else "unknown"

    @property
    def input(self) -> str:
        """Width and height of the image it takes, as `192x192`; empty where that is not known."""
        for operator in self.operators:
            for tensor in operator.inputs:
                if not tensor.constant:
                    return "x".join(str(n) for n in tensor.shape[2:0:-1])
        return ""

    def facts(self) -> dict[str, Any]:
        """Return what a report says of it, apart from times."""
        figures = {name: self.validation.get(name) for name in ("mae_steps", "sign_error_rate")}
        return {
            "bundle": self.name,
            "network": self.network,
            "precision": self.precision,
            "input": self.input,
            "asks": self.asks,
            "bytes": len(self.content),
            "multiply_adds": sum(operator.multiply_adds for operator in self.operators) or None,
            "sha256": self.sha256,
            **figures,
        }


def open_candidates(given: Sequence[str]) -> list[Candidate]:
    """Open several, and give those of one name and format names that tell them apart.

    Raises
    ------
    BundleError
        As `open_candidate`.
    """
    found: list[Candidate] = []
    for text in given:
        candidate = open_candidate(text)
        taken = {other.name for other in found if other.format == candidate.format}
        names = chain((candidate.name, text), (f"{text} ({number})" for number in count(2)))
        found.append(replace(candidate, name=next(name for name in names if name not in taken)))
    return found


def open_candidate(given: str) -> Candidate:
    """Open what a command was given.

    Parameters
    ----------
    given : name of a shipped bundle, or path of a bundle, a plain .tflite or an .onnx

    Raises
    ------
    BundleError
        There is no such thing, or it is damaged.
    """
    path = Path(given)
    if path.suffix == ".onnx" or (path.suffix == ".tflite" and _is_plain(path)):
        content = _read(path)
        name = path.suffix.removeprefix(".")
        operators = operators_of(content, given) if name == "tflite" else ()
        return Candidate(path.stem, path.stem, name, content, _sha256(content), 1, operators, {})
    bundle = load_bundle(given)
    card = bundle.card
    # A shipped bundle goes by the name that it was asked for: cards of different files may share theirs.
    name = path.stem if path.suffix else given
    return Candidate(
        name,
        card.architecture,
        "tflite",
        bundle.flatbuffer,
        _sha256(bundle.flatbuffer),
        card.mirrors,
        operators_of(bundle.flatbuffer, given),
        dict(card.validation),
    )


def _is_plain(path: Path) -> bool:
    """Whether a file has nothing behind its flatbuffer that a card could be in."""
    return path.is_file() and not zipfile.is_zipfile(io.BytesIO(_read(path)))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

"""The folder of a training run: what was trained, on what, and the best weights."""

import csv
import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn

from edge.bundle import InputSpec, Normalisation
from hw.config import OpticsConfig
from hw.errors import ConfigError
from hw.section import Section
from hw.whole_file import write_whole
from training.heads import Answering, build
from training.recipe import Recipe

__all__ = [
    "Ancestor",
    "Run",
    "RunRecord",
    "effort",
    "load_run",
    "normalised",
    "package_versions",
    "read_record",
    "write_json",
    "write_record",
]

RECORD = "run.json"
WEIGHTS = "best.pt"
METRICS = "metrics.csv"

_PACKAGES = ("wormfocus", "torch", "torchvision", "timm", "lightning", "numpy", "opencv-python-headless")


class Ancestor(Section):
    """A finished run that another one learnt from."""

    role: Literal["weights", "teacher"] = Field(description="It gave weights to start from, or answers.")
    folder: str
    recipe: str = Field(description="Name of its recipe.")
    network: str
    seed: int
    fingerprint: str = Field(description="Of its stacks.")
    earlier: tuple[str, ...] = Field((), description="Fingerprints of stacks of runs that it came from.")
    weights_sha256: str = Field(description="SHA-256 of its file of weights.")
    trained: tuple[str, ...] = Field(description="Specimens that it, or a run it came from, was trained on.")
    validated: tuple[str, ...] = Field(description="Specimens that only its weights were chosen by.")

    @property
    def fingerprints(self) -> frozenset[str]:
        """Fingerprints of all stacks that its weights come from."""
        return frozenset((self.fingerprint, *self.earlier))


class RunRecord(Section):
    """What `run.json` holds."""

    recipe: Recipe
    normalisation: Normalisation
    optics: OpticsConfig = Field(description="Nominal optics of the rig that was trained for.")
    um_per_step: float
    trained_range_um: float = Field(description="Offsets trained on: -this to +this, um.")
    stacks: tuple[str, ...] = Field(description="Folders trained on.")
    fingerprint: str = Field(description="SHA-256 over names, sizes and labels of all stacks.")
    split: dict[str, tuple[str, ...]] = Field(description="Specimens of train, validation and test.")
    planes: int = Field(description="Number of training planes.")
    versions: dict[str, str]
    finished: bool = False
    best_epoch: int | None = None
    new_statistics: bool = Field(
        False, description="Batch normalisation has statistics that were measured after training."
    )
    sigma_factor: float = Field(1.0, description="Fitted on validation; multiplies predicted deviations.")
    # Runs of earlier versions lack these; `effort` finds them all the same.
    images_seen: int | None = Field(None, description="Images, repeats counted, until training ended.")
    minutes: float | None = Field(None, description="Wall-clock time of all sittings together.")
    ancestors: tuple[Ancestor, ...] = Field((), description="Runs that it was fine-tuned from or taught by.")


# Axes of (N, 3, H, W) along which the mirror images are turned, in the order in which they are used.
_MIRROR_AXES = ((), (3,), (2,), (2, 3))


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, ready to predict or to be exported.

    Attributes
    ----------
    folder : where it lies
    network : in eval mode; (N, 3, H, W) normalised float RGB to what its head gives
    record : everything that is known about it
    """

    folder: Path
    network: nn.Module
    record: RunRecord

    @property
    def recipe(self) -> Recipe:
        """The recipe that was followed."""
        return self.record.recipe

    @property
    def input(self) -> InputSpec:
        """The network's input."""
        return self.record.recipe.input

    @property
    def scale_um(self) -> float:
        """Offset that the network calls 1, um."""
        return self.record.recipe.scale_um

    @property
    def sigma_factor(self) -> float:
        """What predicted deviations are multiplied by."""
        return self.record.sigma_factor

    @property
    def split(self) -> dict[str, tuple[str, ...]]:
        """Names of the specimens of train, validation and test."""
        return self.record.split

    @property
    def trained(self) -> frozenset[str]:
        """Specimens that it, or a run that it learnt from, was trained on."""
        ancestors = (ancestor.trained for ancestor in self.record.ancestors)
        return frozenset(self.split["train"]).union(*ancestors)

    @property
    def learnt(self) -> frozenset[str]:
        """Those, and the ones that its weights, or those of a run that it learnt from, were chosen by."""
        ancestors = (ancestor.validated for ancestor in self.record.ancestors)
        return self.trained.union(self.split["validation"], *ancestors)

    @property
    def stacks(self) -> list[Path]:
        """Folders trained on."""
        return [Path(folder) for folder in self.record.stacks]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names, sizes and labels of all stacks."""
        return self.record.fingerprint

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of its file of weights."""
        return hashlib.sha256((self.folder / WEIGHTS).read_bytes()).hexdigest()

    @property
    def fingerprints(self) -> frozenset[str]:
        """That, and those of the stacks of runs that it learnt from."""
        ancestors = (ancestor.fingerprints for ancestor in self.record.ancestors)
        return frozenset((self.fingerprint,)).union(*ancestors)

    @property
    def answering(self) -> nn.Module:
        """The network as the rig runs it: (N, 3, H, W) to offset and log deviation, whatever its head."""
        if self.recipe.head in {"offset", "offset_sigma"}:
            return self.network
        return Answering(self.network, self.recipe).eval()

    @torch.no_grad()
    def predict(self, images: Tensor, mirrors: int = 1) -> tuple[Tensor, Tensor | None]:
        """Judge images.

        Parameters
        ----------
        images : (N, 3, H, W) uint8
        mirrors : how many mirror images of each are judged and averaged, as `FocusCard.mirrors` says

        Returns
        -------
        offsets_um : (N,)
        sigmas_um : (N,), or None without a head for them
        """
        from training.loss import split_answers

        inputs = normalised(images, self.record.normalisation)
        given = [self.answering(inputs.flip(axes)).float() for axes in _MIRROR_AXES[:mirrors]]
        offsets, log_sigmas = split_answers(torch.stack(given).mean(0))
        sigmas = None if log_sigmas is None else log_sigmas.exp() * (self.scale_um * self.sigma_factor)
        return offsets * self.scale_um, sigmas


def normalised(images: Tensor, normalisation: Normalisation) -> Tensor:
    """Map (N, 3, H, W) uint8 to ``(value / 255 - mean) / std``, float32."""
    mean = images.new_tensor(normalisation.mean, dtype=torch.float32).view(1, 3, 1, 1) * 255
    std = images.new_tensor(normalisation.std, dtype=torch.float32).view(1, 3, 1, 1) * 255
    return (images.float() - mean) / std


def load_run(folder: Path) -> Run:
    """Open a run that has weights.

    Raises
    ------
    ConfigError
        No run in that folder, it is damaged, or it has not finished.
    """
    record = read_record(folder)
    network = build(record.recipe)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ConfigError(
            f"{folder}: the run has not finished; resume it with 'wormfocus train --out {folder}'"
        )
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except (RuntimeError, OSError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{weights}: damaged or of another network ({reason}); train again") from error
    return Run(folder, network.eval(), record)


def read_record(folder: Path) -> RunRecord:
    """Read `run.json`.

    Raises
    ------
    ConfigError
        It is missing or damaged.
    """
    path = folder / RECORD
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); is {folder} a training run?"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or RECORD
        raise ConfigError(
            f"{path}: '{key}': {first['msg']}; the run is damaged or of another version"
        ) from error


def write_record(folder: Path, record: RunRecord) -> None:
    """Write `run.json`, whole or not at all."""
    write_json(folder / RECORD, record.model_dump(mode="json"))


def write_json(path: Path, data: object) -> None:
    """Write a JSON file, whole or not at all."""
    write_whole(path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def effort(folder: Path) -> tuple[int, float] | None:
    """Return how many images a run has seen, repeats counted, and its minutes; None where it kept no log."""
    try:
        with (folder / METRICS).open(newline="", encoding="utf-8") as file:
            last = list(csv.DictReader(file))[-1]
        return int(last["images"]), float(last["minutes"])
    except (OSError, IndexError, KeyError, TypeError, ValueError):
        return None


def package_versions(*more: str) -> dict[str, str]:
    """Return the versions of the packages that decide what comes out of a run, and of others asked for."""
    found = {}
    for package in (*_PACKAGES, *more):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

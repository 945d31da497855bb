"""What is judged: a run or a bundle, with all that has to be known to judge it fairly."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from calibration.stack import read_stack
from edge.bundle import Bundle, load_bundle
from hw.config import load_rig, shipped_rigs
from hw.errors import ConfigError, StackError
from training.judge import Judge, judge_of_bundle, judge_of_run
from training.labelled import LabelledStack
from training.networks.cost import Cost, cost_of, cost_of_file
from training.run import RECORD, WEIGHTS, Run, load_run

__all__ = [
    "Candidate",
    "Scale",
    "candidate_of_bundle",
    "candidate_of_run",
    "common_scale",
    "open_candidates",
    "stems_from",
]


@dataclass(frozen=True, slots=True)
class Scale:
    """What errors are reported in: the rig's step and depth of field, um."""

    um_per_step: float
    dof_um: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network to be judged.

    Attributes
    ----------
    name : for tables and file names
    kind : of thing
    network : its architecture
    judge : predicts
    scale : of the rig that it was trained for; None where that rig's file is not at hand
    rig : name of that rig
    learnt : specimens that it, or runs that it learnt from, were trained on or its weights were chosen by;
        None where it does not say
    test : specimens that were set aside to test it; None where it does not say
    fingerprint : of the stacks that it was trained with, its test specimens included
    fingerprints : that, and those of stacks that runs it learnt from were trained with
    cost : of one image
    facts : what it takes to make it again, for people
    """

    name: str
    kind: Literal["run", "bundle", "ensemble"]
    network: str
    judge: Judge
    scale: Scale | None
    rig: str
    learnt: frozenset[str] | None
    test: frozenset[str] | None
    fingerprint: str
    fingerprints: frozenset[str]
    cost: Cost
    facts: dict[str, str]


def candidate_of_run(run: Run) -> Candidate:
    """Judge a run's float network."""
    record, recipe = run.record, run.recipe
    facts = {
        "folder": str(run.folder),
        "recipe": recipe.name,
        "head": recipe.head,
        "seed": str(recipe.seed),
        "split": f"validation {recipe.split.validation:g}, test {recipe.split.test:g}, "
        f"seed {recipe.split.seed}",
        "images seen": str(record.images_seen),
        "best epoch": str(record.best_epoch),
        "fingerprint of its stacks": run.fingerprint,
        "SHA-256 of its weights": _sha256(run.folder / WEIGHTS),
        "made with": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
    }
    for ancestor in record.ancestors:
        told = f"{ancestor.folder} (weights {ancestor.weights_sha256[:12]})"
        role = "fine-tuned from" if ancestor.role == "weights" else "taught by"
        facts[role] = f"{facts[role]}, {told}" if role in facts else told
    return Candidate(
        run.folder.resolve().name,
        "run",
        recipe.network,
        judge_of_run(run),
        Scale(record.um_per_step, record.optics.dof_um),
        recipe.rig,
        run.learnt,
        frozenset(run.split["test"]),
        run.fingerprint,
        run.fingerprints,
        cost_of(run.network, run.input.height_px, run.input.width_px),
        facts,
    )


def candidate_of_bundle(bundle: Bundle, origin: Run | None = None) -> Candidate:
    """Judge a bundle, by the code that runs on the rig.

    Parameters
    ----------
    bundle : what is judged
    origin : the run it was exported from, which knows the specimens

    Raises
    ------
    ConfigError
        It was exported from another run.
    BundleError
        It cannot be run here.
    """
    card = bundle.card
    if origin is not None and not stems_from(bundle, origin):
        raise ConfigError(
            f"bundle '{card.name}' was not exported from run {origin.folder}: it learnt from other "
            "specimens; give the run it stems from"
        )
    try:
        scale = Scale(load_rig(card.rig).axis.um_per_step, card.optics.dof_um)
    except ConfigError:
        scale = None
    cost = cost_of_file(bundle.flatbuffer)
    facts = {
        "file": str(bundle.path),
        "quantization": card.quantization,
        "mirror images": str(card.mirrors),
        "recipe": card.training.recipe,
        "seed": str(card.training.seed),
        "created": card.created.isoformat(),
        "fingerprint of its stacks": card.training.fingerprint,
        "SHA-256 of its network": card.flatbuffer_sha256,
        "made with": ", ".join(f"{name} {version}" for name, version in card.versions.items()),
    }
    return Candidate(
        card.name,
        "bundle",
        card.architecture,
        judge_of_bundle(bundle),
        scale,
        card.rig,
        origin.learnt if origin else None,
        frozenset(origin.split["test"]) if origin else None,
        card.training.fingerprint,
        card.training.fingerprints,
        Cost(cost.multiply_adds * card.mirrors, cost.parameters),
        facts,
    )


def stems_from(bundle: Bundle, run: Run) -> bool:
    """Return whether a bundle learnt from the very specimens of a run."""
    names = "\n".join(sorted(run.trained))
    return hashlib.sha256(names.encode()).hexdigest() == bundle.card.training.specimens_sha256


def open_candidates(given: Sequence[str], origins: Sequence[Path] = ()) -> list[Candidate]:
    """Open runs and bundles, each by a folder, a file or the name of a shipped bundle.

    A bundle's specimens are those of the run among these, or among `origins`, that it stems from.

    Raises
    ------
    ConfigError
        One is not there, damaged, not finished, or given twice.
    BundleError
        A bundle is damaged or cannot be run here.
    """
    opened = [_open(each) for each in given]
    runs = [each for each in opened if isinstance(each, Run)] + [load_run(path) for path in origins]
    found = []
    for each in opened:
        if isinstance(each, Run):
            found.append(candidate_of_run(each))
        else:
            origin = next((run for run in runs if stems_from(each, run)), None)
            found.append(candidate_of_bundle(each, origin))
    names = [candidate.name for candidate in found]
    for name, text in zip(names, given, strict=True):
        if names.count(name) > 1:
            raise ConfigError(
                f"{text}: there are {names.count(name)} networks of the name '{name}'; give each once, and "
                "rename folders that are called the same"
            )
    return found


def common_scale(
    candidates: Sequence[Candidate], stacks: Sequence[LabelledStack], rig: str | None = None
) -> Scale:
    """Return the one step and depth of field that all errors are reported in.

    Parameters
    ----------
    candidates : what is judged
    stacks : what it is judged on
    rig : the rig that the user names, whose scale then counts whatever the others say

    Raises
    ------
    ConfigError
        Networks or stacks are of rigs with other steps or depths of field, or a rig is not known.
    """
    if rig is not None:
        chosen = load_rig(rig)
        return Scale(chosen.axis.um_per_step, chosen.optics.dof_um)
    found: dict[str, Scale] = {}
    for candidate in candidates:
        if candidate.scale is None:
            raise ConfigError(
                f"{candidate.name}: was trained for rig '{candidate.rig}', whose file is not at hand; "
                "give it with --rig"
            )
        found[f"{candidate.name} is for rig '{candidate.rig}'"] = candidate.scale
    theirs = _rig_of(stacks)
    if theirs in shipped_rigs():
        config = load_rig(theirs)
        found[f"the stacks are of rig '{theirs}'"] = Scale(config.axis.um_per_step, config.optics.dof_um)
    if len(set(found.values())) > 1:
        told = "; ".join(
            f"{who} ({scale.um_per_step:g} um per step, depth of field {scale.dof_um:g} um)"
            for who, scale in found.items()
        )
        raise ConfigError(
            f"rigs are mixed: {told}; say which one's steps and depth of field count, with --rig"
        )
    return next(iter(found.values()))


def _open(text: str) -> Run | Bundle:
    path = Path(text)
    if (path / RECORD).is_file():
        return load_run(path)
    if path.is_dir():
        raise ConfigError(f"{text}: is a folder without {RECORD}, so no training run; give a run or a bundle")
    return load_bundle(text)


def _rig_of(stacks: Sequence[LabelledStack]) -> str:
    """Name the rig of the first stack that can be read; judging tells of those that cannot."""
    for labelled in stacks:
        try:
            return read_stack(labelled.path).notes.get("rig", "")
        except StackError:
            continue
    return ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

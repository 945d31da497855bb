"""A judged network, and what it takes to judge it again."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from calibration.stack import stack_name
from training.candidate import Candidate, Scale
from training.evaluate import Answers, Frames
from training.run import package_versions
from training.statistics import compare_errors, holm

__all__ = [
    "Assessment",
    "Circumstances",
    "circumstances_in_json",
    "comparison_in_json",
    "paired",
    "write_frames",
]


@dataclass(frozen=True, eq=False)
class Assessment:
    """A network, what it said, and the figures that this gives."""

    candidate: Candidate
    answers: Answers
    figures: dict[str, Any]


@dataclass(frozen=True)
class Circumstances:
    """What it takes to repeat a judgement.

    Attributes
    ----------
    command : line that was run
    split : which specimens were used, in words
    fingerprint : of the stacks and labels
    scale : the rig's step and depth of field
    seed : of the bootstrap
    notes : what a reader must know besides
    """

    command: str
    split: str
    fingerprint: str
    scale: Scale
    seed: int
    notes: tuple[str, ...] = ()


def paired(assessments: Sequence[Assessment], frames: Frames, *, seed: int = 0) -> list[dict[str, Any]]:
    """Compare every two networks on the same frames.

    Returns
    -------
    list of dict
        For each pair: ``first`` and ``second``, their names, and what `statistics.compare_errors` gives, with
        ``wilcoxon_p_holm``, adjusted for the number of pairs, in ``frames`` and ``specimens``.
    """
    counted = frames.counted
    truth, specimen = frames.offset_um[counted], frames.specimen[counted]
    pairs: list[dict[str, Any]] = []
    for one, other in combinations(assessments, 2):
        first_um, second_um = (np.abs(a.answers.predicted_um[counted] - truth) for a in (one, other))
        names = {"first": one.candidate.name, "second": other.candidate.name}
        pairs.append({**names, **compare_errors(first_um, second_um, specimen, seed=seed)})
    for over in ("frames", "specimens"):
        adjusted = holm([pair[over]["wilcoxon_p"] for pair in pairs])
        for pair, p in zip(pairs, adjusted, strict=True):
            pair[over]["wilcoxon_p_holm"] = p
    return pairs


def comparison_in_json(
    assessments: Sequence[Assessment], pairs: Sequence[Mapping[str, Any]], circumstances: Circumstances
) -> dict[str, Any]:
    """Return all figures as `compare --json` writes them: ``networks``, ``pairs`` and circumstances."""
    return {
        **circumstances_in_json(circumstances),
        "networks": [{**_identity(a.candidate), **a.figures} for a in assessments],
        "pairs": list(pairs),
    }


def circumstances_in_json(circumstances: Circumstances) -> dict[str, Any]:
    """Return what it takes to repeat a judgement, as JSON has it."""
    return {
        "command": circumstances.command,
        "split": circumstances.split,
        "fingerprint": circumstances.fingerprint,
        "um_per_step": circumstances.scale.um_per_step,
        "dof_um": circumstances.scale.dof_um,
        "seed": circumstances.seed,
        "notes": list(circumstances.notes),
        "versions": package_versions("scipy", "matplotlib", "ai-edge-litert"),
    }


def _identity(candidate: Candidate) -> dict[str, Any]:
    spec = candidate.judge.spec
    return {
        "name": candidate.name,
        "kind": candidate.kind,
        "network": candidate.network,
        "input": [spec.width_px, spec.height_px],
        "input_um_per_px": spec.um_per_px,
        "multiply_adds": candidate.cost.multiply_adds,
        "parameters": candidate.cost.parameters,
        "facts": candidate.facts,
    }


def write_frames(path: Path, assessments: Sequence[Assessment], frames: Frames) -> None:
    """Write one row per frame: what was shown, and what each network said."""
    names = ["stack", "plane", "view", "specimen", "light", "offset_um"]
    for assessment in assessments:
        names += [f"{assessment.candidate.name}_predicted_um", f"{assessment.candidate.name}_sigma_um"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in range(len(frames.offset_um)):
            cells: list[Any] = [
                stack_name(frames.paths[frames.stack[row]]),
                frames.plane[row],
                frames.view[row],
                frames.specimen[row],
                f"{frames.light[row]:.1f}",
                f"{frames.offset_um[row]:.3f}",
            ]
            for assessment in assessments:
                sigma = assessment.answers.sigma_um
                cells += [
                    f"{assessment.answers.predicted_um[row]:.3f}",
                    "" if sigma is None else f"{sigma[row]:.3f}",
                ]
            writer.writerow(cells)

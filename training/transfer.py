"""Learning from finished runs: as a start (fine-tuning, paper 4), or as teachers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hw.errors import ConfigError
from training.recipe import Recipe
from training.run import Ancestor, Run, load_run

__all__ = [
    "FINE_TUNED",
    "ROUNDED",
    "ancestors_of",
    "check_unseen",
    "fine_tuning",
    "parent_of",
    "quantization_aware",
    "teachers_of",
]

FINE_TUNED = "_fine_tuned"
"""What `fine_tuning` adds to the name of a recipe."""
ROUNDED = "_quantization_aware"
"""What `quantization_aware` adds to it."""

_SMALLER = 10
_NAMED = 5
# What the weights of a run mean something with, and nothing else with.
_SAME = ("network", "head", "input", "scale_um", "bins", "patches")


def fine_tuning(parent: Recipe, folder: Path) -> Recipe:
    """Return the recipe that fine-tunes a run where no other is given: its own, ten times smaller.

    A tenth of the learning rate, as in paper 4 (discussion: 0.00001 after 0.0001), over a tenth of the images
    in as many epochs, and averaged weights over the same share of the run. A tenth of the stacks validates
    and none is set aside: of ten, nine teach (paper 4).

    Parameters
    ----------
    parent : recipe of the run
    folder : of the run
    """
    minutes = parent.max_minutes
    return parent.model_copy(
        update={
            "name": parent.name.removesuffix(FINE_TUNED) + FINE_TUNED,
            "pretrained": False,
            "weights": folder,
            "freeze": 0,
            "teacher": None,
            "normalisation": None,
            "learning_rate": parent.learning_rate / _SMALLER,
            "samples": max(parent.batch, parent.samples // _SMALLER),
            "epoch_samples": max(parent.batch, parent.epoch_samples // _SMALLER),
            "max_minutes": None if minutes is None else minutes / _SMALLER,
            "ema_decay": None if parent.ema_decay is None else parent.ema_decay**_SMALLER,
            "split": parent.split.model_copy(update={"by": "specimen", "validation": 0.1, "test": 0.0}),
        }
    )


def quantization_aware(parent: Recipe, folder: Path) -> Recipe:
    """Return the recipe that makes a run fit for static int8: as `fine_tuning`, on the run's own specimens.

    Those are divided as they were for the run, so that the ones to test on are still new. It has the minutes
    that the run had: a tenth of them would be a twentieth of the images, too few (benchmarks/README.md).

    Parameters
    ----------
    parent : recipe of the run
    folder : of the run
    """
    return fine_tuning(parent, folder).model_copy(
        update={
            "name": parent.name.removesuffix(ROUNDED) + ROUNDED,
            "quantization_aware": True,
            "precision": "32-true",
            "max_minutes": parent.max_minutes,
            "split": parent.split,
        }
    )


def parent_of(recipe: Recipe) -> Run | None:
    """Open the run that a recipe fine-tunes; None where it starts from something else.

    Raises
    ------
    ConfigError
        The run is of another network, head, input, scale or normalisation, there is no such run, or layers
        are to be frozen that have learnt nothing.
    """
    if recipe.weights is None or not recipe.weights.is_dir():
        if recipe.freeze and recipe.weights is None and not recipe.pretrained:
            raise ConfigError(
                f"freeze: {recipe.freeze} layers would keep random weights; name the run to start from "
                "('train --from RUN', or 'weights' in the recipe), or leave 'freeze' out"
            )
        return None
    parent = load_run(recipe.weights)
    for key in _SAME:
        ours, theirs = getattr(recipe, key), getattr(parent.recipe, key)
        if ours != theirs:
            raise ConfigError(
                f"{parent.folder}: its {key} is {_told(theirs)} and the recipe's {_told(ours)}, so its "
                f"weights mean nothing here; take its '{key}', or train anew without 'weights' or '--from'"
            )
    if recipe.normalisation not in (None, parent.record.normalisation):
        raise ConfigError(
            f"{parent.folder}: its images were normalised otherwise than the recipe says; leave "
            "'normalisation' out to keep the run's"
        )
    return parent


def teachers_of(recipe: Recipe) -> tuple[Run, ...]:
    """Open the runs that teach a recipe's network.

    Raises
    ------
    ConfigError
        There is no such run, or it looks at another input: it is asked about the very images that are learnt
        from.
    """
    if recipe.teacher is None:
        return ()
    teachers = tuple(load_run(folder) for folder in recipe.teacher.runs)
    for teacher in teachers:
        if teacher.input != recipe.input:
            raise ConfigError(
                f"{teacher.folder}: looks at {_told(teacher.input)} and the recipe's network at "
                f"{_told(recipe.input)}; a teacher must look at the same images"
            )
    return teachers


def ancestors_of(parent: Run | None, teachers: Sequence[Run]) -> tuple[Ancestor, ...]:
    """Describe the runs that a run learns from."""
    known = [("weights", parent)] if parent is not None else []
    return tuple(_ancestor(run, role) for role, run in [*known, *(("teacher", run) for run in teachers)])


def check_unseen(split: Mapping[str, Sequence[str]], ancestors: Sequence[Ancestor]) -> None:
    """Refuse to validate or test on specimens that an ancestor has learnt from: figures would flatter.

    Parameters
    ----------
    split : specimens of train, validation and test
    ancestors : of the run

    Raises
    ------
    ConfigError
        There are such specimens. Those that an ancestor only validated with may validate again.
    """
    for ancestor in ancestors:
        seen = set(split["validation"]) & set(ancestor.trained)
        seen |= set(split["test"]) & {*ancestor.trained, *ancestor.validated}
        if seen:
            some = ", ".join(f"'{name}'" for name in sorted(seen)[:_NAMED])
            more = f" and {len(seen) - _NAMED} more" if len(seen) > _NAMED else ""
            raise ConfigError(
                f"{ancestor.folder}: has learnt from {len(seen)} of the specimens that validation and test "
                f"fall to, {some}{more}; give the recipe the 'split' of that run, or other specimens"
            )


def _ancestor(run: Run, role: str) -> Ancestor:
    return Ancestor.model_validate(
        {
            "role": role,
            "folder": str(run.folder),
            "recipe": run.recipe.name,
            "network": run.recipe.network,
            "seed": run.recipe.seed,
            "fingerprint": run.fingerprint,
            "earlier": sorted({data for old in run.record.ancestors for data in old.fingerprints}),
            "weights_sha256": run.weights_sha256,
            "trained": sorted(run.trained),
            "validated": sorted(run.learnt - run.trained),
        }
    )


def _told(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)

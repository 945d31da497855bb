"""A sweep from beginning to end: its runs chosen, trained, compared; goes on where it stopped."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hw.errors import ConfigError
from hw.whole_file import write_whole
from training.full_disk import telling_of_full_disk
from training.held import held
from training.recipe import Recipe
from training.sweep.engine import Machines, evolve, search
from training.sweep.result import Rows, best_of, rows_of_sweep, table, write_recipe, write_table
from training.sweep.space import Space
from training.sweep.trial import Plan, current_changes, is_finished, mend

__all__ = ["Asked", "run_sweep"]

Tell = Callable[[str], None]

# What may change in the middle of a run: nothing that the weights' shapes, the data or the schedule's length
# depend on.
_WHILE_TRAINING = (
    "learning_rate", "weight_decay", "gradient_clip", "ema_decay", "rotation_deg", "loss.knee_um",
    "loss.sigma_weight", "loss.beta",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a sweep.

    Attributes
    ----------
    method : how values are chosen
    trials : number of runs, of which a grid has its own
    every : epochs between two looks at a population
    seed : of draws
    """

    method: Literal["random", "grid", "population"]
    trials: int
    every: int
    seed: int


def run_sweep(
    recipe: Recipe,
    space: Space,
    asked: Asked,
    stacks: Sequence[Path],
    out: Path,
    *,
    cache: Path | None = None,
    machines: Machines | None = None,
    tell: Tell = print,
) -> tuple[Rows, dict[str, Any] | None]:
    """Train a recipe with other values, many times; write `results.csv` and `best.yaml`.

    Parameters
    ----------
    recipe : what is varied
    space : how
    asked : how often, and by which method
    stacks : folders of stacks
    out : the sweep's folder; a sweep of the same in it is gone on with, also with more runs of a random one
    cache : for decoded images; `.prepared` in the first folder of stacks when absent
    machines : where to train
    tell : takes lines meant for a person

    Returns
    -------
    rows : of all runs, best first, as `training.sweep.result.rows_of_sweep` gives them
    best : the best one's, or None

    Raises
    ------
    ConfigError
        Recipe and space do not fit, or the folder holds another sweep.
    StackError
        The stacks cannot be used.
    """
    plan = Plan(
        recipe,
        tuple(folder.resolve() for folder in stacks),
        out.resolve(),
        None if cache is None else cache.resolve(),
        asked.every,
    )
    trials = _chosen(plan, space, asked)
    with telling_of_full_disk(out):
        (plan.out / "trials").mkdir(parents=True, exist_ok=True)
        with held(plan.out):
            _check_same(plan, space, asked)
            for number in trials:
                mend(plan, number)
            _decode_once(plan, space, tell)
            left = {number: values for number, values in trials.items() if not is_finished(plan, number)}
            tell(f"{len(trials)} runs, {len(left)} to train: {plan.out}")
            failed = _trained(plan, space, asked, left, machines or Machines(), tell) if left else {}
            for number in trials:
                mend(plan, number)
            rows = rows_of_sweep(plan, list(trials), space.keys, failed)
            write_table(plan.out / "results.csv", rows, space.keys)
            for line in table(rows):
                tell(line)
            best = best_of(rows)
            if best is not None:
                chosen = plan.recipe_of(best["trial"], best["values"])
                comment = (
                    f"The best of {len(rows)} runs of a {asked.method} sweep: trial {best['trial']:03d}, "
                    f"validation MAE {best['mae_um']:.4g} um."
                )
                write_recipe(plan.out / "best.yaml", chosen, comment)
                tell(f"best: {best['folder']}, its recipe: {plan.out / 'best.yaml'}")
    return rows, best


def _chosen(plan: Plan, space: Space, asked: Asked) -> dict[int, dict[str, Any]]:
    """Return the values of each run, after checking that each is a recipe."""
    if asked.method == "population":
        _check_population(plan, space, asked)
    if asked.method == "grid":
        trials = dict(enumerate(space.grid()))
    else:
        trials = {number: space.drawn(asked.seed, number) for number in range(asked.trials)}
    for number, values in trials.items():
        plan.recipe_of(number, values)
    return trials


def _check_population(plan: Plan, space: Space, asked: Asked) -> None:
    for key in space.keys:
        if key not in _WHILE_TRAINING:
            raise ConfigError(
                f"'{key}': cannot change in mid-run, as a population's values do; vary only "
                f"{', '.join(_WHILE_TRAINING)}, or use --method random"
            )
        if _value(plan.recipe, key) is None:
            raise ConfigError(f"'{key}': is null in recipe '{plan.recipe.name}'; give it a value there")
    if asked.trials < 2:
        raise ConfigError(f"--trials {asked.trials}: a population has two members at least")
    epochs = -(-plan.recipe.samples // plan.recipe.epoch_samples)
    if asked.every >= epochs:
        raise ConfigError(
            f"--every {asked.every}: the recipe has {epochs} epochs, so nobody would take anything over; "
            "give fewer, or a recipe with smaller epoch_samples"
        )
    if plan.recipe.max_minutes is not None:
        raise ConfigError(
            f"recipe '{plan.recipe.name}': max_minutes ends runs at different epochs, and a population is "
            "compared epoch by epoch; remove it"
        )


def _value(recipe: Recipe, key: str) -> Any:
    """Return the value of a key of a recipe; None where its section is absent."""
    value: Any = recipe
    for part in key.split("."):
        value = getattr(value, part, None)
    return value


def _check_same(plan: Plan, space: Space, asked: Asked) -> None:
    """Write down what the sweep is, or refuse to go on with another one."""
    path = plan.out / "sweep.json"
    now = json.loads(
        json.dumps(
            {
                "recipe": plan.recipe.model_dump(mode="json"),
                "space": space.model_dump(mode="json", exclude_none=True),
                "asked": asdict(asked),
                "stacks": [str(folder) for folder in plan.stacks],
            }
        )
    )
    if not path.exists():
        write_whole(path, (json.dumps(now, indent=2) + "\n").encode())
        return
    try:
        before = json.loads(path.read_bytes())
        # More runs of a random sweep are the same ones and others.
        if asked.method == "random":
            before["asked"]["trials"] = asked.trials
        other = [key for key in now if before[key] != now[key]]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: damaged ({error}); give another folder with --out") from error
    if other:
        raise ConfigError(
            f"{plan.out}: holds a sweep with another {' and another '.join(other)}; give another folder "
            "with --out"
        )


def _decode_once(plan: Plan, space: Space, tell: Tell) -> None:
    """Decode before many runs want to, and tell once what there is to tell of the stacks."""
    from training.labelled import collect
    from training.prepared import prepare

    labelled = collect(plan.stacks, tell)
    if any(key.startswith(("input.", "jitter_px", "views.")) for key in space.keys):
        return
    recipe = plan.recipe
    prepare(
        labelled,
        recipe.input,
        plan.cache or plan.stacks[0] / ".prepared",
        margin_px=recipe.jitter_px,
        full=recipe.views.full > 0,
        progress=lambda done, total: tell(f"decoded {done} of {total} stacks") if done == total else None,
    )


def _trained(
    plan: Plan,
    space: Space,
    asked: Asked,
    left: Mapping[int, dict[str, Any]],
    machines: Machines,
    tell: Tell,
) -> dict[int, str]:
    if asked.method != "population":
        return search(plan, left, machines, tell)
    members = {number: current_changes(plan.folder(number), space.keys) or v for number, v in left.items()}
    return evolve(plan, members, space, asked.seed, machines, tell)

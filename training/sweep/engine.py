"""Ray Tune at work: runs shared out over the processors of a machine or a cluster.

Ray is imported here only, inside functions: everything else of a sweep is done without it.
"""

import os
import random
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hw.errors import ConfigError
from training.sweep.space import Changes, Space, Values
from training.sweep.trial import (
    Plan,
    begin,
    epochs_done,
    is_finished,
    last_mae_um,
    snapshot,
    take_over,
    train_on,
)

__all__ = ["Machines", "evolve", "search"]

Tell = Callable[[str], None]

# Unix sockets have names of at most 107 bytes; Ray's own part of one takes about 70.
_LONGEST_FOLDER = 36
_QUANTILE = 0.25


@dataclass(frozen=True, slots=True)
class Machines:
    """Where runs are trained.

    Attributes
    ----------
    address : of a cluster, as `ray start` printed it, or 'auto'; None for this machine alone
    at_once : most runs at a time; None for as many as there is room for
    cpus, gpus : of each run; None GPUs for one where the machines have any
    """

    address: str | None = None
    at_once: int | None = None
    cpus: float = 1
    gpus: float | None = None


def search(plan: Plan, trials: Mapping[int, Changes], machines: Machines, tell: Tell) -> dict[int, str]:
    """Train runs to their end, each by itself; returns why some failed, by number.

    Parameters
    ----------
    trials : values of each run, by number
    """
    with _ray(plan, machines) as (tune, storage):
        return _run(tune, partial(_searched, plan=plan), trials, None, plan, machines, storage, tell)


def evolve(
    plan: Plan,
    members: Mapping[int, Changes],
    space: Space,
    seed: int,
    machines: Machines,
    tell: Tell,
) -> dict[int, str]:
    """Train a population (Jaderberg et al. 2017); returns why some members failed, by number.

    After every `plan.every` epochs the worst quarter takes over the weights of a run of the best quarter, and
    goes on with that run's values times 1.2 or 0.8, or, one time in four, drawn anew; never beyond the ends.
    All wait for each other, so that equals are compared.

    Parameters
    ----------
    members : values that each run begins or goes on with, by number
    space : what may be varied
    seed : of draws
    """
    # What is ahead after an interruption waits for what is behind.
    ahead = max(epochs_done(plan.folder(number)) for number in members)
    random.seed(seed + ahead)
    np.random.seed((seed + ahead) % 2**32)  # noqa: NPY002 - Ray draws from it
    with _ray(plan, machines) as (tune, storage):
        from ray.tune.schedulers import PopulationBasedTraining

        scheduler = PopulationBasedTraining(
            time_attr="epoch",
            metric="val_mae_um",
            mode="min",
            perturbation_interval=plan.every,
            burn_in_period=(ahead // plan.every + 1) * plan.every,
            hyperparam_mutations={
                "trial": {"values": {key: _domain(tune, values) for key, values in space.root.items()}}
            },
            quantile_fraction=_QUANTILE,
            custom_explore_fn=partial(_within, space=space),
            log_config=False,
            synch=True,
        )
        trainable = partial(_evolved, plan=plan)
        return _run(tune, trainable, members, scheduler, plan, machines, storage, tell)


def _searched(config: dict[str, Any], plan: Plan) -> None:
    """Train one run; on a machine of the cluster."""
    from ray import tune

    train_on(plan, config["trial"]["number"], config["trial"]["values"])
    tune.report({"finished": True})


def _evolved(config: dict[str, Any], plan: Plan) -> None:
    """Train one member, a few epochs at a time; on a machine of the cluster."""
    from ray import tune

    # What Ray hands over from another member says that member's number too.
    number = int(Path(tune.get_context().get_trial_dir()).name)
    values = config["trial"]["values"]
    home = plan.folder(number)
    if (checkpoint := tune.get_checkpoint()) is not None:
        with checkpoint.as_directory() as state:
            take_over(plan, number, Path(state), values)
    done = epochs_done(home)
    if not done:
        begin(plan, number, values)
    while not train_on(plan, number, values, plan.every - done % plan.every):
        done = epochs_done(home)
        with snapshot(plan, number) as state:
            figures = {"epoch": done, "val_mae_um": last_mae_um(home)}
            tune.report(figures, checkpoint=tune.Checkpoint.from_directory(state))


def _within(config: dict[str, Any], space: Space) -> dict[str, Any]:
    """Hold the values that Ray changed within their ends."""
    values = config["trial"]["values"]
    for key, allowed in space.root.items():
        if allowed.ends is not None:
            low, high = allowed.ends
            values[key] = min(max(values[key], low), high)
    return config


def _domain(tune: Any, values: Values) -> Any:
    if values.choice is not None:
        return list(values.choice)
    assert values.ends is not None
    return tune.loguniform(*values.ends) if values.log is not None else tune.uniform(*values.ends)


def _folder_name(trial: Any) -> str:
    return f"{trial.config['trial']['number']:03d}"


def _run(
    tune: Any,
    trainable: Callable[[dict[str, Any]], None],
    trials: Mapping[int, Changes],
    scheduler: Any,
    plan: Plan,
    machines: Machines,
    storage: Path,
    tell: Tell,
) -> dict[int, str]:
    """Let Tune train runs; returns why some failed."""
    import ray

    failed: dict[int, str] = {}

    class Told(tune.Callback):
        """Tells of each run that ends, and remembers why one failed."""

        ended = 0

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            # A population is stopped when one of it fails.
            self._tell(trial, "done" if is_finished(plan, _number(trial)) else "stopped")

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            why = _why(trial.error_file)
            failed[_number(trial)] = why
            self._tell(trial, f"failed: {why}")

        def _tell(self, trial: Any, what: str) -> None:
            self.ended += 1
            tell(f"trial {_number(trial):03d} {what} ({self.ended} of {count})")

    count = len(trials)
    gpus = machines.gpus
    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU", 0) >= 1 else 0.0
    grid = [{"number": number, "values": dict(values)} for number, values in trials.items()]
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": machines.cpus, "gpu": gpus}),
        param_space={"trial": tune.grid_search(grid)},
        tune_config=tune.TuneConfig(
            scheduler=scheduler,
            max_concurrent_trials=machines.at_once,
            trial_dirname_creator=_folder_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(storage),
            callbacks=[Told()],
            # A population waits for every member, so it would wait for a lost one for ever.
            failure_config=tune.FailureConfig(fail_fast=scheduler is not None),
            verbose=0,
        ),
    )
    with warnings.catch_warnings():
        # Ray's advice to whoever writes programs with it.
        warnings.simplefilter("ignore")
        tuner.fit()
    return failed


@contextmanager
def _ray(plan: Plan, machines: Machines) -> Iterator[tuple[Any, Path]]:
    """Start Ray, or join a cluster; yields `ray.tune` and a folder for its own files, gone afterwards."""
    # Ray reads these when it is imported: no reports to its makers, no loggers and folders of its own making,
    # relative paths as they were, and Ctrl-C as everywhere else.
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_worker_niceness": "0",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    }
    if machines.address is None:
        # Ray asks every process for a token; without one of ours it would leave a file of its own at home.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray
    from ray import tune

    storage = plan.out / "ray"
    shutil.rmtree(storage, ignore_errors=True)
    storage.mkdir(parents=True)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    scratch = None
    try:
        if machines.address is not None:
            try:
                ray.init(address=machines.address, **quiet)
            except (ConnectionError, ValueError, RuntimeError) as error:
                why = str(error).splitlines()[0]
                raise ConfigError(
                    f"--address {machines.address}: no Ray cluster answers ({why}); start one with "
                    "'ray start --head', set RAY_AUTH_MODE=token if it wants one, or leave --address out"
                ) from error
        else:
            folder = storage
            if len(str(storage)) > _LONGEST_FOLDER:
                scratch = folder = Path(tempfile.mkdtemp(prefix="wf"))
            ray.init(
                include_dashboard=False,
                # Nobody else may ask it to run programs.
                _node_ip_address="127.0.0.1",
                _temp_dir=str(folder),
                # Runs read their images from files; what Ray hands about is small.
                object_store_memory=100_000_000,
                **quiet,
            )
        yield tune, storage
    finally:
        ray.shutdown()
        for left in (storage, scratch):
            if left is not None:
                shutil.rmtree(left, ignore_errors=True)


def _number(trial: Any) -> int:
    return int(Path(trial.local_path).name)


def _why(error_file: str | None) -> str:
    """Return the last line of a traceback, without the name of our own errors."""
    try:
        lines = Path(error_file or "").read_text(encoding="utf-8").strip().splitlines()
    except OSError:
        lines = []
    if not lines:
        return "its process was killed"
    return lines[-1].removeprefix("hw.errors.").partition("Error: ")[2] or lines[-1]

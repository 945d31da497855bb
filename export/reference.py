"""Which float network a file is compared with: the run's own, but for a run that learnt with rounding."""

from pathlib import Path

from hw.errors import ConfigError
from training.run import Run, load_run

__all__ = ["float_reference"]

_NEXT = "say where it is with --parent, or insist with --allow-loss, which compares with the run's own"


def float_reference(run: Run, parent: Path | None = None) -> Run:
    """Return the run whose float network a file made from a run is compared with.

    Learning with rounding may cost the float network something. Compared with that, a file could pass that is
    worse than what one started from; so what counts is the run before, and where that learnt with rounding
    too, the one before it.

    Parameters
    ----------
    run : that the file is made from
    parent : folder of the run that it learnt with rounding from; where that lay when absent

    Returns
    -------
    Run
        The very same where it did not learn with rounding.

    Raises
    ------
    ConfigError
        That run cannot be opened or has other weights by now, or a folder is given for a run that has none.
    """
    if parent is not None and not run.recipe.quantization_aware:
        raise ConfigError(
            f"--parent {parent}: {run.folder} has not learnt with rounding, and is compared with its own "
            "float network; leave --parent out"
        )
    while run.recipe.quantization_aware:
        run, parent = _before(run, parent), None
    return run


def _before(run: Run, folder: Path | None) -> Run:
    started = next((each for each in run.record.ancestors if each.role == "weights"), None)
    if started is None:
        raise ConfigError(
            f"{run.folder}: learnt with rounding from a file of weights, so that there is no run to compare "
            "with; start from a run, or insist with --allow-loss, which compares with the run's own"
        )
    place = folder or Path(started.folder)
    try:
        found = load_run(place)
    except ConfigError as error:
        reason = str(error).partition(";")[0]
        raise ConfigError(
            f"{run.folder}: is compared with the float network of {place}, from which it learnt with "
            f"rounding, and that cannot be opened ({reason}); {_NEXT}"
        ) from error
    if found.weights_sha256 != started.weights_sha256:
        raise ConfigError(
            f"{place}: has other weights than those that {run.folder} learnt with rounding from; {_NEXT}"
        )
    return found

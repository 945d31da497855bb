"""The end of a run: the best checkpoint becomes the run's weights, and is judged on specimens never seen."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hw.errors import ConfigError
from training import metrics
from training.batches import FixedBatches, ShuffledBatches
from training.checkpoint import BEST, read_checkpoint, write_tensors
from training.freezing import first_layers
from training.heads import build
from training.prepared import VIEWS, Prepared
from training.run import WEIGHTS, Run, RunRecord, effort, normalised, write_json, write_record

__all__ = ["finish", "with_new_statistics"]

_BATCHES_FOR_STATISTICS = 100


def finish(
    record: RunRecord,
    data: Prepared,
    rows: dict[str, NDArray[np.int64]],
    out: Path,
    tell: Callable[[str], None],
) -> Run:
    """Write the best weights, fit the factor of the deviations, and evaluate on the test specimens.

    Averaged weights come with averaged statistics of batch normalisation, which are those of no network:
    each was measured with other weights than the averaged ones. Statistics measured anew are kept where they
    make the error on the validation specimens smaller.

    Parameters
    ----------
    record : of the run
    data : the decoded stacks of the run
    rows : of train, validation and test
    out : the run's folder, with its best checkpoint
    tell : takes lines meant for a person

    Raises
    ------
    ConfigError
        There is no checkpoint, or it is damaged.
    OSError
        The disk is full; finishing can be started again.
    """
    try:
        state = read_checkpoint(out / BEST)
    except FileNotFoundError as error:
        raise ConfigError(f"{out}: has no {BEST} to finish from; train again, with another --out") from error
    prefix = "network."
    network = build(record.recipe)
    network.load_state_dict(
        {name.removeprefix(prefix): v for name, v in state["state_dict"].items() if name.startswith(prefix)}
    )
    images_seen, minutes = effort(out) or (None, None)
    # A run that is finished anew has a factor already.
    record = record.model_copy(
        update={
            "best_epoch": int(state["epoch"]),
            "images_seen": images_seen,
            "minutes": minutes,
            "sigma_factor": 1.0,
            "finished": False,
        }
    )
    run = Run(out, network.eval(), record)
    predicted, sigmas = _predictions(run, data, rows["validation"])
    other = with_new_statistics(run, data, rows["train"])
    if other is not None:
        other_predicted, other_sigmas = _predictions(other, data, rows["validation"])
        truth_um = data.offsets_um[rows["validation"]]
        kept_um, new_um = (float(np.abs(p - truth_um).mean()) for p in (predicted, other_predicted))
        better = new_um < kept_um
        tell(
            f"validation MAE {new_um:.1f} um with normalisation statistics measured anew, {kept_um:.1f} um "
            f"with those of the checkpoint: {'the former' if better else 'the latter'} are kept"
        )
        if better:
            run, predicted, sigmas = other, other_predicted, other_sigmas
        record = record.model_copy(update={"new_statistics": better})
    if sigmas is not None:
        factor = metrics.coverage_factor(data.offsets_um[rows["validation"]], predicted, sigmas)
        record = record.model_copy(update={"sigma_factor": factor})
    run = Run(out, run.network, record)
    evaluation = {}
    for part in ("validation", "test"):
        if part == "test":
            predicted, _ = _predictions(run, data, rows[part])
        views = [VIEWS[view] for view in data.views[rows[part]]]
        evaluation[part] = metrics.grouped_figures(
            data.offsets_um[rows[part]], predicted, views, record.um_per_step, record.optics.dof_um
        )
        tell(f"{part}: {metrics.in_words(evaluation[part])}")
    write_json(out / "evaluation.json", evaluation)
    run = Run(out, run.network, record.model_copy(update={"finished": True}))
    write_record(out, run.record)
    # Last, and whole or not at all: without weights a run is not over.
    write_tensors(out / WEIGHTS, run.network.state_dict())
    return run


def with_new_statistics(run: Run, data: Prepared, rows: NDArray[np.int64]) -> Run | None:
    """Return the run with statistics of batch normalisation measured with its very weights.

    They are plain means over batches of augmented training images (Wu and Johnson 2021, "Rethinking 'Batch'
    in BatchNorm", section 3). Frozen layers keep theirs. None for a network without others, and for one that
    has learnt with the rounding of weights that its statistics are folded into.
    """
    recipe = run.recipe
    if recipe.quantization_aware:
        return None
    network = copy.deepcopy(run.network)
    frozen = set(first_layers(network, recipe.freeze))
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm not in frozen]
    if not norms:
        return None
    batches = ShuffledBatches(
        data,
        rows,
        recipe.batch,
        _BATCHES_FOR_STATISTICS * recipe.batch,
        recipe.views,
        recipe.seed,
        0,
        recipe.orientations,
        recipe.rotation_deg,
    )
    momenta = [norm.momentum for norm in norms]
    network.train()
    for layer in frozen:
        layer.eval()
    for norm in norms:
        norm.reset_running_stats()
        # A plain mean over all batches.
        norm.momentum = None
    with torch.no_grad():
        for images, _ in batches:
            network(normalised(images, run.record.normalisation))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return Run(run.folder, network.eval(), run.record)


def _predictions(
    run: Run, data: Prepared, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    offsets, sigmas = [np.empty(0)], [np.empty(0)]
    for images, _ in FixedBatches(data, rows, 64):
        predicted, deviation = run.predict(images)
        offsets.append(predicted.double().numpy())
        if deviation is not None:
            sigmas.append(deviation.double().numpy())
    return np.concatenate(offsets), np.concatenate(sigmas) if run.recipe.tells_sigma else None

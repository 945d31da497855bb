"""The images that an export needs: to set the ranges of int8 activations, and to measure the result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from calibration.stack import read_stack
from edge.bundle import Normalisation
from export.origin import Source, sources
from export.parity import Samples
from hw.config import RigConfig, load_rig, shipped_rigs
from hw.errors import StackError
from training.labelled import collect
from training.prepared import VIEWS, Prepared, prepare
from training.run import Run, normalised
from training.split import rows_of

__all__ = ["ExportData", "calibration_rows", "export_data", "network_inputs"]

_CALIBRATION_IMAGES = 256


@dataclass(frozen=True)
class ExportData:
    """Images that an export needs.

    Attributes
    ----------
    calibration : (N, height, width, 3) uint8, from training, for the ranges of activations
    validation : of specimens that the weights were chosen by; none where the stacks lack them
    test : of specimens that neither training nor the choice of weights has seen
    test_specimens : names of those
    simulated_rig : on which the specimens were simulated; None for recorded ones
    sources : the folders of all of them
    """

    calibration: NDArray[np.uint8]
    validation: Samples
    test: Samples
    test_specimens: tuple[str, ...]
    simulated_rig: RigConfig | None
    sources: tuple[Source, ...] = ()


def export_data(
    run: Run, stacks: Sequence[Path], cache: Path | None, tell: Callable[[str], None]
) -> ExportData:
    """Find the images to calibrate with and to test on.

    Parameters
    ----------
    run : a finished training run
    stacks : folders; specimens that the run neither trained on nor validated on are its test
    cache : where decoded images are kept; `.prepared` in the first folder when absent
    tell : takes lines meant for a person

    Raises
    ------
    StackError
        There are no specimens to calibrate with or to test on.
    """
    labelled = collect(stacks, tell)
    notes = read_stack(labelled[0].path).notes
    rig_name = notes.get("rig", "")
    simulated = notes.get("simulated") == "yes" and rig_name in shipped_rigs()
    data = prepare(
        labelled,
        run.input,
        cache or stacks[0] / ".prepared",
        margin_px=run.recipe.jitter_px,
        full=run.recipe.views.full > 0,
    )
    train = [name for name in data.specimens if name in set(run.split["train"])]
    known = set(run.split["train"]) | set(run.split["validation"])
    unseen = [name for name in data.specimens if name not in known]
    for names, what in ((train, "the run was trained on, to calibrate with"), (unseen, "is new, to test on")):
        if not names:
            raise StackError(
                f"{', '.join(map(str, stacks))}: none of {len(data.specimens)} specimens {what}; "
                "add folders with --stacks"
            )
    validated = [name for name in data.specimens if name in set(run.split["validation"])]
    calibration, test = _windows(data, train), _windows(data, unseen)
    calibration = calibration[
        calibration_rows(data.specimen[calibration], data.offsets_um[calibration], _CALIBRATION_IMAGES)
    ]
    return ExportData(
        calibration=np.stack([data.centred(int(row)) for row in calibration]),
        validation=_samples(data, _windows(data, validated)),
        test=_samples(data, test),
        test_specimens=tuple(unseen),
        simulated_rig=load_rig(rig_name) if simulated else None,
        sources=tuple(sources(labelled, data)),
    )


def network_inputs(images: NDArray[np.uint8], normalisation: Normalisation) -> list[NDArray[np.float32]]:
    """Return images (N, height, width, 3) as a converted network takes them: (1, height, width, 3) each."""
    batch = normalised(torch.from_numpy(images).permute(0, 3, 1, 2), normalisation)
    return [np.ascontiguousarray(image[None]) for image in batch.permute(0, 2, 3, 1).numpy()]


def calibration_rows(
    specimen: NDArray[np.int32], offsets_um: NDArray[np.float32], count: int, seed: int = 0
) -> NDArray[np.int64]:
    """Choose images that cover both the specimens and the offsets.

    Specimens take turns in random order. Each gives the image nearest to the next of `count` offsets that lie
    evenly over the whole range, in random order too.

    Parameters
    ----------
    specimen : (N,), which specimen each image shows
    offsets_um : (N,), its offset, um
    count : how many to choose
    seed : of the random orders

    Returns
    -------
    (count,) int64, or fewer
        Rows, sorted, none twice.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(np.unique(specimen))
    wanted_um = random.permutation(np.linspace(offsets_um.min(), offsets_um.max(), count))
    chosen = []
    for turn, offset_um in enumerate(wanted_um):
        rows = np.flatnonzero(specimen == order[turn % len(order)])
        chosen.append(int(rows[np.abs(offsets_um[rows] - offset_um).argmin()]))
    return np.unique(np.array(chosen, np.int64))


def _samples(data: Prepared, rows: NDArray[np.int64]) -> Samples:
    spec = data.spec
    images = np.empty((len(rows), spec.height_px, spec.width_px, 3), np.uint8)
    for image, row in zip(images, rows, strict=True):
        image[...] = data.centred(int(row))
    return Samples(images, data.offsets_um[rows].astype(np.float64))


def _windows(data: Prepared, specimens: list[str]) -> NDArray[np.int64]:
    """Rows of the native windows of some specimens: what the rig shows to a network."""
    rows = rows_of(data.specimens, data.specimen, specimens)
    windows: NDArray[np.int64] = rows[data.views[rows] == VIEWS.index("window")]
    return windows

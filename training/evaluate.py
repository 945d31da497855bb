"""How good a network is on stacks: the float network of a run, or the very file that ships."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.stack import read_stack
from edge.bundle import Bundle, InputSpec, Predictor, resize_to_input
from hw.errors import StackError
from training import metrics
from training.labelled import LabelledStack, specimen_of
from training.run import Run
from training.views import full_view, native_window, rgb_planes

__all__ = ["Judge", "evaluate", "judge_of_bundle", "judge_of_run"]

Predict = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float64], NDArray[np.float64] | None]]


@dataclass(frozen=True, eq=False)
class Judge:
    """Something that predicts offsets.

    Attributes
    ----------
    spec : the network's input
    predict : takes (Z, h, w, 3) uint8 views of the network's field in any number of pixels; returns offsets
        and, where it has them, deviations, each (Z,) in um
    """

    spec: InputSpec
    predict: Predict


def judge_of_bundle(bundle: Bundle) -> Judge:
    """Judge with a bundle, through the code that runs on the rig.

    Raises
    ------
    BundleError
        It cannot be run here.
    """
    predictor = Predictor(bundle)

    def predict(views: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        found = [predictor.predict(view) for view in views]
        sigmas = [p.sigma_um for p in found if p.sigma_um is not None]
        return np.array([p.offset_um for p in found]), np.array(sigmas) if sigmas else None

    return Judge(bundle.card.input, predict)


def judge_of_run(run: Run) -> Judge:
    """Judge with the float network of a run."""
    import torch

    def predict(views: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        images = np.stack([resize_to_input(view, run.input) for view in views])
        offsets, sigmas = run.predict(torch.from_numpy(images).permute(0, 3, 1, 2))
        return offsets.double().numpy(), None if sigmas is None else sigmas.double().numpy()

    return Judge(run.input, predict)


def evaluate(
    judge: Judge,
    stacks: Iterable[LabelledStack],
    um_per_step: float,
    dof_um: float,
    *,
    only: Collection[str] | None = None,
    never: Collection[str] = (),
    full: bool = False,
) -> dict[str, Any]:
    """Compare predictions with labels on every plane of some stacks.

    Parameters
    ----------
    judge : what predicts
    stacks : with their labels
    um_per_step, dof_um : of the rig
    only : names of the specimens to use; all when absent
    never : names of specimens that must not be among those used, because the network was made with them
    full : show whole frames too, as a group of their own

    Returns
    -------
    dict
        As `metrics.grouped_figures`, with ``stacks`` and ``specimens`` counted, and, where the network tells
        its deviation, ``sigma_factor``: 1 for an honest one, above for an overconfident one.

    Raises
    ------
    StackError
        A stack cannot be used, was trained on, or none is of the specimens asked for.
    """
    offsets, predicted, sigmas, views = [], [], [], []
    specimens: set[str] = set()
    count = 0
    for labelled in stacks:
        stack = read_stack(labelled.path)
        specimen = specimen_of(labelled, stack)
        if only is not None and specimen not in only:
            continue
        if specimen in never:
            raise StackError(
                f"{labelled.path}: specimen '{specimen}' was trained on or validated with, so figures would "
                "flatter; choose '--split test', or allow it with '--seen'"
            )
        planes = rgb_planes(stack)
        try:
            shown = [("window", native_window(planes, stack.um_per_px, judge.spec))]
        except StackError as error:
            raise StackError(f"{labelled.path}: {error}") from error
        if full:
            shown.append(("full", full_view(planes, judge.spec)))
        for kind, images in shown:
            guess, deviation = judge.predict(images)
            offsets.append(labelled.focus_um - stack.positions_um)
            predicted.append(guess)
            views += [kind] * len(guess)
            if deviation is not None:
                sigmas.append(deviation)
        specimens.add(specimen)
        count += 1
    if not offsets:
        raise StackError(
            "no stack is of a specimen of that part; give the folders that the run was trained on"
        )
    truth, guesses = np.concatenate(offsets), np.concatenate(predicted)
    result = metrics.grouped_figures(truth, guesses, views, um_per_step, dof_um)
    result |= {"stacks": count, "specimens": len(specimens)}
    if sigmas:
        result["sigma_factor"] = metrics.sigma_factor(truth, guesses, np.concatenate(sigmas))
    return result

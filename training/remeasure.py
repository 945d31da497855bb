"""A bundle's own figures, measured again: does the file do on these stacks what its card says."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from edge.bundle import Bundle
from hw.check import Check, Status
from hw.errors import BundleError, StackError
from training.candidate import candidate_of_bundle, common_scale
from training.evaluate import evaluate
from training.labelled import LabelledStack, collect, fingerprint

__all__ = ["check_unseen", "compare_with_card", "remeasure"]

# What export allows a file to be worse than its float network by, too.
WORSE = 1.05


def check_unseen(bundle: Bundle, data: str, otherwise: str = "") -> None:
    """Refuse to judge a bundle on the stacks that it was made with.

    Parameters
    ----------
    data : fingerprint of the stacks
    otherwise : what can be done but to give other stacks

    Raises
    ------
    StackError
        They are those that it, or a run that it came from, was trained with.
    """
    if data in bundle.card.training.fingerprints:
        raise StackError(
            f"bundle '{bundle.card.name}' was trained on these stacks, so figures would flatter; give other "
            f"stacks{otherwise}"
        )


def remeasure(
    bundle: Bundle,
    stacks: Sequence[Path],
    *,
    rig: str | None = None,
    seed: int = 0,
    shown: Callable[[Sequence[LabelledStack]], Iterable[LabelledStack]] = iter,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measure a bundle on labelled stacks.

    Parameters
    ----------
    bundle : what is measured
    stacks : folders
    rig : whose steps and depth of field count; the bundle's own when absent
    seed : of the bootstrap
    shown : wraps the stacks to show progress
    tell : takes lines meant for a person

    Returns
    -------
    dict
        As `training.evaluate.figures_of`.

    Raises
    ------
    StackError
        The stacks cannot be used, or are those that it was trained with.
    """
    labelled = collect(stacks, tell)
    check_unseen(bundle, fingerprint(labelled))
    candidate = candidate_of_bundle(bundle)
    scale = common_scale([candidate], labelled, rig)
    return evaluate(candidate.judge, shown(labelled), scale.um_per_step, scale.dof_um, seed=seed)


def compare_with_card(bundle: Bundle, figures: dict[str, Any]) -> Check:
    """Say whether a bundle errs as little as its card says.

    It does not where even the low end of the interval, from the bootstrap over specimens, lies more than 5 %
    above the card's mean error.

    Parameters
    ----------
    figures : measured now

    Raises
    ------
    BundleError
        The card tells no mean error.
    """
    told_um = bundle.card.validation.get("mae_um")
    if not isinstance(told_um, int | float):
        raise BundleError(
            f"{bundle.path}: its card tells no mae_um to compare with; judge it with 'wormfocus evaluate'"
        )
    interval_um = figures["intervals"]["mae_um"]
    seen = f"{figures['mae_um']:.3g} um on {figures['n']} images of {figures['specimens']} specimens"
    if interval_um is None:
        step = "give stacks of several specimens"
        return Check("error", Status.warning, f"{seen}, the card says {told_um:.3g}; too few to tell", step)
    low_um, high_um = interval_um
    seen += f" ({low_um:.3g} to {high_um:.3g}), the card says {told_um:.3g}"
    if low_um > WORSE * told_um:
        step = "export it again, or see whether these stacks are of the microscope that it was trained for"
        return Check("error", Status.failed, seen, step)
    return Check("error", Status.ok, seen)

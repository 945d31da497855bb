"""How good networks are on stacks: what each says about every plane, and the figures that this gives."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.stack import read_stack
from edge.bundle import InputSpec
from hw.errors import ConfigError, StackError
from training import metrics
from training.judge import Judge
from training.labelled import LabelledStack, check_one_rig, specimen_of
from training.statistics import intervals
from training.views import full_view, native_window, rgb_planes

__all__ = ["Answers", "Frames", "evaluate", "figures_of", "judge_stacks", "shown_views"]

_NAMED = 5
_FIELD = "field "
# Of `Frames`, one value for each.
_COLUMNS = ("stack", "plane", "view", "specimen", "plate", "day", "light", "offset_um")


@dataclass(frozen=True, eq=False)
class Frames:
    """What was shown: N views of planes.

    Attributes
    ----------
    paths : the stacks
    stack : (N,) index into `paths`
    plane : (N,) index of the plane within its stack
    view : (N,) 'window', 'full' or 'field F um'
    specimen, plate, day : (N,) their names; the latter two empty where no manifest says
    light : (N,) mean grey value of what the first network was shown, 0 to 255
    offset_um : (N,) true offset, um
    rig : that the stacks say they are of, '' where they say nothing
    simulated : the stacks say so
    left_out : stacks that could not be read, with the reason
    """

    paths: tuple[Path, ...]
    stack: NDArray[np.int64]
    plane: NDArray[np.int64]
    view: NDArray[np.str_]
    specimen: NDArray[np.str_]
    plate: NDArray[np.str_]
    day: NDArray[np.str_]
    light: NDArray[np.float64]
    offset_um: NDArray[np.float64]
    rig: str = ""
    simulated: bool = False
    left_out: dict[Path, str] = field(default_factory=dict)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Frames that count, (N,): all but those of wider fields, which are asked for besides."""
        return ~np.strings.startswith(self.view, _FIELD)

    def of(self, chosen: NDArray[np.bool_]) -> "Frames":
        """Return some of the frames."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in _COLUMNS})


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network said about N views.

    Attributes
    ----------
    predicted_um : (N,)
    sigma_um : (N,), or None for a network that tells no deviation
    """

    predicted_um: NDArray[np.float64]
    sigma_um: NDArray[np.float64] | None = None

    def of(self, chosen: NDArray[np.bool_]) -> "Answers":
        """Return those to some of the frames."""
        return Answers(self.predicted_um[chosen], None if self.sigma_um is None else self.sigma_um[chosen])


def judge_stacks(
    judges: Mapping[str, Judge],
    stacks: Iterable[LabelledStack],
    *,
    only: Collection[str] | None = None,
    never: Mapping[str, Collection[str]] | None = None,
    skip: Collection[str] = (),
    full: bool = False,
    fields_um: Sequence[float] = (),
    tell: Callable[[str], None] = print,
) -> tuple[Frames, dict[str, Answers]]:
    """Show every plane of some stacks to some networks.

    A stack that cannot be read is told, left out for all of them, and kept in `Frames.left_out`: one damaged
    file shall not cost the hours of all others, nor pass unnoticed.

    Parameters
    ----------
    judges : the networks, by name
    stacks : with their labels
    only : names of the specimens to use; all when absent
    never : for each network, names of specimens that must not be among those used, because it was made with
        them
    skip : names of specimens to pass over
    full : show whole frames too
    fields_um : show windows of these widths too, shrunk to the network's input as whole frames are (paper 1,
        section 3.3)
    tell : takes lines meant for a person

    Raises
    ------
    StackError
        A stack is too small, stacks are of several rigs, one was trained on, or none is of the specimens
        asked for.
    ConfigError
        A network gives values that are no numbers.
    """
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS}
    said: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float64] | None]]] = {n: [] for n in judges}
    paths: list[Path] = []
    rigs: dict[str, Path] = {}
    learnt: dict[str, list[str]] = {}
    left_out: dict[Path, str] = {}
    simulated = False
    for labelled in stacks:
        try:
            stack = read_stack(labelled.path)
        except StackError as error:
            left_out[labelled.path] = str(error).removeprefix(f"{labelled.path}: ")
            tell(f"warning: left out {error}")
            continue
        specimen = specimen_of(labelled, stack)
        if (only is not None and specimen not in only) or specimen in skip:
            continue
        for name, known in (never or {}).items():
            if specimen in known:
                learnt.setdefault(name, []).append(specimen)
        # Goes on without asking any network, to name all that are in the way at once.
        if learnt:
            continue
        check_one_rig(rigs, stack.notes.get("rig", ""), labelled.path)
        simulated |= stack.notes.get("simulated") == "yes"
        planes = rgb_planes(stack)
        for number, (name, judge) in enumerate(judges.items()):
            try:
                views = shown_views(planes, stack.um_per_px, judge.spec, full=full, fields_um=fields_um)
            except StackError as error:
                raise StackError(f"{labelled.path}: {error}") from error
            for kind, images in views:
                said[name].append(judge.predict(images))
                if number == 0:
                    count = len(images)
                    columns["stack"].append(np.full(count, len(paths)))
                    columns["plane"].append(np.arange(count))
                    columns["view"].append(np.full(count, kind))
                    columns["specimen"].append(np.full(count, specimen))
                    columns["plate"].append(np.full(count, labelled.plate))
                    columns["day"].append(np.full(count, labelled.day))
                    columns["light"].append(images.mean(axis=(1, 2, 3), dtype=np.float64))
                    columns["offset_um"].append(labelled.focus_um - stack.positions_um)
        paths.append(labelled.path)
    if learnt:
        raise StackError(_learnt_from(learnt))
    if not paths:
        raise StackError(
            "no stack is of a specimen of that part; give the folders that the run was trained on"
            + (f" (left out, because they cannot be read: {len(left_out)})" if left_out else "")
        )
    frames = Frames(
        tuple(paths),
        **{name: np.concatenate(parts) for name, parts in columns.items()},
        rig=next(iter(rigs), ""),
        simulated=simulated,
        left_out=left_out,
    )
    return frames, {name: _answers(name, parts) for name, parts in said.items()}


def shown_views(
    planes: NDArray[np.uint8],
    um_per_px: float,
    spec: InputSpec,
    *,
    full: bool = False,
    fields_um: Sequence[float] = (),
) -> list[tuple[str, NDArray[np.uint8]]]:
    """Return what a network is shown of a stack, by kind of view, each (Z, h, w, 3) in any number of pixels.

    Parameters
    ----------
    planes : (Z, H, W, 3)
    um_per_px : of the stack, um
    spec : the network's input
    full, fields_um : as for `judge_stacks`

    Raises
    ------
    StackError
        The stack does not say its pixel size, or shows less than is asked for.
    """
    views = [("window", native_window(planes, um_per_px, spec))]
    for field_um in fields_um:
        # The same pixels of the input stand for more.
        wider = spec.model_copy(update={"um_per_px": field_um / spec.width_px})
        views.append((f"{_FIELD}{field_um:g} um", native_window(planes, um_per_px, wider)))
    if full:
        views.append(("full", full_view(planes, spec)))
    return views


def figures_of(
    frames: Frames, answers: Answers, um_per_step: float, dof_um: float, *, seed: int = 0
) -> dict[str, Any]:
    """Return the figures of one network.

    Parameters
    ----------
    um_per_step, dof_um : of the rig
    seed : of the bootstrap

    Returns
    -------
    dict
        As `metrics.grouped_figures`, also by signed offset in depths of field, by light (thirds of the
        frames), by specimen, and by plate and day where manifests say them; ``stacks`` and ``specimens``
        counted; ``intervals`` as `statistics.intervals` gives them; ``left_out``; and, where the network
        tells its deviation, ``sigma_factor``: 1 for an honest one, above for an overconfident one. Wider
        fields have their figures in the group of views, and enter no others.
    """
    wider = {
        kind: _figures_of_view(frames, answers, kind, um_per_step, dof_um)
        for kind in dict.fromkeys(frames.view[~frames.counted].tolist())
    }
    answers, frames = answers.of(frames.counted), frames.of(frames.counted)
    listed = {"plate": frames.plate, "day": frames.day}
    result = metrics.grouped_figures(
        frames.offset_um,
        answers.predicted_um,
        frames.view.tolist(),
        um_per_step,
        dof_um,
        sigmas_um=answers.sigma_um,
        more={
            "offset_dof": metrics.offset_bands(frames.offset_um, dof_um),
            "light": metrics.thirds(frames.light),
            **{kind: _named(names) for kind, names in listed.items() if np.any(names != "")},
            "specimen": _named(frames.specimen),
        },
    )
    result["groups"]["view"] |= wider
    result["stacks"] = len(frames.paths)
    result["specimens"] = len(np.unique(frames.specimen))
    result["intervals"] = intervals(
        frames.offset_um, answers.predicted_um, frames.specimen, dof_um, seed=seed
    )
    result["left_out"] = [{"stack": str(p), "reason": reason} for p, reason in frames.left_out.items()]
    if answers.sigma_um is not None:
        result["sigma_factor"] = result["sigma"]["factor"]
    return result


def _named(names: NDArray[np.str_]) -> dict[str, NDArray[np.bool_]]:
    return {str(name) or "not listed": names == name for name in np.unique(names)}


def _figures_of_view(
    frames: Frames, answers: Answers, kind: str, um_per_step: float, dof_um: float
) -> dict[str, Any]:
    shown = frames.view == kind
    some = answers.of(shown)
    return metrics.figures_with_sigma(
        frames.offset_um[shown], some.predicted_um, um_per_step, dof_um, some.sigma_um
    )


def evaluate(
    judge: Judge,
    stacks: Iterable[LabelledStack],
    um_per_step: float,
    dof_um: float,
    *,
    only: Collection[str] | None = None,
    never: Collection[str] = (),
    full: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare one network's predictions with labels on every plane of some stacks.

    Parameters and errors are those of `judge_stacks`, the result that of `figures_of`.
    """
    frames, answers = judge_stacks(
        {"the network": judge}, stacks, only=only, never={"the network": never}, full=full
    )
    return figures_of(frames, answers["the network"], um_per_step, dof_um, seed=seed)


def _learnt_from(learnt: Mapping[str, Sequence[str]]) -> str:
    parts = []
    for name, found in learnt.items():
        specimens = sorted(set(found))
        some = ", ".join(f"'{specimen}'" for specimen in specimens[:_NAMED])
        more = f" and {len(specimens) - _NAMED} more" if len(specimens) > _NAMED else ""
        parts.append(
            f"{name} was trained on or validated with {len(specimens)} of these specimens: {some}{more}"
        )
    return (
        f"{'; '.join(parts)}; figures would flatter: give stacks of other specimens, leave these out with "
        "'compare --unseen', or allow it with '--seen'"
    )


def _answers(name: str, parts: Sequence[tuple[NDArray[np.float64], NDArray[np.float64] | None]]) -> Answers:
    predicted = np.concatenate([offsets for offsets, _ in parts])
    if not np.isfinite(predicted).all():
        raise ConfigError(
            f"{name}: {np.count_nonzero(~np.isfinite(predicted))} of {len(predicted)} answers are no "
            "numbers; the training diverged, train again with a smaller learning_rate"
        )
    sigmas = [sigma for _, sigma in parts if sigma is not None]
    return Answers(predicted, np.concatenate(sigmas) if sigmas else None)

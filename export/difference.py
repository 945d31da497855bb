"""Two bundles side by side: what differs in their cards, networks and answers."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle, Predictor, window_px
from edge.bundle.textures import textures
from export.contents import Constant, constants, operators

__all__ = [
    "Change",
    "answers_apart",
    "card_changes",
    "constants_apart",
    "generated_answers",
    "operator_changes",
]

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is not the same in both.

    Attributes
    ----------
    key : where in the card, with dots
    first, second : what it is there; None where it is not there
    relative : second / first - 1, for numbers
    """

    key: str
    first: Any
    second: Any
    relative: float | None


def card_changes(first: Bundle, second: Bundle) -> list[Change]:
    """List the keys by which two cards, and who signed them, differ, in the order of the cards."""
    ours, theirs = (dict(_flat(_told(bundle))) for bundle in (first, second))
    return [
        Change(key, ours.get(key), theirs.get(key), _relative(ours.get(key), theirs.get(key)))
        for key in dict.fromkeys((*ours, *theirs))
        if ours.get(key) != theirs.get(key)
    ]


def operator_changes(first: Bundle, second: Bundle) -> list[dict[str, Any]]:
    """List the kinds and types of operators that are not as many in both networks."""
    ours, theirs = operators(first.flatbuffer), operators(second.flatbuffer)
    return [
        {"operator": kind, "type": dtype, "first": ours[kind, dtype], "second": theirs[kind, dtype]}
        for kind, dtype in sorted({*ours, *theirs})
        if ours[kind, dtype] != theirs[kind, dtype]
    ]


def constants_apart(first: Bundle, second: Bundle) -> dict[str, Any]:
    """Compare the numbers in two networks.

    Constants are matched by operator, place and shape, in the order of use. How far two of them are apart is
    the root mean square of the difference of what they stand for, over that of the first.

    Returns
    -------
    dict
        ``first`` and ``second``, how many each has; ``matched``; ``stored_otherwise``, of those, in another
        type; ``changed``, of those, with other values; ``relative_median`` and ``relative_max`` over the
        changed ones, None without any; and ``most``, those furthest apart.
    """
    ours, theirs = constants(first.flatbuffer), constants(second.flatbuffer)
    matcher = difflib.SequenceMatcher(None, [c.role for c in ours], [c.role for c in theirs], autojunk=False)
    pairs = [
        (ours[block.a + i], theirs[block.b + i])
        for block in matcher.get_matching_blocks()
        for i in range(block.size)
    ]
    apart = [(_apart(a, b), a) for a, b in pairs]
    changed = sorted(((far, a) for far, a in apart if far > 0), key=lambda pair: -pair[0])
    distances = [far for far, _ in changed]
    return {
        "first": len(ours),
        "second": len(theirs),
        "matched": len(pairs),
        "stored_otherwise": sum(a.dtype != b.dtype for a, b in pairs),
        "changed": len(changed),
        "relative_median": float(np.median(distances)) if distances else None,
        "relative_max": max(distances) if distances else None,
        "most": [
            {
                "operator": a.operator,
                "place": a.place,
                "shape": list(a.values.shape),
                "name": a.name,
                "relative": far,
            }
            for far, a in changed[:_MOST_NAMED]
        ],
    }


def generated_answers(
    first: Bundle, second: Bundle, count: int, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ask both networks about the same generated textures; each is shown its own field of them.

    Returns
    -------
    offsets_um : (count,) of each
    """
    um_per_px = first.card.optics.um_per_px
    sizes = [window_px(bundle.card.input, um_per_px) for bundle in (first, second)]
    width, height = (max(lengths) for lengths in zip(*sizes, strict=True))
    scenes = textures(count, width, height, first.card.normalisation, seed)
    found = []
    for bundle, (own_width, own_height) in zip((first, second), sizes, strict=True):
        top, left = (height - own_height) // 2, (width - own_width) // 2
        predictor = Predictor(bundle)
        windows = scenes[:, top : top + own_height, left : left + own_width]
        found.append(np.array([predictor.predict(window).offset_um for window in windows]))
    return found[0], found[1]


def answers_apart(
    first_um: NDArray[np.float64], second_um: NDArray[np.float64], dof_um: float
) -> dict[str, float | int | None]:
    """Return how far two networks' answers to the same images are apart.

    Parameters
    ----------
    first_um, second_um : (N,), offsets
    dof_um : signs count where both say more than this

    Returns
    -------
    dict
        ``n``; ``identical``, how many are; mean, root mean square, 95th percentile and largest difference,
        um; ``bias_um``, second - first; ``correlation``, None where one does not vary; and
        ``opposite_sign_rate`` of those beyond a depth of field, None without any.
    """
    difference = second_um - first_um
    sizes = np.abs(difference)
    vary = min(first_um.std(), second_um.std()) > 0
    beyond = (np.abs(first_um) > dof_um) & (np.abs(second_um) > dof_um)
    opposite = (first_um * second_um < 0)[beyond]
    return {
        "n": len(first_um),
        "identical": int((difference == 0).sum()),
        "mean_abs_difference_um": float(sizes.mean()),
        "rms_difference_um": float(np.sqrt((difference**2).mean())),
        "p95_difference_um": float(np.quantile(sizes, 0.95)),
        "max_difference_um": float(sizes.max()),
        "bias_um": float(difference.mean()),
        "correlation": float(np.corrcoef(first_um, second_um)[0, 1]) if vary else None,
        "opposite_sign_rate": float(opposite.mean()) if len(opposite) else None,
    }


def changes_in_json(changes: list[Change]) -> list[dict[str, Any]]:
    """Return changes as plain values."""
    return [asdict(change) for change in changes]


def _told(bundle: Bundle) -> dict[str, Any]:
    signature = {} if bundle.signature is None else {"signature": {"key_id": bundle.signature.key_id}}
    return bundle.card.model_dump(mode="json") | signature


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is in nested tables by keys with dots; lists are values."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(part, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _relative(first: Any, second: Any) -> float | None:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (first, second))
    return second / first - 1 if numbers and first else None


def _apart(first: Constant, second: Constant) -> float:
    size = float(np.sqrt(np.mean(first.values**2))) if first.values.size else 0.0
    far = float(np.sqrt(np.mean((second.values - first.values) ** 2))) if first.values.size else 0.0
    # Beside zeros everything is far; 1 says so without being infinite.
    return far / size if size else float(far > 0)

"""Where a network's time goes: every operator is cut out, run by itself, and timed beside the whole.

The interpreter for Python tells no times of operators. In the whole network a runtime may merge neighbours,
and data are still in the caches when the next operator wants them; `explained` says how much of the whole the
single ones add up to.

Times are processor time with one thread: what latency would be if nothing else ran. Long asks are broken into
more often by others than short ones, so that on a busy machine parts and whole would not be alike.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.bench.candidate import Candidate
from edge.bench.cut import cut, idle_model, pieces
from edge.bench.workers import Runtime, open_worker
from edge.bundle.composition import composition
from edge.bundle.operators import Operator
from hw.errors import BundleError

__all__ = ["profile"]

ROUNDS = 5
LEAST_ASKS = 3


def profile(
    candidate: Candidate,
    runtime: Runtime,
    seconds: float,
    folder: Path,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Time every operator of a TFLite model.

    Parameters
    ----------
    candidate : the model
    runtime : that runs it
    seconds : for all operators together, and as much again for the whole
    folder : for the models that are cut out
    tell : is told how far it is

    Returns
    -------
    dict
        Milliseconds of the whole and of the sum, what asking for anything takes (`idle_ms`, taken off every
        operator), operators left in float and conversions, `groups` by operator and precision, and all
        `operators`, longest first. Per ask, of which a window may need several.

    Raises
    ------
    BundleError
        The runtime refuses the model or a part of it.
    """
    parts = pieces(candidate.operators)
    models = [("whole", candidate.content), ("idle", idle_model())]
    models += [(str(operator.index), cut(candidate.content, indices)) for operator, indices in parts]
    times: dict[str, list[float]] = {name: [] for name, _ in models}
    with open_worker(runtime) as worker:
        numbers = {}
        for name, content in models:
            path = folder / f"{name}.tflite"
            path.write_bytes(content)
            try:
                numbers[name] = worker.open(path, 1, 1)["model"]
            except BundleError as error:
                raise BundleError(f"{candidate.name}, operator {name}: {error}") from error
        each_s = seconds / ROUNDS / len(parts)
        for number in range(ROUNDS):
            tell(f"operators, round {number + 1} of {ROUNDS}")
            for name, model in numbers.items():
                span_s = seconds / ROUNDS if name == "whole" else each_s
                answer = worker.run(model, span_s, least=LEAST_ASKS, bare=True)
                times[name].append(answer["cpu_s"] * 1e3 / len(answer["ms"]))
    middle = {name: float(np.median(ms)) for name, ms in times.items()}
    idle_ms = middle["idle"]
    took = [(operator, max(0.0, middle[str(operator.index)] - idle_ms)) for operator, _ in parts]
    total_ms = sum(ms for _, ms in took)
    rows = [_operator_row(operator, ms, total_ms) for operator, ms in took]
    return {
        **candidate.facts(),
        "runtime": runtime.label,
        "threads": 1,
        "whole_ms": middle["whole"],
        "idle_ms": idle_ms,
        "sum_ms": total_ms + idle_ms,
        "explained": (total_ms + idle_ms) / middle["whole"],
        **left_in_float(candidate.operators),
        "groups": _groups(took, total_ms),
        "operators": sorted(rows, key=lambda row: -row["ms"]),
    }


def left_in_float(operators: Sequence[Operator]) -> dict[str, int]:
    """Count a model's operators, those that compute in float, and those that only convert."""
    running = composition([operator for operator in operators if not operator.prepares])
    return {
        "operators_in_all": running.operators,
        "float_operators": running.in_float,
        "conversions": running.borders,
    }


def _operator_row(operator: Operator, ms: float, total_ms: float) -> dict[str, Any]:
    return {
        "index": operator.index,
        "name": operator.name,
        "kind": operator.kind,
        "precision": operator.precision,
        "output": "x".join(str(n) for n in operator.outputs[0].shape),
        "ms": ms,
        "share": _share(ms, total_ms),
        "multiply_adds": operator.multiply_adds,
        "bytes": operator.weight_bytes + operator.activation_bytes,
    }


def _groups(took: Sequence[tuple[Operator, float]], total_ms: float) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str], list[tuple[Operator, float]]] = {}
    for operator, ms in took:
        groups.setdefault((operator.name, operator.kind, operator.precision), []).append((operator, ms))
    rows = [
        {
            "name": name,
            "kind": kind,
            "precision": precision,
            "operators": len(members),
            "ms": sum(ms for _, ms in members),
            "share": _share(sum(ms for _, ms in members), total_ms),
            "multiply_adds": sum(operator.multiply_adds for operator, _ in members),
        }
        for (name, kind, precision), members in groups.items()
    ]
    return sorted(rows, key=lambda row: -row["ms"])


def _share(ms: float, total_ms: float) -> float:
    return ms / total_ms if total_ms > 0 else 0.0

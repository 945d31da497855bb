"""A whole benchmark: everything about some networks on this machine, as one result."""

from collections.abc import Callable, Sequence
from typing import Any

from edge.bench.by_operator import left_in_float, profile
from edge.bench.candidate import Candidate
from edge.bench.cost_model import MACHINES, load_cost_model, predictions, shares_of
from edge.bench.energy import EnergyMeter
from edge.bench.machine import describe_machine, state_of_machine
from edge.bench.timing import Contender, cold_rows, model_files, warm_rows
from edge.bench.workers import Runtime
from hw.clock import Clock
from hw.errors import BundleError

__all__ = ["run_bench"]


def run_bench(
    candidates: Sequence[Candidate],
    runtimes: Sequence[Runtime],
    threads: Sequence[int],
    clock: Clock,
    tell: Callable[[str], None],
    *,
    seconds: float = 5.0,
    seed: int = 0,
    by_operator: bool = False,
) -> dict[str, Any]:
    """Time networks cold and warm, and predict what they would take on a Raspberry Pi.

    Parameters
    ----------
    candidates : the networks, of names that differ
    runtimes : each runs what it can read
    threads : numbers of threads; the first is that of cold starts
    clock : the system's
    tell : is told what is going on
    seconds : measured per network, runtime and number of threads
    seed : of the noise that networks look at
    by_operator : time every operator by itself too, in the first runtime that runs its network

    Returns
    -------
    dict
        `machine`; `rows`, warm times; `cold`; `refused`, what runtimes refuse; `operators`, those left in
        float, and `work`, multiply-adds and bytes by kind and precision, by network; `profiles`; `predicted`
        and the `cost_model` behind it. All plain values, as for a JSON file.

    Raises
    ------
    BundleError
        No runtime reads a network's format, or none runs any of the networks.
    """
    pairs = [(c, runtime) for c in candidates for runtime in runtimes if runtime.reads == c.format]
    for candidate in candidates:
        if all(candidate is not paired for paired, _ in pairs):
            raise BundleError(
                f"{candidate.name}: no runtime here reads .{candidate.format} files; install one, or name an "
                "environment that has one with --python"
            )
    meter = EnergyMeter()
    before = state_of_machine()
    with model_files(candidates) as files:
        starts = [Contender(candidate, runtime, threads[0], seed) for candidate, runtime in pairs]
        cold, refused = cold_rows(starts, files, clock, tell)
        ran = {(row["bundle"], row["runtime"]) for row in cold}
        pairs = [
            (candidate, runtime) for candidate, runtime in pairs if (candidate.name, runtime.label) in ran
        ]
        if not pairs:
            raise BundleError(
                f"no runtime runs any of the networks ({refused[0]['refused']}); try other files"
            )
        contenders = [
            Contender(candidate, runtime, count, seed) for count in threads for candidate, runtime in pairs
        ]
        rows = warm_rows(contenders, files, seconds, meter, tell)
        profiles = []
        if by_operator:
            folder = next(iter(files.values())).parent
            for candidate in (c for c in candidates if c.operators):
                runner = next((runtime for paired, runtime in pairs if paired is candidate), None)
                if runner is not None:
                    profiles.append(profile(candidate, runner, seconds, folder, tell))
    readable = [candidate for candidate in candidates if candidate.operators]
    return {
        "machine": {
            **describe_machine(),
            "runtimes": [runtime.label for runtime in runtimes],
            "energy": meter.why_not or "counter of the whole processor (RAPL)",
            "before": before,
            "after": state_of_machine(),
        },
        "rows": rows,
        "cold": cold,
        "refused": refused,
        "operators": {c.name: left_in_float(c.operators) for c in readable},
        "work": {c.name: [share.model_dump() for share in shares_of(c.operators)] for c in readable},
        "profiles": profiles,
        "predicted": [row for candidate in readable for row in _predicted(candidate)],
        "cost_model": load_cost_model().model_dump(mode="json"),
    }


def _predicted(candidate: Candidate) -> list[dict[str, Any]]:
    """Say what a network is expected to take on each Pi."""
    return [
        {
            "bundle": candidate.name,
            "precision": candidate.precision,
            "machine": MACHINES[expected.machine],
            "threads": expected.threads,
            "asks": candidate.asks,
            "ms": expected.ms,
            "low_ms": expected.low_ms,
            "high_ms": expected.high_ms,
        }
        for expected in predictions(candidate.operators, candidate.asks)
    ]

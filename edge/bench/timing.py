"""Timing networks on this machine: all of them in turns, so that whatever disturbs one disturbs all."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge.bench.candidate import Candidate
from edge.bench.energy import EnergyMeter
from edge.bench.workers import Runtime, Worker, open_worker
from hw.clock import Clock
from hw.errors import BundleError

__all__ = ["COLD_STARTS", "Contender", "cold_rows", "model_files", "warm_rows"]

# A turn is long enough for a processor to leave its idle state, and short enough for others to come soon.
TURN_S = 0.2
LEAST_TURNS = 5
WARM_UP_S = 0.1
COLD_STARTS = 3
# Until a process has its buffers.
SETTLING_ASKS = 5


@dataclass(frozen=True)
class Contender:
    """One network in one runtime with so many threads, which looks at noise drawn from a seed."""

    candidate: Candidate
    runtime: Runtime
    threads: int
    seed: int = 0

    def open(self, worker: Worker, files: dict[str, Path]) -> dict[str, Any]:
        """Open the network in a process that has the runtime."""
        return worker.open(files[self.candidate.sha256], self.threads, self.candidate.asks, self.seed)

    def facts(self) -> dict[str, Any]:
        """Return what a report says of it, apart from times."""
        return {**self.candidate.facts(), "runtime": self.runtime.label, "threads": self.threads}


@contextmanager
def model_files(candidates: Sequence[Candidate]) -> Iterator[dict[str, Path]]:
    """Write the models where other processes can read them; yields their paths by SHA-256."""
    with tempfile.TemporaryDirectory(prefix="wormfocus-bench-") as folder:
        paths = {}
        for candidate in candidates:
            path = Path(folder) / f"{candidate.sha256}.{candidate.format}"
            path.write_bytes(candidate.content)
            paths[candidate.sha256] = path
        yield paths


def cold_rows(
    contenders: Sequence[Contender], files: dict[str, Path], clock: Clock, tell: Callable[[str], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Start every network in fresh processes, several times.

    The files were read before: what a disk takes is not in it.

    Returns
    -------
    list of dict
        Medians, in ms, of importing the runtime, loading the network, and its first answer; of all that from
        the start of the process on; and the memory in MB that the network adds to a process with its runtime.
    list of dict
        What was refused, and the runtime's words for it.
    """
    rows, refused = [], []
    for number, contender in enumerate(contenders, 1):
        tell(f"cold start {number} of {len(contenders)}")
        starts: list[dict[str, float]] = []
        try:
            starts = [_cold_start(contender, files, clock) for _ in range(COLD_STARTS)]
        except BundleError as error:
            refused.append({**contender.facts(), "refused": str(error)})
            continue
        middle = {key: float(np.median([start[key] for start in starts])) for key in starts[0]}
        rows.append({**contender.facts(), "starts": COLD_STARTS, **middle})
    return rows, refused


def _cold_start(contender: Contender, files: dict[str, Path], clock: Clock) -> dict[str, float]:
    begin_s = clock.now()
    with open_worker(contender.runtime) as worker:
        opened = contender.open(worker, files)
        took_s = clock.now() - begin_s
        settled = worker.run(opened["model"], 0.0, least=SETTLING_ASKS)
        return {
            "import_ms": worker.loaded["import_s"] * 1e3,
            "load_ms": opened["load_s"] * 1e3,
            "first_ms": opened["first_s"] * 1e3,
            "process_ms": took_s * 1e3,
            "peak_mb": (settled["peak_kb"] - worker.loaded["peak_kb"]) * 1024 / 1e6,
            "runtime_mb": worker.loaded["peak_kb"] * 1024 / 1e6,
        }


@dataclass
class _Tally:
    """What has been measured of one contender so far."""

    contender: Contender
    worker: Worker
    model: int
    ms: list[float] = field(default_factory=list)
    turns_ms: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    energy_j: float | None = None

    def turn(self, meter: EnergyMeter) -> None:
        before = meter.read()
        answer = self.worker.run(self.model, TURN_S)
        used = meter.used_j(before, meter.read())
        self.ms += answer["ms"]
        self.turns_ms.append(float(np.median(answer["ms"])))
        self.cpu_s += answer["cpu_s"]
        if used is not None:
            self.energy_j = (self.energy_j or 0.0) + used


def warm_rows(
    contenders: Sequence[Contender],
    files: dict[str, Path],
    seconds: float,
    meter: EnergyMeter,
    tell: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Time networks that have been running for a while, in turns.

    Parameters
    ----------
    contenders : in the order of the report
    files : of the models
    seconds : for each; at least `LEAST_TURNS` turns are taken
    meter : of energy
    tell : is told how far it is

    Returns
    -------
    list of dict
        Milliseconds per answer (of all mirror images of a window; putting the input in and taking the output
        out are part of it): median, percentiles, how many; processor time, which all threads share; energy
        where there is a counter; and how many times longer it takes than the first contender with as many
        threads, turn by turn, with 10th and 90th percentile.
    """
    turns = max(LEAST_TURNS, round(seconds / TURN_S))
    with ExitStack() as stack:
        workers: dict[Runtime, Worker] = {}
        tallies = []
        for contender in contenders:
            runtime = contender.runtime
            if runtime not in workers:
                workers[runtime] = stack.enter_context(open_worker(runtime))
            opened = contender.open(workers[runtime], files)
            workers[runtime].run(opened["model"], WARM_UP_S)
            tallies.append(_Tally(contender, workers[runtime], opened["model"]))
        for turn in range(turns):
            tell(f"turn {turn + 1} of {turns}")
            # Somebody else begins each time: a neighbour's heat and caches are not always the same one's.
            first = turn % len(tallies)
            for tally in (*tallies[first:], *tallies[:first]):
                tally.turn(meter)
    return [_row(tally, tallies) for tally in tallies]


def _row(tally: _Tally, tallies: Sequence[_Tally]) -> dict[str, Any]:
    first = next(other for other in tallies if other.contender.threads == tally.contender.threads)
    ratios = np.array(tally.turns_ms) / np.array(first.turns_ms)
    low, middle, high = np.percentile(ratios, (10, 50, 90))
    p10, median, p90, p99 = np.percentile(tally.ms, (10, 50, 90, 99))
    number = len(tally.ms)
    return {
        **tally.contender.facts(),
        "n": number,
        "median_ms": float(median),
        "min_ms": min(tally.ms),
        "p10_ms": float(p10),
        "p90_ms": float(p90),
        "p99_ms": float(p99),
        "cpu_ms": tally.cpu_s * 1e3 / number,
        "energy_mj": None if tally.energy_j is None else tally.energy_j * 1e3 / number,
        "ratio_to_first": float(middle),
        "ratio_p10": float(low),
        "ratio_p90": float(high),
    }

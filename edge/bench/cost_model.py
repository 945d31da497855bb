"""How long a network would take on a Raspberry Pi, from its operators and from what others published.

A roofline with few numbers. An operator takes its multiply-adds over a rate, plus its bytes over a bandwidth:

    t = slower(machine, threads) * multiply_adds * factor(kind) / rate(machine, precision)
        + bytes / bandwidth(machine)

Rates are those of all four cores; with one thread the first term is longer by a factor of the machine, and
the second is not: one core fills the memory's path. Convolutions over an area, over a pixel and linear layers
are one kind, depthwise convolutions the other; whatever else there is takes the time of its bytes. Operators
with int8 weights and float activations (`dynamic`) are taken for int8 in the first term: no figure was
published that would tell.

`edge.bench.cost_fit` finds the numbers, and how far off such a prediction is.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.bundle.operators import Operator

__all__ = [
    "MACHINES",
    "THREADS",
    "CostModel",
    "ErrorBar",
    "ErrorBars",
    "Machine",
    "MachineRates",
    "Prediction",
    "Share",
    "Values",
    "load_cost_model",
    "predict_ms",
    "predictions",
    "shares_of",
]

Machine = Literal["pi4", "pi5"]
MACHINES: Final[dict[Machine, str]] = {"pi4": "Raspberry Pi 4", "pi5": "Raspberry Pi 5"}
THREADS: Final = (1, 4)


class Values(BaseModel):
    """Frozen values of a JSON file; unknown keys and numbers without end are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Share(Values):
    """What all operators of one kind and precision in a network do to one image."""

    kind: str
    precision: str
    operators: int
    multiply_adds: int
    bytes: int = Field(description="Of constants, and of what is read and written.")


class MachineRates(Values):
    """How fast one machine is, with all four cores but where it says otherwise."""

    float32_gmadds_per_s: float = Field(gt=0)
    int8_gmadds_per_s: float = Field(gt=0)
    gb_per_s: float = Field(gt=0)
    one_thread: float = Field(ge=1, description="How many times longer one thread computes than four.")


class ErrorBar(Values):
    """How far off predictions were: by no more than a factor of `within` on each of `figures` figures."""

    within: float = Field(ge=1)
    figures: int = Field(ge=1)


class ErrorBars(Values):
    """Of one machine.

    `four_threads` is of figures of the same library, each predicted by a model that had not seen it.
    `thread_ratio` is of the ratios of one thread to four, predicted likewise. `other_libraries` compares the
    model with the times of libraries that it was not fitted to, which are faster or slower by themselves.
    """

    four_threads: ErrorBar
    thread_ratio: ErrorBar
    other_libraries: ErrorBar

    def within(self, threads: int) -> float:
        """Return the factor for a number of threads: one thread's has both errors, as if independent."""
        level, ratio = math.log(self.four_threads.within), math.log(self.thread_ratio.within)
        return math.exp(math.hypot(level, ratio)) if threads == 1 else self.four_threads.within


class CostModel(Values):
    """The numbers of the model, and how far off it was where it did not know the answer."""

    machines: dict[Machine, MachineRates]
    depthwise_factor: float = Field(gt=0, description="A depthwise multiply-add's time in those of others.")
    error_bars: dict[Machine, ErrorBars] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network is expected to take on a machine.

    Attributes
    ----------
    machine, threads : where
    ms : per image, expected
    low_ms, high_ms : the error bar
    """

    machine: Machine
    threads: int
    ms: float
    low_ms: float
    high_ms: float


def shares_of(operators: Sequence[Operator]) -> list[Share]:
    """Add up a network's operators by kind and precision."""
    groups: dict[tuple[str, str], list[Operator]] = {}
    for operator in operators:
        groups.setdefault((operator.kind, operator.precision), []).append(operator)
    return [
        Share(
            kind=kind,
            precision=precision,
            operators=len(group),
            multiply_adds=sum(o.multiply_adds for o in group),
            bytes=sum(o.weight_bytes + o.activation_bytes for o in group),
        )
        for (kind, precision), group in sorted(groups.items())
    ]


def predict_ms(
    shares: Sequence[Share], machine: MachineRates, depthwise_factor: float, threads: int
) -> float:
    """Return the time for one image, ms.

    Parameters
    ----------
    shares : of the network
    machine : its rates
    depthwise_factor : of the model
    threads : 1 or 4

    Raises
    ------
    ValueError
        Another number of threads, of which nothing was published.
    """
    if threads not in THREADS:
        raise ValueError(f"{threads} threads: figures were published for {THREADS} only")
    compute_s = moved = 0.0
    for share in shares:
        # Weights in half precision are made single before they are used.
        in_float = share.precision in {"float32", "float16"}
        rate = machine.float32_gmadds_per_s if in_float else machine.int8_gmadds_per_s
        factor = depthwise_factor if share.kind == "depthwise" else 1.0
        compute_s += share.multiply_adds * factor / (rate * 1e9)
        moved += share.bytes
    slower = machine.one_thread if threads == 1 else 1.0
    return (compute_s * slower + moved / (machine.gb_per_s * 1e9)) * 1e3


def load_cost_model() -> CostModel:
    """Read the model that comes with the package."""
    text = (resources.files("edge") / "bench" / "cost_model.json").read_text(encoding="utf-8")
    return CostModel.model_validate(json.loads(text)["model"])


def predictions(operators: Sequence[Operator], asks: int = 1) -> list[Prediction]:
    """Predict a network's time on every machine.

    Parameters
    ----------
    operators : of the network
    asks : how many times it is asked for one answer
    """
    model = load_cost_model()
    shares = shares_of(operators)
    found = []
    for machine, rates in model.machines.items():
        for threads in THREADS:
            ms = asks * predict_ms(shares, rates, model.depthwise_factor, threads)
            within = model.error_bars[machine].within(threads)
            found.append(Prediction(machine, threads, ms, ms / within, ms * within))
    return found

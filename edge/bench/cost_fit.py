"""Fitting the cost model to published figures, and judging it by those that it has not seen.

What is fitted, all in logarithms, by least squares:

- the times of networks on XNNPACK, which is what LiteRT runs on, with all four cores;
- the ratio of one thread's time to four threads' where somebody published both. That is another library's
  (ncnn), whose times themselves are another thing: they are kept for a look from outside.

With so few figures the numbers are held, loosely, to what the processors' data sheets let one expect.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edge.bench.cost_model import (
    MACHINES,
    CostModel,
    ErrorBar,
    ErrorBars,
    Machine,
    MachineRates,
    Share,
    Values,
    predict_ms,
)

__all__ = ["Figure", "Judged", "Published", "fit", "fitted_document", "leave_one_out", "load_published"]

# How far a published time may lie from a good model, and how far a rate from what is expected of it: both as
# standard deviations of logarithms.
_FIGURE_SD: Final = math.log(1.15)
_EXPECTED_SD: Final = math.log(2)

# Expected: a third of what four cores could do at most (Arm's optimisation guides: the Cortex-A72 issues one
# 128-bit multiply-add per cycle, the Cortex-A76 two, and has dot products of int8; 1.5 and 2.4 GHz), about
# what programs that copy memory reach, and nearly a thread's work per core.
_EXPECTED: Final[dict[str, float]] = {
    "pi4.float32_gmadds_per_s": 8.0,
    "pi4.int8_gmadds_per_s": 16.0,
    "pi4.gb_per_s": 4.0,
    "pi4.one_thread": 3.5,
    "pi5.float32_gmadds_per_s": 26.0,
    "pi5.int8_gmadds_per_s": 102.0,
    "pi5.gb_per_s": 10.0,
    "pi5.one_thread": 3.5,
    "depthwise_factor": 2.0,
}


class Figure(Values):
    """A time that somebody measured and published.

    `use` says what for: `level` is fitted as it is, `threads` as the ratio of one thread to four, and
    `outside` is only compared with what the model says.
    """

    machine: Machine
    network: str
    precision: str
    runtime: str
    threads: int
    ms: float = Field(gt=0)
    one_thread_ms: float | None = Field(None, gt=0)
    use: str = Field(pattern="^(level|threads|outside)$")
    source: str

    @property
    def name(self) -> str:
        """What it is of, in a few words."""
        return f"{self.machine} {self.network} {self.precision} {self.runtime}"


class Published(Values):
    """The figures, where they are from, and what the networks that they are of do to one image.

    `networks` has a network's shares by its name and precision, as ``mobilenetv2 int8``.
    """

    sources: dict[str, str]
    networks: dict[str, list[Share]]
    figures: list[Figure]


@dataclass(frozen=True, slots=True)
class Judged:
    """A published value beside what a model says that was fitted without it.

    Attributes
    ----------
    figure : what was published
    published, predicted : ms, or the ratio of one thread to four
    """

    figure: Figure
    published: float
    predicted: float

    @property
    def factor(self) -> float:
        """By how much the prediction is too long."""
        return self.predicted / self.published


def load_published() -> Published:
    """Read the figures that come with the package."""
    text = (resources.files("edge") / "bench" / "published.json").read_text(encoding="utf-8")
    return Published.model_validate(json.loads(text))


def fit(published: Published, figures: Sequence[Figure]) -> CostModel:
    """Find the numbers that suit figures best.

    Parameters
    ----------
    published : where the networks' shares are
    figures : those to fit; `outside` ones count for nothing

    Returns
    -------
    CostModel
        Without error bars.
    """
    from scipy.optimize import least_squares

    names = list(_EXPECTED)
    expected = np.log(list(_EXPECTED.values()))
    used = [figure for figure in figures if figure.use != "outside"]

    def residuals(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        model = _model(dict(zip(names, np.exp(logs), strict=True)))
        errors = [math.log(_said(published, f, model) / _told(f)) / _FIGURE_SD for f in used]
        return np.concatenate([errors, (logs - expected) / _EXPECTED_SD])

    found = least_squares(residuals, expected)
    # Three digits are more than these figures know, and the same on every machine.
    rounded = {name: float(f"{math.exp(log):.3g}") for name, log in zip(names, found.x, strict=True)}
    rounded = {name: max(value, 1.0) if "one_thread" in name else value for name, value in rounded.items()}
    return _model(rounded)


def leave_one_out(published: Published) -> list[Judged]:
    """Judge every figure by a model fitted to all others; those from outside by the one fitted to all."""
    whole = fit(published, published.figures)
    found = []
    for figure in published.figures:
        others = [other for other in published.figures if other is not figure]
        model = whole if figure.use == "outside" else fit(published, others)
        found.append(Judged(figure, _told(figure), _said(published, figure, model)))
    return found


def fitted_document(published: Published) -> dict[str, Any]:
    """Return what `cost_model.json` holds: the model with its error bar, and how far off every figure was."""
    judged = leave_one_out(published)
    bars = {
        machine: ErrorBars(
            four_threads=_bar(judged, machine, "level"),
            thread_ratio=_bar(judged, machine, "threads"),
            other_libraries=_bar(judged, machine, "outside"),
        )
        for machine in MACHINES
    }
    model = fit(published, published.figures).model_copy(update={"error_bars": bars})
    rows = [
        {
            "figure": j.figure.name,
            "threads": j.figure.threads,
            "use": j.figure.use,
            "published": float(f"{j.published:.4g}"),
            "predicted": float(f"{j.predicted:.3g}"),
            "factor": round(j.factor, 2),
        }
        for j in judged
    ]
    return {"model": model.model_dump(mode="json"), "left_out": rows}


def _bar(judged: Sequence[Judged], machine: Machine, use: str) -> ErrorBar:
    errors = [
        max(j.factor, 1 / j.factor) for j in judged if j.figure.machine == machine and j.figure.use == use
    ]
    # Rounded up: what is claimed shall hold.
    return ErrorBar(within=math.ceil(max(errors) * 100) / 100, figures=len(errors))


def _model(values: dict[str, float]) -> CostModel:
    def rates(machine: str) -> MachineRates:
        fields = {
            name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{machine}.")
        }
        return MachineRates(**fields | {"one_thread": max(fields["one_thread"], 1.0)})

    return CostModel(
        machines={"pi4": rates("pi4"), "pi5": rates("pi5")},
        depthwise_factor=values["depthwise_factor"],
    )


def _said(published: Published, figure: Figure, model: CostModel) -> float:
    """Return what a model says where `_told` returns what was published."""
    shares = published.networks[f"{figure.network} {figure.precision}"]
    machine, factor = model.machines[figure.machine], model.depthwise_factor
    if figure.use == "threads":
        return predict_ms(shares, machine, factor, 1) / predict_ms(shares, machine, factor, 4)
    return predict_ms(shares, machine, factor, figure.threads)


def _told(figure: Figure) -> float:
    if figure.use != "threads":
        return figure.ms
    assert figure.one_thread_ms is not None
    return figure.one_thread_ms / figure.ms

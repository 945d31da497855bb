"""What numbers a TFLite model computes with, and what of it is left in float."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edge.bundle.operators import Operator

__all__ = ["Composition", "composition", "precision_of"]


@dataclass(frozen=True, slots=True)
class Composition:
    """What a model, or a part of one, computes with.

    Attributes
    ----------
    counts : number of operators of each precision, conversions left out; that of `float32` is called
        `float`
    borders : operators that only convert one kind of numbers into another
    float_kinds : number of operators of precision `float`, by name, the most frequent first
    int8_share : of all multiply-adds, 0 to 1, those with int8 weights
    """

    counts: dict[str, int]
    borders: int
    float_kinds: dict[str, int]
    int8_share: float

    @property
    def operators(self) -> int:
        """How many there are."""
        return sum(self.counts.values()) + self.borders

    @property
    def in_float(self) -> int:
        """How many compute in float, whatever their weights are stored in."""
        return self.counts.get("float", 0) + self.counts.get("float16", 0)


def composition(operators: Sequence[Operator]) -> Composition:
    """Count operators by what they compute with."""
    inner = [operator for operator in operators if not operator.converts]
    # In the figures of exports, float32 is plainly called float.
    kinds = Counter("float" if each.precision == "float32" else each.precision for each in inner)
    floats = Counter(operator.name for operator in inner if operator.precision == "float32")
    total = sum(operator.multiply_adds for operator in inner)
    small = sum(operator.multiply_adds for operator in inner if operator.precision in {"int8", "dynamic"})
    return Composition(
        counts=dict(kinds),
        borders=len(operators) - len(inner),
        float_kinds=dict(floats.most_common()),
        int8_share=small / total if total else 0.0,
    )


def precision_of(operators: Sequence[Operator]) -> str:
    """Name the precision that does most of a model's work: `fp32`, `fp16`, `dynamic` or `int8`.

    A `fp16` file holds its weights in half precision and multiplies in single.
    """
    work: dict[str, int] = {}
    for operator in operators:
        work[operator.precision] = work.get(operator.precision, 0) + operator.multiply_adds
    most = max(work, key=lambda precision: work[precision], default="float32")
    return {"float32": "fp32", "float16": "fp16"}.get(most, most)

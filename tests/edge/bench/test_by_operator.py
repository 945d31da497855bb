"""What is told of operators left in float; how they are timed is in test_timing."""

from edge.bench.by_operator import left_in_float
from edge.bundle import load_bundle
from edge.bundle.operators import Operator, Tensor, operators_of


def test_the_default_bundle_leaves_its_ends_in_float() -> None:
    operators = operators_of(load_bundle("default").flatbuffer)
    counts = left_in_float(operators)
    assert counts["float_operators"] == 2
    assert counts["operators_in_all"] == len(operators)
    assert 0 < 3 * counts["conversions"] < len(operators)


def test_what_is_done_once_is_not_counted() -> None:
    half = Tensor(0, "half", (2, 2), "FLOAT16", constant=True)
    weights, image, answer = (Tensor(i, f"{i}", (2, 2), "FLOAT32", constant=False) for i in (1, 2, 3))
    maker = Operator(0, "DEQUANTIZE", "elementwise", "other", (half,), (weights,), (), 0)
    product = Operator(1, "FULLY_CONNECTED", "linear", "float16", (image, weights), (answer,), (0,), 8)
    assert left_in_float([maker, product]) == {
        "operators_in_all": 1,
        "float_operators": 1,
        "conversions": 0,
    }

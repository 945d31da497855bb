"""What two networks consist of, and in what two bundles differ."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import Bundle, load_bundle
from export.contents import constants, operators
from export.difference import (
    answers_apart,
    card_changes,
    changes_in_json,
    constants_apart,
    generated_answers,
    operator_changes,
)

NETWORKS = Path(__file__).parents[1] / "edge" / "networks"
FLOAT = (NETWORKS / "tint_float32.tflite").read_bytes()
INT8 = (NETWORKS / "tint_int8.tflite").read_bytes()


def bundle_of(flatbuffer: bytes) -> Bundle:
    return replace(load_bundle("slide"), flatbuffer=flatbuffer)


def altered(flatbuffer: bytes, old: float, new: float) -> bytes:
    """Change one float constant, in place."""
    before, after = np.float32(old).tobytes(), np.float32(new).tobytes()
    assert flatbuffer.count(before) == 1
    return flatbuffer.replace(before, after)


def test_constants_are_what_they_stand_for() -> None:
    floats = {c.role: c for c in constants(FLOAT)}
    quantized = {c.role: c for c in constants(INT8)}
    weights = next(c for c in floats.values() if c.values.ndim > 1)
    same = quantized[weights.role]
    assert (weights.dtype, same.dtype) == ("float32", "int8")
    scale = np.abs(weights.values).max() / 127
    np.testing.assert_allclose(same.values, weights.values, atol=scale)
    assert np.abs(same.values).max() == pytest.approx(np.abs(weights.values).max(), rel=0.01)


def test_a_shipped_networks_weights_are_found_behind_its_tables() -> None:
    found = constants(load_bundle("default").flatbuffer)
    convolutions = [c for c in found if c.operator == "CONV_2D" and c.place == 1]
    assert len(convolutions) == operators(load_bundle("default").flatbuffer)["CONV_2D", "int8"] + 1
    assert all(c.values.ndim == 4 and c.values.std() > 0 for c in convolutions)
    # Quantized by channel: each comes near the end of its scale.
    assert {c.dtype for c in convolutions} == {"float32", "int8"}


def test_operators_are_counted_by_kind_and_type() -> None:
    ours, theirs = operators(FLOAT), operators(INT8)
    assert isinstance(ours, Counter)
    assert {kind for kind, dtype in ours} & {"MEAN", "FULLY_CONNECTED"}
    assert all(dtype == "float32" for _, dtype in ours)
    assert any(dtype == "int8" for _, dtype in theirs)
    changes = operator_changes(bundle_of(FLOAT), bundle_of(INT8))
    assert {(row["operator"], row["type"]): (row["first"], row["second"]) for row in changes} == {
        key: (ours[key], theirs[key]) for key in {*ours, *theirs} if ours[key] != theirs[key]
    }
    assert operator_changes(bundle_of(FLOAT), bundle_of(FLOAT)) == []


def test_one_changed_weight_is_the_only_one() -> None:
    same = constants_apart(bundle_of(FLOAT), bundle_of(FLOAT))
    assert same["changed"] == 0
    assert same["matched"] == same["first"] == same["second"] == len(constants(FLOAT))
    assert (same["relative_median"], same["most"]) == (None, [])
    found = constants_apart(bundle_of(FLOAT), bundle_of(altered(FLOAT, -1.2345, -2.469)))
    assert found["changed"] == len(found["most"]) == 1
    bias = next(c.values for c in constants(FLOAT) if np.isclose(c.values, -1.2345).any())
    size = np.sqrt(np.mean(bias**2))
    assert found["relative_max"] == pytest.approx(1.2345 / np.sqrt(bias.size) / size, rel=1e-5)


def test_quantization_changes_weights_little_and_types_all() -> None:
    found = constants_apart(bundle_of(FLOAT), bundle_of(INT8))
    assert found["stored_otherwise"] > 0
    assert 0 < found["relative_max"] < 0.02


def test_networks_of_other_shapes_match_where_they_can() -> None:
    found = constants_apart(load_bundle("default"), load_bundle("slide"))
    assert found["matched"] < found["second"] < found["first"]
    assert found["relative_max"] > 0.5


def test_cards_differ_by_key_with_the_relative_change_of_numbers() -> None:
    first = load_bundle("slide")
    card = first.card
    second = replace(
        first,
        card=card.model_copy(
            update={
                "name": "other",
                "trained_range_um": card.trained_range_um * 1.5,
                "validation": {**card.validation, "new_figure": 3},
                "training": card.training.model_copy(update={"minutes": None}),
            }
        ),
    )
    found = {change["key"]: change for change in changes_in_json(card_changes(first, second))}
    assert set(found) == {"name", "trained_range_um", "validation.new_figure", "training.minutes"}
    assert found["trained_range_um"]["relative"] == pytest.approx(0.5)
    assert found["name"] == {"key": "name", "first": "slide", "second": "other", "relative": None}
    assert (found["validation.new_figure"]["first"], found["validation.new_figure"]["second"]) == (None, 3)
    assert found["training.minutes"]["relative"] is None
    assert card_changes(first, first) == []


def test_answers_are_compared_image_by_image() -> None:
    first = np.array([-300.0, -10, 10, 300])
    second = np.array([300.0, 0, 10, 310])
    found = answers_apart(first, second, 100.0)
    assert (found["n"], found["identical"]) == (4, 1)
    assert found["mean_abs_difference_um"] == pytest.approx((600 + 10 + 10) / 4)
    assert found["rms_difference_um"] == pytest.approx(np.sqrt((600**2 + 200) / 4))
    assert found["max_difference_um"] == 600
    assert found["bias_um"] == pytest.approx(620 / 4)
    assert found["opposite_sign_rate"] == 0.5
    same = answers_apart(np.zeros(3), np.zeros(3), 100.0)
    assert (same["identical"], same["correlation"], same["opposite_sign_rate"]) == (3, None, None)


def test_a_network_agrees_with_itself_and_sees_its_own_field() -> None:
    slide, default = load_bundle("slide"), load_bundle("default")
    ours, again = generated_answers(slide, slide, 4, seed=3)
    assert ours.shape == (4,)
    assert len(set(ours.tolist())) == 4
    np.testing.assert_array_equal(ours, again)
    # Fields of another width in um, out of the same scenes.
    first, second = generated_answers(default, slide, 4, seed=3)
    assert not np.array_equal(first, second)

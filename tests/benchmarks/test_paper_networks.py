"""How the study of the papers' networks tells distances by contrast, and counts errors of beads."""

import numpy as np
import pytest
from methods.bead_rows import pooled_errors
from methods.yeast_rows import inferred, profile_of

from training.bead_offset import BeadAnswers


def test_a_profile_tells_distances_from_values_on_either_side() -> None:
    offsets = np.arange(-14.0, 15.0, 0.5)
    values = np.where(offsets > 0, np.exp(-offsets / 6), np.exp(offsets / 3))
    true, said = inferred([(offsets, values)], profile_of([(offsets, values)] * 2))
    np.testing.assert_allclose(said, true, atol=0.2)


def test_images_with_too_few_beads_count_as_such() -> None:
    offsets = np.array([[1.0, 1.0, 1.0, 1.0], [3.0, 3.0, 3.0, 3.0]])
    answers = BeadAnswers(np.zeros((4, 2)), np.ones(4), offsets)
    image = {"set": "a", "exposure_ms": 6.0, "offset_um": 0.5, "answers": answers}
    both = pooled_errors([image], ["one", "two"], ["one", "two"], None)
    assert [each["error_um"] for each in both] == [pytest.approx(1.5)]
    second = pooled_errors([image], ["one", "two"], ["two"], 3)
    assert {each["error_um"] for each in second} == {2.5}
    assert pooled_errors([image], ["one", "two"], ["two"], 6)[0]["error_um"] is None

"""Parity figures, and what is too much of a loss."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the export extra")

from edge.bundle import Parity
from export.parity import Predicted, Samples, losses, measure_parity

TRUTH = np.array([0.0, 100.0, -100.0, 50.0])
FLOAT = np.array([10.0, 90.0, -100.0, 50.0])
FILE = np.array([20.0, 90.0, 10.0, 50.0])


def test_figures_by_hand() -> None:
    parity = measure_parity(
        TRUTH, Predicted(FLOAT, np.full(4, 5.0)), Predicted(FILE, np.full(4, 10.0)), dof_um=60.0
    )
    assert parity.n == 4
    assert parity.float_mae_um == pytest.approx(5)
    assert parity.file_mae_um == pytest.approx(35)
    assert parity.ratio == pytest.approx(7)
    assert parity.mean_abs_difference_um == pytest.approx(30)
    # Two of four are out of focus, and of those the file has one sign wrong.
    assert (parity.float_sign_error_rate, parity.file_sign_error_rate) == (0.0, 0.5)
    assert parity.float_sigma_factor == pytest.approx(np.sqrt((4 + 4) / 4))
    assert parity.file_sigma_factor == pytest.approx(np.sqrt((4 + 1 + 121) / 4))
    assert len(losses(parity)) == 3


def test_offsets_alone_have_no_sigma_factor() -> None:
    parity = measure_parity(TRUTH, Predicted(FLOAT), Predicted(FLOAT), dof_um=1000.0)
    assert (parity.float_sigma_factor, parity.file_sigma_factor) == (None, None)
    assert (parity.float_sign_error_rate, parity.file_sign_error_rate) == (None, None)
    assert losses(parity) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"ratio": 1.05}, None),
        ({"ratio": 1.06}, "1.060 times the float network's error"),
        ({"file_sign_error_rate": 0.0149}, None),
        ({"file_sign_error_rate": 0.0151}, "1.51% wrong signs against 1.00%"),
        ({"file_sigma_factor": 0.81}, None),
        ({"file_sigma_factor": 0.79}, "honesty changed 0.790 times"),
        ({"file_sigma_factor": 1.26}, "honesty changed 1.260 times"),
    ],
)
def test_limits_of_loss(changes: dict[str, Any], said: str | None) -> None:
    parity = {
        "n": 4,
        "float_mae_um": 10.0,
        "file_mae_um": 10.0,
        "ratio": 1.0,
        "mean_abs_difference_um": 0.0,
        "float_sign_error_rate": 0.01,
        "file_sign_error_rate": 0.01,
        "float_sigma_factor": 1.0,
        "file_sigma_factor": 1.0,
    }
    found = losses(Parity.model_validate(parity | changes))
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_two_perfect_networks_are_at_par() -> None:
    truth = np.array([1.0, 2.0])
    perfect = Predicted(truth)
    assert measure_parity(truth, perfect, perfect, 1.0).ratio == 1
    assert measure_parity(truth, perfect, Predicted(truth + 1), 1.0).ratio > 1e300


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs samples"):
        measure_parity(np.empty(0), Predicted(np.empty(0)), Predicted(np.empty(0)), 1.0)
    with pytest.raises(ValueError, match="no numbers"):
        measure_parity(np.zeros(1), Predicted(np.full(1, np.nan)), Predicted(np.zeros(1)), 1.0)


def test_every_image_needs_its_offset() -> None:
    with pytest.raises(ValueError, match="2 images and 1 offsets"):
        Samples(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(1))

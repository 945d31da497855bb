"""Parity figures."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the export extra")

from export.parity import Samples, measure_parity


def test_figures_by_hand() -> None:
    parity = measure_parity(
        np.array([0.0, 100.0, -100.0, 50.0]),
        np.array([10.0, 90.0, -100.0, 50.0]),
        np.array([20.0, 90.0, -110.0, 50.0]),
    )
    assert parity.n == 4
    assert parity.float_mae_um == pytest.approx(5)
    assert parity.file_mae_um == pytest.approx(10)
    assert parity.ratio == pytest.approx(2)
    assert parity.mean_abs_difference_um == pytest.approx(5)


def test_two_perfect_networks_are_at_par() -> None:
    truth = np.array([1.0, 2.0])
    assert measure_parity(truth, truth, truth).ratio == 1
    assert measure_parity(truth, truth, truth + 1).ratio > 1e300


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs samples"):
        measure_parity(np.empty(0), np.empty(0), np.empty(0))
    with pytest.raises(ValueError, match="no numbers"):
        measure_parity(np.zeros(1), np.full(1, np.nan), np.zeros(1))


def test_every_image_needs_its_offset() -> None:
    with pytest.raises(ValueError, match="2 images and 1 offsets"):
        Samples(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(1))

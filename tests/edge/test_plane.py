import math

import numpy as np
import pytest

from edge.plane import PlaneFilter


def test_knows_nothing_before_the_first_measurement():
    plane = PlaneFilter(60)
    assert plane.plane_um is None
    assert math.isinf(plane.sigma_um)


def test_says_how_well_it_knows_a_wandering_plane():
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(100):
        plane, truth = PlaneFilter(60), 500.0
        for k in range(60):
            truth += rng.normal(0, 60 * math.sqrt(0.05))
            plane.measure(k * 0.05, truth + rng.normal(0, 60), 60)
        errors.append(plane.plane_um - truth)
    rms = math.sqrt(np.mean(np.square(errors)))
    assert rms < 40
    assert plane.sigma_um == pytest.approx(rms, rel=0.3)


def test_weighs_by_sigma():
    plane = PlaneFilter(0)
    plane.measure(0, 0, 100)
    plane.measure(1, 90, 50)
    assert plane.plane_um == pytest.approx(72)


def test_one_outlier_is_set_aside():
    plane = PlaneFilter(10)
    for k in range(10):
        plane.measure(k * 0.05, 100, 20)
    assert plane.measure(0.5, 1500, 20) is False
    assert plane.plane_um == pytest.approx(100)


def test_agreeing_outliers_are_a_new_plane():
    plane = PlaneFilter(10)
    for k in range(10):
        plane.measure(k * 0.05, 100, 20)
    taken = [plane.measure(0.5 + k * 0.05, 800 + k, 20) for k in range(3)]
    assert taken == [False, False, True]
    assert plane.plane_um == pytest.approx(801)


def test_disagreeing_outliers_are_not():
    plane = PlaneFilter(10)
    for k in range(10):
        plane.measure(k * 0.05, 100, 20)
    for k, nonsense in enumerate((900, -900, 500, -300, 1400)):
        assert plane.measure(0.5 + k * 0.05, nonsense, 20) is False
    assert plane.plane_um == pytest.approx(100)

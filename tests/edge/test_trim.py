"""The trim alone, shown focus curves of its own."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from edge.trim import FRAMES_PER_PLACE, PLACES, ContrastTrim

DOF_UM = 220.0
HALF_UM = 55.0


def compare(
    trim: ContrastTrim,
    curve: Callable[[float, float], float],
    now: float,
    *,
    network_um: float = 0.0,
) -> float:
    """Carry out one comparison as the controller would; return the time at its end."""
    trim.begin(network_um, network_um + trim.offset_um, now)
    while trim.target_um is not None:
        now += 0.05
        target = trim.target_um
        # A frame that was under way when the lens was told to move must not count.
        trim.record(now - 1.0, target, 1e9, now)
        trim.record(now, target, curve(now, target), now)
    return now


def parabola(vertex_um: float, width_dof: float = 1.4) -> Callable[[float, float], float]:
    return lambda t, lens_um: 40 * math.exp(-0.5 * ((lens_um - vertex_um) / (width_dof * DOF_UM)) ** 2)


@pytest.mark.parametrize("vertex_um", [-120.0, -30.0, 0.0, 90.0])
@pytest.mark.parametrize("width_dof", [1.0, 1.4, 2.0])
def test_finds_the_vertex_of_a_focus_curve(vertex_um, width_dof):
    trim, now = ContrastTrim(DOF_UM, HALF_UM, 10.0), 0.0
    assert trim.offset_um == 0
    offsets_um = [0.0]
    for _ in range(16):
        now = compare(trim, parabola(vertex_um + 700, width_dof), now, network_um=700)
        offsets_um.append(trim.offset_um)
    # One comparison says little, the less the flatter the curve; each brings the trim nearer.
    misses_um = np.abs(np.array(offsets_um) - vertex_um)
    assert misses_um[1] > 0.3 * abs(vertex_um)
    assert (np.diff(misses_um) <= 1e-6).all()
    assert misses_um[-1] <= (0.5 if width_dof > 1.4 else 0.25) * abs(vertex_um) + 1e-6


def test_a_worm_that_changes_its_contrast_does_not_mislead():
    trim, now, rng = ContrastTrim(DOF_UM, HALF_UM, 10.0), 0.0, np.random.default_rng(4)
    vertex_um = 60.0
    curve = parabola(vertex_um)

    def bending(t, lens_um):
        return curve(t, lens_um) * math.exp(0.2 * math.sin(2 * math.pi * t / 25) + rng.normal(0, 0.03))

    for _ in range(9):
        now = compare(trim, bending, now + 5)
    assert trim.offset_um == pytest.approx(vertex_um, abs=25)


def test_a_specimen_that_is_faintest_in_focus_is_not_trimmed():
    trim, now = ContrastTrim(DOF_UM, HALF_UM, 10.0), 0.0
    for _ in range(8):
        now = compare(trim, lambda t, x: 1 / parabola(60.0, 1.0)(t, x), now)
    assert trim.offset_um == 0


@pytest.mark.parametrize(
    "disturbed",
    [lambda t, x: 3.0 if x > 60 else 40.0, lambda t, x: 5.0 if 10.1 < t < 10.2 else 40.0],
    ids=["another worm on one side", "one frame"],
)
def test_a_comparison_that_saw_something_else_happen_is_left_out(disturbed):
    trim = ContrastTrim(DOF_UM, HALF_UM, 10.0)
    compare(trim, parabola(80.0), 0.0)
    before = trim.offset_um
    assert 5 < before < 80
    compare(trim, disturbed, 10.0)
    assert trim.offset_um == before


def test_where_contrast_changes_more_than_by_focus_a_comparison_counts_less():
    def trimmed_um(change: float) -> float:
        trim = ContrastTrim(DOF_UM, HALF_UM, 10.0)
        compare(trim, lambda t, x: 40.0 * math.exp(change * x / (2 * HALF_UM)), 0.0)
        return trim.offset_um

    small_um, large_um = trimmed_um(0.15), trimmed_um(0.6)
    assert 0 < large_um < small_um


def test_a_dark_window_ends_a_comparison():
    trim = ContrastTrim(DOF_UM, HALF_UM, 10.0)
    trim.begin(0.0, 0.0, 1.0)
    trim.record(1.1, 0.0, -0.2, 1.2)
    assert not trim.comparing
    assert trim.offset_um == 0


def test_is_due_often_at_first_then_seldom_and_never_if_told_so():
    trim, now = ContrastTrim(DOF_UM, HALF_UM, 10.0), 0.0
    assert trim.due(0.0)
    for again_soon in (True, True, False):
        now = compare(trim, parabola(10.0), now)
        assert not trim.due(now + 0.9)
        now += 1.1
        assert trim.due(now) is again_soon
    assert trim.due(now + 9)
    assert not ContrastTrim(DOF_UM, HALF_UM, 0.0).due(1e6)


def test_a_comparison_that_gave_nothing_is_tried_again_soon():
    trim, now = ContrastTrim(DOF_UM, HALF_UM, 10.0), 0.0
    for _ in range(3):
        now = compare(trim, parabola(10.0), now + 1)
    assert not trim.due(now + 5)
    now = compare(trim, lambda t, x: 3.0 if x > 100 else 40.0, now + 10, network_um=80)
    assert trim.due(now + 1)


def test_looks_to_both_sides_and_comes_back():
    trim = ContrastTrim(DOF_UM, HALF_UM, 10.0)
    trim.begin(100.0, 90.0, 0.0)
    seen = []
    while trim.target_um is not None:
        seen.append(trim.target_um)
        trim.record(10.0 + len(seen), trim.target_um, 5.0, 10.0 + len(seen))
    assert seen == [90 + HALF_UM * place for place in PLACES for _ in range(FRAMES_PER_PLACE)]

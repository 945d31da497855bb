import numpy as np
import pytest

from calibration.axis.settle import settled_after

T = np.linspace(0.001, 0.3, 150)


def test_the_time_is_bracketed_by_the_frames_about_it() -> None:
    low, high = settled_after(T, T < 0.0805)
    assert low < 0.0805 < high
    assert high - low == pytest.approx(T[1] - T[0])


def test_a_frame_that_happened_to_stand_in_the_middle_of_a_shake_does_not_end_it() -> None:
    moved = T < 0.0805
    moved[[5, 20, 33]] = False
    assert settled_after(T, moved) == settled_after(T, T < 0.0805)


def test_a_door_that_slams_much_later_does_not_prolong_it() -> None:
    moved = T < 0.0805
    moved[120] = True
    assert settled_after(T, moved) == settled_after(T, T < 0.0805)


def test_the_order_of_the_frames_does_not_matter() -> None:
    shuffled = np.random.default_rng(0).permutation(len(T))
    assert settled_after(T[shuffled], (T < 0.05)[shuffled]) == settled_after(T, T < 0.05)


def test_a_lens_that_never_shakes_settles_at_once() -> None:
    assert settled_after(T, np.zeros(len(T), bool)) == (0.0, 0.0)

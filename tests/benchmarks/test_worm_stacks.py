import numpy as np
import pytest
from measures import humps, width
from methods.worm_stacks import out_of_range, tilted, tilted_focus

from calibration.stack import ZStack
from hw.config import load_rig


def numbered(planes=11, columns=30):
    """Every plane is filled with its own number; focus at position 0."""
    images = np.arange(planes, dtype=np.uint8)[:, None, None] * np.ones((1, 4, columns), np.uint8)
    return ZStack(images, 10.0 * (np.arange(planes) - planes // 2), 1.0)


def test_a_tilted_stack_shows_each_strip_at_its_own_depth():
    stack = tilted(numbered(), 2)
    assert stack.images.shape == (9, 4, 30)
    assert stack.positions_um[[0, -1]].tolist() == [-40, 40]
    np.testing.assert_array_equal(
        stack.images[:, 0, 15], np.arange(1, 10), "the middle strip is where it was"
    )
    np.testing.assert_array_equal(stack.images[:, 0, 0], np.arange(0, 9))
    np.testing.assert_array_equal(stack.images[:, 0, 29], np.arange(2, 11))


@pytest.mark.parametrize(("past", "left"), [(15, [20, 30, 40, 50]), (-40, [-50, -40])])
def test_out_of_range_leaves_the_planes_of_one_side(past, left):
    assert out_of_range(numbered(), past).positions_um.tolist() == left


@pytest.mark.parametrize(
    ("curve", "count"),
    [
        ([0, 1, 3, 1, 0], 1),
        ([0, 1, 2, 3], 1),
        ([3, 2, 1], 1),
        ([3, 0, 3], 2),
        ([0, 3, 2.9, 3, 0], 1),
        ([0, 3, 1, 3, 0, 2], 3),
    ],
)
def test_humps_are_what_stands_out(curve, count):
    assert humps(np.array(curve, float)) == count


def test_width_at_half_maximum():
    z = np.arange(7.0)
    assert width(z, np.array([0, 0, 1, 2, 1, 0, 0.0])) == pytest.approx(2)
    assert width(z, np.array([0, 0, 0, 4, 4, 0, 0.0])) == pytest.approx(2)
    assert np.isnan(width(z, np.array([0, 1, 2, 3, 4, 5, 6.0])))


def test_a_tilted_worm_is_in_focus_where_its_noise_free_curve_peaks(tmp_path):
    rig = load_rig("worm_tracker_sim")
    step_um = rig.optics.dof_um / 3
    found = tilted_focus(rig, 6042, step_um, (0, 6), tmp_path)
    # The flat worm's focus was found by another fit, on planes elsewhere.
    assert found[0] == pytest.approx(0, abs=0.02 * rig.optics.dof_um)
    assert abs(found[6]) > 0.1 * rig.optics.dof_um, "its most contrasted part is not in the window's middle"
    assert tilted_focus(rig, 6042, step_um, (0, 6), tmp_path) == found

import math

import cv2
import numpy as np
import pytest

from hw.errors import StackError
from hw.plane_folder import read_plane_folder


def write_planes(folder, *names, shape=(6, 5), dtype=np.uint8):
    for value, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), np.full(shape, value, dtype))


def test_positions_in_names_with_their_sign(tmp_path):
    names = ("z+0450um.png", "z-0250um.png", "z+0000um.png", "Mask_crop.png", "Reference_2.png")
    write_planes(tmp_path, *names, dtype=np.uint16)
    (tmp_path / "README.md").touch()
    stack = read_plane_folder(tmp_path)
    np.testing.assert_array_equal(stack.positions_um, [-250, 0, 450])
    np.testing.assert_array_equal(stack.images[:, 0, 0], [1, 2, 0])
    assert stack.images.dtype == np.uint16
    assert stack.specimen == tmp_path.name


def test_decimals_beside_another_number(tmp_path):
    write_planes(tmp_path, "idx0063_defocus-0.60um.png", "idx0049_defocus+0.10um.png")
    np.testing.assert_array_equal(read_plane_folder(tmp_path).positions_um, [-0.6, 0.1])


def test_order_alone_needs_a_spacing(tmp_path):
    write_planes(tmp_path, "lapse_10.png", "lapse_2.png", "lapse_1.png")
    with pytest.raises(StackError, match="positions are unknown; give --spacing-um"):
        read_plane_folder(tmp_path)
    for nonsense in (0.0, -1.0, math.nan):
        with pytest.raises(StackError, match="--spacing-um above 0"):
            read_plane_folder(tmp_path, nonsense)
    stack = read_plane_folder(tmp_path, 5.0)
    np.testing.assert_array_equal(stack.positions_um, [5, 10, 50])
    np.testing.assert_array_equal(stack.images[:, 0, 0], [2, 1, 0])
    assert "as given" in stack.notes["positions_from"]


def test_colour_is_rgb(tmp_path):
    bgr = np.zeros((4, 4, 3), np.uint8)
    bgr[..., 2] = 200
    cv2.imwrite(str(tmp_path / "z1um.png"), bgr)
    np.testing.assert_array_equal(read_plane_folder(tmp_path).images[0, 0, 0], [200, 0, 0])


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("z+1um.png", "z1.0um.png"), "same position"),
        (("a_z+1um.png", "b_z+2um.png"), "not of one stack"),
        (("a_1.png", "b_2.png"), "not of one stack"),
        (("z1um_defocus2um.png",), "more than one position"),
        (("mask.png",), "no image named by its position"),
        ((), "no image named by its position"),
    ],
)
def test_what_is_ambiguous_is_refused(tmp_path, names, reason):
    write_planes(tmp_path, *names)
    with pytest.raises(StackError, match=reason):
        read_plane_folder(tmp_path, None)


def test_spacing_beside_positions_is_refused(tmp_path):
    write_planes(tmp_path, "z1um.png", "z2um.png")
    with pytest.raises(StackError, match="leave out --spacing-um"):
        read_plane_folder(tmp_path, 1.0)


def test_planes_of_two_sizes(tmp_path):
    write_planes(tmp_path, "z1um.png")
    write_planes(tmp_path, "z2um.png", shape=(7, 5))
    with pytest.raises(StackError, match=r"differs from z1um\.png"):
        read_plane_folder(tmp_path)


def test_damaged_plane(tmp_path):
    write_planes(tmp_path, "z1um.png")
    (tmp_path / "z2um.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(StackError, match=r"z2um\.png: damaged"):
        read_plane_folder(tmp_path)

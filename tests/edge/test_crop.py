import numpy as np
import pytest

from edge.crop import cut_window
from hw.frame import Box

FRAME = np.arange(40 * 60 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 60, 3)


def test_window_around_a_point_is_a_view_of_the_frame() -> None:
    window, box = cut_window(FRAME, (30.0, 20.0), (20, 10))
    assert box == Box(20, 15, 20, 10)
    assert window.base is not None
    assert np.shares_memory(window, FRAME)
    np.testing.assert_array_equal(window, FRAME[15:25, 20:40])


@pytest.mark.parametrize(
    ("centre", "corner"),
    [((0.0, 0.0), (0, 0)), ((59.0, 39.0), (40, 30)), ((-100.0, 20.0), (0, 15)), ((30.0, 500.0), (20, 30))],
)
def test_window_is_shifted_to_stay_inside(centre: tuple[float, float], corner: tuple[int, int]) -> None:
    window, box = cut_window(FRAME, centre, (20, 10))
    assert window.shape == (10, 20, 3)
    assert (box.x, box.y) == corner


def test_whole_frame_and_grey_frames() -> None:
    window, box = cut_window(FRAME[..., 0], (3.0, 3.0), (60, 40))
    assert box == Box(0, 0, 60, 40)
    np.testing.assert_array_equal(window, FRAME[..., 0])


@pytest.mark.parametrize("size", [(61, 10), (10, 41), (0, 10)])
def test_impossible_window_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be cut from a frame of 60x40 px"):
        cut_window(FRAME, (30.0, 20.0), size)

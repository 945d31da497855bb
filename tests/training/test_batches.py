import dataclasses

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from calibration.measure import focus_measure
from edge.bundle import InputSpec
from training.ahead import Ahead
from training.batches import FixedBatches, ShuffledBatches, rotated, turned
from training.labelled import collect
from training.prepared import prepare
from training.recipe import ViewsConfig

SPEC = InputSpec(width_px=32, height_px=32, um_per_px=3.1)


@pytest.fixture(scope="module")
def data(stacks, tmp_path_factory):
    return prepare(collect([stacks], print), SPEC, tmp_path_factory.mktemp("cache"), margin_px=4, full=True)


def sharpness(image):
    # In both directions together: F5 looks along one of them.
    measure = focus_measure("vollath_f5")
    return measure(np.ascontiguousarray(image)) + measure(np.ascontiguousarray(image.swapaxes(0, 1)))


def shuffled(data, epoch, seed=0, samples=64, rows=None):
    rows = np.arange(len(data.offsets_um)) if rows is None else rows
    return ShuffledBatches(data, rows, 16, samples, ViewsConfig(window=1, full=0.5), seed, epoch)


def test_orientations_are_all_different_and_move_pixels_only(data):
    image = data.centred(0)
    seen = {turned(image, turn).tobytes() for turn in range(8)}
    assert len(seen) == 8
    for turn in range(8):
        moved = turned(image, turn)
        assert np.array_equal(np.sort(moved.ravel()), np.sort(image.ravel()))
        assert sharpness(moved) == pytest.approx(sharpness(image), rel=1e-6)


def test_every_augmented_image_is_a_turned_window_of_a_plane_with_its_label(data):
    stored = {}
    for row, offset_um in enumerate(data.offsets_um):
        stored.setdefault(float(offset_um), []).append(row)
    shifted = 0
    for images, offsets_um in shuffled(data, 0):
        for image, offset_um in zip(images.permute(0, 2, 3, 1).numpy(), offsets_um.numpy(), strict=True):
            found = [
                (top, left)
                for row in stored[float(offset_um)]
                for down, right in [data.margins[row].astype(int)]
                for top in range(2 * down + 1)
                for left in range(2 * right + 1)
                for turn in range(8)
                if np.array_equal(turned(data.images[row, top : top + 32, left : left + 32], turn), image)
            ]
            assert found
            shifted += found[0] not in {(4, 4), (0, 0)}
    assert shifted > 20


def test_a_pass_shows_each_window_once_and_half_as_many_frames(data):
    windows = np.flatnonzero(data.views == 0)
    batches = shuffled(data, 0, samples=len(windows) * 3 // 2)
    order = batches._order()
    assert sorted(order[data.views[order] == 0]) == windows.tolist()
    assert (data.views[order] == 1).sum() == len(windows) // 2


def test_epochs_join_without_gap_and_repeat_for_the_same_seed(data):
    long = shuffled(data, 0, samples=320)._order()
    short = np.concatenate([shuffled(data, epoch, samples=64)._order() for epoch in range(5)])
    assert np.array_equal(long, short)
    first, again = (list(shuffled(data, 3)) for _ in range(2))
    assert all((a[0] == b[0]).all() and (a[1] == b[1]).all() for a, b in zip(first, again, strict=True))
    other = list(shuffled(data, 3, seed=1))
    assert not all((a[1] == b[1]).all() for a, b in zip(first, other, strict=True))


def test_fixed_batches_are_not_augmented(data):
    rows = np.array([5, 3, 8])
    (images, offsets_um), (rest, _) = FixedBatches(data, rows, 2)
    assert np.array_equal(images[0].permute(1, 2, 0).numpy(), data.centred(5))
    assert offsets_um.tolist() == data.offsets_um[[5, 3]].tolist()
    assert rest.shape == (1, 3, 32, 32)


@pytest.mark.parametrize(("orientations", "turns"), [(1, {0}), (4, {0, 1, 2, 3}), (8, set(range(8)))])
def test_a_recipe_says_in_which_orientations_windows_are_shown(data, orientations, turns):
    rows = np.flatnonzero(data.views == 1)[:1]
    stored = data.centred(int(rows[0]))
    # One whole frame, which is not shifted, again and again.
    batches = ShuffledBatches(data, rows, 16, 128, ViewsConfig(window=1, full=1), 0, 0, orientations)
    batches.__dict__["_order"] = lambda: np.repeat(rows, 128)
    known = {turned(stored, turn).tobytes(): turn for turn in range(8)}
    seen = {
        known[np.ascontiguousarray(image).tobytes()]
        for images, _ in batches
        for image in images.permute(0, 2, 3, 1).numpy()
    }
    assert seen == turns


def test_a_pass_without_windows_shows_each_frame_once(data):
    frames = np.flatnonzero(data.views == 1)
    batches = ShuffledBatches(
        data, np.arange(len(data.views)), 2, 2 * (len(frames) // 2), ViewsConfig(window=0, full=1), 0, 0
    )
    order = batches._order()
    assert len(set(order.tolist())) == len(order)
    assert set(order.tolist()) <= set(frames.tolist())


def test_nothing_to_show_is_refused():
    with pytest.raises(ValidationError, match="both 0"):
        ViewsConfig(window=0, full=0)


def test_rotation_turns_about_the_middle():
    image = np.zeros((33, 33, 3), np.uint8)
    image[16, 26] = 200
    turned_left = rotated(image, 90)
    assert np.unravel_index(turned_left[..., 0].argmax(), (33, 33)) == (6, 16)
    assert np.array_equal(rotated(image, 0), image)
    bright = np.full((33, 33, 3), 90, np.uint8)
    assert np.array_equal(rotated(bright, 30), bright)


def test_a_recipe_says_how_far_windows_are_rotated(data):
    rows = np.flatnonzero(data.views == 1)[:1]
    stored = data.centred(int(rows[0]))
    still = ShuffledBatches(data, rows, 16, 16, ViewsConfig(window=0, full=1), 0, 0, 1)
    batches = ShuffledBatches(data, rows, 16, 16, ViewsConfig(window=0, full=1), 0, 0, 1, 45.0)
    for each in (still, batches):
        each.__dict__["_order"] = lambda: np.repeat(rows, 16)
    [(same, _)], [(images, _)] = still, batches
    assert all(np.array_equal(image.permute(1, 2, 0).numpy(), stored) for image in same)
    # The best match over angles tells how far each was turned.
    angles = np.arange(-60, 61, 3)
    turns = [rotated(stored, float(angle)).astype(int) for angle in angles]
    found = [
        angles[np.argmin([np.abs(turn - image.permute(1, 2, 0).numpy()).sum() for turn in turns])]
        for image in images
    ]
    assert -46.5 <= min(found) < -20
    assert 20 < max(found) <= 46.5


def test_bits_of_an_orientation_flip_rows_flip_columns_and_swap_them(data):
    image = data.images[3, 2:30, 1:33]
    for turn in range(8):
        plain = image[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
        assert np.array_equal(turned(image, turn), plain.swapaxes(0, 1) if turn & 4 else plain)


def test_batches_made_ahead_are_the_same_in_the_same_order(data):
    batches = shuffled(data, 2, samples=160)
    ahead = Ahead(batches)
    assert len(ahead) == len(batches) == 10
    for (images, offsets_um), (theirs, their_offsets_um) in zip(ahead, batches, strict=True):
        assert torch.equal(images, theirs)
        assert torch.equal(offsets_um, their_offsets_um)


def test_what_goes_wrong_while_loading_ahead_is_raised(data):
    short = dataclasses.replace(data, offsets_um=data.offsets_um[:100])
    with pytest.raises(IndexError):
        list(Ahead(shuffled(short, 0, samples=320, rows=np.arange(len(data.offsets_um)))))

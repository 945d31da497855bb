import math

import cv2
import numpy as np
import pytest

from calibration.label import read_label
from calibration.stack import ZStack, read_stack, write_stack
from edge.bundle import InputSpec
from hw.errors import StackError
from training.labelled import LabelledStack, collect, fingerprint
from training.prepared import prepare
from training.views import full_view, native_window, rgb_planes, window_view

SPEC = InputSpec(width_px=32, height_px=32, um_per_px=3.1)


def test_labels_and_pixels_are_those_of_the_stacks(stacks, tmp_path):
    labelled = collect([stacks], print)
    data = prepare(labelled, SPEC, tmp_path, margin_px=4)
    assert data.images.shape == (140, 40, 40, 3)
    stack, label = read_stack(labelled[3].path), read_label(labelled[3].path)
    rows = np.flatnonzero(data.specimen == data.specimens.index(stack.specimen))
    assert data.offsets_um[rows] == pytest.approx(label.focus_um - stack.positions_um, abs=1e-3)
    assert np.array_equal(data.images[rows], stack.images[:, 4:44, 4:44])
    assert np.array_equal(data.centred(rows[2]), stack.images[2, 8:40, 8:40])


def test_second_call_decodes_nothing_and_other_data_does(stacks, tmp_path, fake_stack):
    calls = []
    labelled = collect([stacks], print)
    for _ in range(2):
        prepare(labelled[:3], SPEC, tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    changed = [LabelledStack(labelled[0].path, labelled[0].focus_um + 1), *labelled[1:3]]
    assert prepare(changed, SPEC, tmp_path).offsets_um[0] == pytest.approx(
        prepare(labelled[:3], SPEC, tmp_path).offsets_um[0] + 1, abs=1e-3
    )


def test_an_interrupted_decoding_is_started_again(stacks, tmp_path):
    labelled = collect([stacks], print)[:4]

    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(labelled, SPEC, tmp_path, progress=interrupt)
    assert len(prepare(labelled, SPEC, tmp_path).offsets_um) == 28


@pytest.mark.parametrize("name", ["images.u8", "index.npz"])
def test_a_truncated_cache_is_decoded_again(stacks, tmp_path, name):
    labelled = collect([stacks], print)[:3]
    images = prepare(labelled, SPEC, tmp_path).images.copy()
    (cached,) = tmp_path.glob(f"*/{name}")
    cached.write_bytes(cached.read_bytes()[:-100])
    calls = []
    again = prepare(labelled, SPEC, tmp_path, progress=lambda done, total: calls.append(done))
    assert calls == [1, 2, 3]
    assert np.array_equal(again.images, images)


def test_fingerprint_depends_on_labels_and_not_on_order(stacks):
    labelled = collect([stacks], print)
    assert fingerprint(labelled) == fingerprint(labelled[::-1])
    moved = [LabelledStack(labelled[0].path, labelled[0].focus_um + 0.1), *labelled[1:]]
    assert fingerprint(moved) != fingerprint(labelled) != fingerprint(labelled[1:])


def write_unlabelled(path, spreads):
    base = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    planes = np.stack([cv2.GaussianBlur(base, (0, 0), spread) for spread in spreads])
    write_stack(path, ZStack(planes, 50.0 * np.arange(len(planes)), 3.1))


def test_stacks_without_label_are_labelled_and_it_is_said(tmp_path):
    write_unlabelled(tmp_path / "a.ome.tif", [1 + abs(plane - 4) / 2 for plane in range(9)])
    write_unlabelled(tmp_path / "b.ome.tif", [1 + plane / 2 for plane in range(9)])
    lines = []
    (labelled,) = collect([tmp_path], lines.append)
    assert labelled.path.name == "a.ome.tif"
    assert labelled.focus_um == pytest.approx(200, abs=5)
    assert "left out" in lines[0]
    assert "b.ome.tif" in lines[0]
    assert "1 stacks had no label" in lines[1]
    assert read_label(labelled.path) is None


def test_nothing_to_learn_from_is_an_error(tmp_path):
    write_unlabelled(tmp_path / "b.ome.tif", [1 + plane / 2 for plane in range(9)])
    with pytest.raises(StackError, match="run 'wormfocus label'"):
        collect([tmp_path], print)


def test_a_stack_without_a_name_is_its_own_specimen(tmp_path, fake_stack):
    fake_stack(tmp_path, 7, specimen="")
    data = prepare(collect([tmp_path], print), SPEC, tmp_path / "cache")
    assert data.specimens == ["stack_007"]


def test_window_has_the_field_of_the_input_at_any_pixel_size():
    images = np.zeros((1, 100, 120, 3), np.uint8)
    images[:, 18:82, 28:92] = 200
    spec = SPEC.model_copy(update={"um_per_px": 6.2})
    assert native_window(images, 3.1, spec).shape == (1, 64, 64, 3)
    window, margins = window_view(images, 3.1, spec, margin_px=5)
    assert margins == (5, 5)
    assert window.shape == (1, 42, 42, 3)
    assert (window[0, 5:37, 5:37] == 200).all()
    assert (window[0, :5] == 0).all()


def test_margin_is_as_large_as_the_stack_has_room_for():
    window, margins = window_view(np.zeros((2, 32, 40, 3), np.uint8), 3.1, SPEC, margin_px=6)
    assert margins == (0, 4)
    assert window.shape == (2, 32, 40, 3)


def test_full_view_keeps_the_shape_of_things():
    images = np.zeros((1, 64, 96, 3), np.uint8)
    images[:, :, 16:80] = 100
    assert (full_view(images, SPEC) == 100).all()


@pytest.mark.parametrize(
    ("um_per_px", "reason"), [(3.0, "less than the network's field"), (math.nan, "no pixel size")]
)
def test_a_stack_that_cannot_show_the_field_is_refused(um_per_px, reason):
    with pytest.raises(StackError, match=reason):
        native_window(np.zeros((1, 32, 32, 3), np.uint8), um_per_px, SPEC)


def test_grey_and_deep_stacks_become_rgb():
    deep = np.array([[[0, 1000], [2000, 4000]]], np.uint16)
    planes = rgb_planes(ZStack(deep, np.zeros(1)))
    assert planes.shape == (1, 2, 2, 3)
    assert planes[0, :, :, 1].tolist() == [[0, 64], [128, 255]]

from dataclasses import replace

import cv2
import numpy as np
import pytest

from calibration.examine import Plan
from calibration.label import PatchLabel, label_path, label_stack, label_stacks, read_label, write_label
from calibration.label_picture import draw_labels
from calibration.stack import ZStack, stacks_at, write_stack
from hw.errors import ConfigError, StackError
from hw.frame import Box

FOCUS_UM = 23.0


def blurred_stack(focus_um=FOCUS_UM, planes=25, dtype=np.uint8):
    """Dots behind a Gaussian blur that grows with the distance to focus."""
    rng = np.random.default_rng(3)
    sharp = np.full((96, 96, 3), 40.0, np.float32)
    for y, x in rng.integers(10, 86, (40, 2)):
        sharp[y - 2 : y + 3, x - 2 : x + 3] = 200
    positions = np.linspace(-300, 300, planes)
    images = [cv2.GaussianBlur(sharp, (0, 0), 0.8 + abs(z - focus_um) / 40) for z in positions]
    noisy = np.stack(images) + rng.normal(0, 2, (planes, 96, 96, 3))
    top = np.iinfo(dtype).max
    return ZStack(np.clip(noisy / 255 * top, 0, top).astype(dtype), positions, 1.55)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_focus_of_a_stack_between_its_planes(dtype):
    label = label_stack(blurred_stack(dtype=dtype))
    assert label.focus_um == pytest.approx(FOCUS_UM, abs=5), "a fifth of the planes' 25 um"
    assert 0 < label.sigma_um < 12.5
    assert label.provenance["measure"] == "vollath_f5"
    assert {"planes", "settings", "version", "date"} < set(label.provenance)


def test_offset_points_from_a_plane_to_focus():
    stack = blurred_stack()
    offsets = label_stack(stack).focus_um - stack.positions_um
    assert offsets[0] > 0 > offsets[-1]
    assert abs(offsets).argmin() == abs(stack.positions_um - FOCUS_UM).argmin()


def test_unknown_measure():
    with pytest.raises(ConfigError, match="unknown focus measure"):
        label_stack(blurred_stack(), "sharpness")


def test_patches_and_their_reasons_come_back_from_the_sidecar(tmp_path):
    write_stack(tmp_path / "a.ome.tif", blurred_stack())
    label = next(label_stacks([tmp_path / "a.ome.tif"], plan=Plan(region="whole", patches=(2, 3)))).label
    assert len(label.patches) == 6
    assert all(
        patch.focus_um == pytest.approx(FOCUS_UM, abs=25) for patch in label.patches if not patch.reason
    )
    assert label.patches[1].box == Box(32, 0, 32, 48)
    empty = PatchLabel(Box(0, 0, 4, 4), None, None, "flat focus curve")
    write_label(tmp_path / "a.ome.tif", replace(label, patches=(*label.patches, empty)))
    assert read_label(tmp_path / "a.ome.tif").patches == (*label.patches, empty)


def test_picture_of_accepted_and_refused(folder, tmp_path):
    results = list(label_stacks(stacks_at(folder), examine_all=True))
    again = list(label_stacks(stacks_at(folder), examine_all=True))
    assert [r.outcome for r in again] == ["kept", "refused", "refused"]
    assert all(r.examination is not None for r in (*results[:2], *again[:2]))
    assert draw_labels(again, tmp_path / "labels.png") == 3
    image = cv2.imread(str(tmp_path / "labels.png"))
    assert image.shape[0] > 500
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 100
    with pytest.raises(StackError, match="cannot be written"):
        draw_labels(again, tmp_path / "nowhere" / "labels.png")


@pytest.fixture
def folder(tmp_path):
    """A stack in focus, one that ends before focus, and a truncated one."""
    write_stack(tmp_path / "a.ome.tif", blurred_stack())
    write_stack(tmp_path / "b.ome.tif", blurred_stack(focus_um=600.0))
    (tmp_path / "c.ome.tif").write_bytes((tmp_path / "a.ome.tif").read_bytes()[:5000])
    return tmp_path


def test_sidecars_for_the_stacks_that_can_be_trusted(folder):
    raw = {p: p.read_bytes() for p in stacks_at(folder)}
    results = {r.path.name: r for r in label_stacks(stacks_at(folder))}
    assert [r.outcome for r in results.values()] == ["labelled", "refused", "refused"]
    assert "end of the range" in results["b.ome.tif"].reason
    assert "truncated" in results["c.ome.tif"].reason
    assert sorted(p.name for p in folder.glob("*.json")) == ["a.label.json"]
    assert read_label(folder / "a.ome.tif") == results["a.ome.tif"].label
    assert read_label(folder / "b.ome.tif") is None
    assert {p: p.read_bytes() for p in raw} == raw, "raw data is never rewritten"


def test_labels_that_are_there_are_kept(folder):
    stack = folder / "a.ome.tif"
    by_hand = label_stack(blurred_stack(focus_um=-50.0))
    write_label(stack, by_hand)
    kept = next(label_stacks([stack]))
    assert (kept.outcome, kept.label) == ("kept", by_hand)
    list(label_stacks([stack], relabel=True, write=False))
    assert read_label(stack) == by_hand
    list(label_stacks([stack], relabel=True))
    assert read_label(stack).focus_um == pytest.approx(FOCUS_UM, abs=5)


def test_sidecar_of_a_folder_of_planes(tmp_path):
    planes = tmp_path / "lapse"
    planes.mkdir()
    for number, image in enumerate(blurred_stack().images):
        cv2.imwrite(str(planes / f"lapse_{number}.png"), image)
    result = next(label_stacks(stacks_at(planes), spacing_um=25.0))
    assert result.label.focus_um == pytest.approx(300 + FOCUS_UM, abs=5)
    assert label_path(planes) == tmp_path / "lapse.label.json"
    assert label_path(planes).exists()
    refused = next(label_stacks([planes], relabel=True))
    assert refused.reason.endswith("give --spacing-um")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"focus_um": 1}', '{"focus_um": "x", "sigma_um": 1, "method": ""}']
)
def test_damaged_sidecar(folder, text):
    label_path(folder / "a.ome.tif").write_text(text)
    with pytest.raises(StackError, match=r"a\.label\.json: damaged"):
        read_label(folder / "a.ome.tif")


def test_nothing_there(tmp_path):
    with pytest.raises(StackError, match="no such file or folder"):
        stacks_at(tmp_path / "nowhere")

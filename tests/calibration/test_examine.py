from dataclasses import replace

import cv2
import numpy as np
import pytest

from calibration.examine import Plan, examine
from calibration.label import label_of, label_stack
from calibration.peak import NoFocusPeak
from calibration.stack import ZStack, read_recording
from calibration.subject import find_subject
from hw.errors import ConfigError, StackError
from hw.frame import Box

POSITIONS = np.linspace(-400, 400, 33)


def texture(seed, height=96, width=96):
    rng = np.random.default_rng(seed)
    sharp = np.full((height, width), 40.0, np.float32)
    for y, x in zip(rng.integers(4, height - 4, 60), rng.integers(4, width - 4, 60), strict=True):
        sharp[y - 2 : y + 3, x - 2 : x + 3] = 180
    return sharp


def through_focus(sharp, focus_um, noise=1.0, notes=None):
    """Blur that grows with the distance to focus, which may differ from column to column."""
    rng = np.random.default_rng(1)
    foci = np.broadcast_to(focus_um, sharp.shape[1:])
    images = []
    for z in POSITIONS:
        image = np.empty_like(sharp)
        for focus in np.unique(foci):
            columns = foci == focus
            blurred = cv2.GaussianBlur(sharp, (0, 0), float(np.hypot(1, (z - focus) / 60)))
            image[:, columns] = blurred[:, columns]
        images.append(image + rng.normal(0, noise, image.shape))
    return ZStack(np.clip(images, 0, 255).astype(np.uint8), POSITIONS, 1.5, notes=notes or {})


def test_all_measures_and_patches_of_a_good_stack():
    found = examine(through_focus(texture(0), 33.0), plan=Plan(region="whole"))
    assert found.reason == ""
    assert found.peak.position == pytest.approx(33, abs=5)
    assert set(found.peaks) == {"vollath_f5", "normalised_variance", "brenner"}
    assert len(found.patches) == 9
    assert [p.box for p in found.patches][:2] == [Box(0, 0, 32, 32), Box(32, 0, 32, 32)]
    foci = [p.peak.position for p in found.patches if p.peak]
    assert len(foci) >= 6
    assert np.median(foci) == pytest.approx(33, abs=10)
    label = label_of(found)
    assert label.provenance["region"] == "0,0,96,96"
    assert label.provenance["criterion"] == "max"
    assert "brenner=" in label.provenance["agreeing"]
    assert len(label.patches) == 9


@pytest.mark.parametrize("dof_um", [None, "60"])
def test_tilt_is_refused_beyond_the_depth_of_field(dof_um):
    notes = {} if dof_um is None else {"dof_um": dof_um}
    ramp = np.repeat(np.linspace(-75, 75, 6), 16)
    with pytest.raises(NoFocusPeak, match="tilted: focus changes by 1"):
        label_stack(through_focus(texture(0), ramp, notes=notes), plan=Plan(region="whole"))
    gentle = through_focus(texture(0), ramp / 6, notes=notes)
    assert label_stack(gentle, plan=Plan(region="whole")).focus_um == pytest.approx(0, abs=10)
    strip = label_stack(through_focus(texture(0), ramp, notes=notes), plan=Plan(region=Box(64, 0, 32, 96)))
    assert strip.focus_um == pytest.approx(60, abs=15), "a smaller region has a focus of its own"


def test_measures_that_disagree_refuse():
    """Fine detail at one plane, coarse shapes at another."""
    fine = texture(0)
    coarse = cv2.GaussianBlur(np.pad(np.full((40, 40), 150.0, np.float32), 28), (0, 0), 3)
    a, b = through_focus(fine * 0.3, -60.0, noise=0.0), through_focus(coarse, 60.0, noise=0.0)
    both = ZStack((a.images + b.images).astype(np.uint8), POSITIONS)
    with pytest.raises(NoFocusPeak, match=r"measures disagree: vollath_f5 peaks at .*by hand"):
        label_stack(both, plan=Plan(region="whole"))
    alone = label_stack(both, plan=Plan(region="whole", witnesses=(), patches=(1, 1), linear=True))
    assert alone.patches == ()
    assert alone.provenance["agreeing"] == ""


def test_a_peak_that_another_tone_curve_moves_is_refused_unless_the_camera_is_linear():
    """Dark things at one plane and bright ones at another: an exponent weighs them anew."""
    dark, bright = (cv2.GaussianBlur(texture(seed), (0, 0), 2) for seed in (0, 1))
    a, b = through_focus(dark, -70.0, noise=0.0), through_focus(bright, 70.0, noise=0.0)
    both = np.concatenate([150 - 0.8 * a.images, 60 + b.images], axis=2)
    stack = ZStack(np.clip(both, 0, 255).astype(np.uint8), POSITIONS)
    plan = Plan("max", "whole", patches=(1, 1), witnesses=())
    found = examine(stack, plan=plan)
    assert found.reason.startswith("flat: the peak at ")
    assert "give --linear if grey" in found.reason
    assert found.tone_shift > 0.012 * found.peak.width
    assert found.peak.sigma >= found.tone_shift
    for linear, notes in ((True, {}), (None, {"linear": "yes"})):
        told = examine(replace(stack, notes=notes), plan=replace(plan, linear=linear))
        assert told.reason == ""
        assert told.tone_shift is None
        assert told.peak.position == found.peak.position
        assert told.peak.sigma < found.peak.sigma
    asked = examine(replace(stack, notes={"linear": "yes"}), plan=replace(plan, linear=False))
    assert asked.reason == found.reason
    sharp = label_of(examine(through_focus(texture(0), 33.0), plan=plan))
    assert 0 <= float(sharp.provenance["tone_shift_um"]) < 2


def test_minimum_of_a_spot_of_light():
    rows = np.arange(96)[:, None] - 48.0
    images = []
    for z in POSITIONS:
        width = 4 * np.hypot(1, (z - 21) / 80)
        images.append(np.broadcast_to(200 * 4 / width * np.exp(-0.5 * (rows / width) ** 2) + 5, (96, 40)))
    stack = ZStack(np.array(images).round().astype(np.uint8), POSITIONS)
    label = label_stack(stack, "power_spectrum_std")
    assert label.focus_um == pytest.approx(21, abs=5)
    assert label.provenance["criterion"] == "min"
    assert label.method == "focus measure minimum"


def test_fine_detail_is_no_witness_of_a_minimum():
    """Texture that fades in focus, as a phase object's does."""
    rng = np.random.default_rng(4)
    coarse, fine = (cv2.GaussianBlur(rng.normal(0, 1, (64, 64)), (0, 0), s) * s * 20 for s in (3, 0.8))
    fade = 1 - np.exp(-(((POSITIONS - 20) / 120) ** 2))
    images = [
        120 + coarse * a + fine * np.exp(-(((z - 200) / 150) ** 2))
        for a, z in zip(fade, POSITIONS, strict=True)
    ]
    stack = ZStack(np.clip(images, 0, 255).astype(np.uint8), POSITIONS)
    plan = Plan("min", "whole", patches=(1, 1))
    found = examine(stack, plan=plan)
    assert "brenner" in found.curves
    assert set(found.peaks) == {"vollath_f5", "normalised_variance"}
    asked_for = examine(stack, plan=Plan("min", "whole", patches=(1, 1), witnesses=("brenner",)))
    assert "brenner" in asked_for.peaks, "a witness that is asked for is heard"


def test_region_outside_and_unknown_witness():
    stack = through_focus(texture(0), 0.0)
    with pytest.raises(StackError, match=r"90,0,10,10 .* not inside planes of 96 x 96"):
        examine(stack, plan=Plan(region=Box(90, 0, 10, 10)))
    with pytest.raises(ConfigError, match="unknown focus measure"):
        examine(stack, plan=Plan(witnesses=("beauty",)))


def ribbon(grains):
    """A bright field with a long dark body near its middle, and dark grains elsewhere."""
    image = np.full((200, 200), 180.0, np.float32)
    cv2.ellipse(image, (95, 105), (60, 12), 30, 0, 360, 90, -1)
    rng = np.random.default_rng(0)
    for x, y in rng.integers(0, 200, (grains, 2)):
        cv2.circle(image, (int(x), int(y)), 2, 20, -1)
    return cv2.GaussianBlur(image, (0, 0), 1)


@pytest.mark.parametrize("grains", [0, 12])
def test_subject_is_found_beside_dust(grains):
    rows, columns = np.nonzero(ribbon(0) < 140)
    stack = ZStack(ribbon(grains)[None].astype(np.uint8), np.zeros(1))
    box = find_subject(stack, [1.0])
    assert box.x <= columns.min()
    assert box.y <= rows.min()
    assert box.x + box.width > columns.max()
    assert box.y + box.height > rows.max()
    assert box.width * box.height < 0.75 * 200 * 200


def test_the_subject_in_the_middle_need_not_be_the_largest_thing():
    """A body in the middle, and one along the border of which more is to be seen."""
    image = np.full((200, 200), 180.0, np.float32)
    cv2.ellipse(image, (105, 95), (50, 11), 20, 0, 360, 90, -1)
    cv2.rectangle(image, (40, 174), (199, 190), 90, -1)
    stack = ZStack(cv2.GaussianBlur(image, (0, 0), 1)[None].astype(np.uint8), np.zeros(1))
    box = find_subject(stack, [1.0])
    assert box is not None
    assert box.y < 70
    assert box.y + box.height < 160
    assert box.x < 55
    assert box.x + box.width > 150


def test_the_nearest_of_several_things_at_the_border_is_no_subject():
    image = np.full((200, 200), 180.0, np.float32)
    for x, y, radius in ((40, 100, 26), (180, 20, 20), (180, 180, 20)):
        cv2.circle(image, (x, y), radius, 60, -1)
    assert find_subject(ZStack(image[None].astype(np.uint8), np.zeros(1)), [1.0]) is None
    moved = np.full((200, 200), 180.0, np.float32)
    for x, y, radius in ((80, 100, 26), (180, 20, 20), (180, 180, 20)):
        cv2.circle(moved, (x, y), radius, 60, -1)
    box = find_subject(ZStack(moved[None].astype(np.uint8), np.zeros(1)), [1.0])
    assert box is not None
    assert abs(box.centre[0] - 80) < 10
    assert abs(box.centre[1] - 100) < 10


def test_no_subject_where_everything_is_alike():
    assert find_subject(ZStack(np.full((1, 50, 60), 7, np.uint8), np.zeros(1)), [1.0]) is None
    many = np.full((240, 240), 180.0, np.float32)
    for y in range(20, 240, 40):
        for x in range(20, 240, 40):
            cv2.circle(many, (x, y), 7, 60, -1)
    assert find_subject(ZStack(many[None].astype(np.uint8), np.zeros(1)), [1.0]) is None


def test_what_is_beside_the_subject_may_object(monkeypatch):
    """A textured patch at one plane and, apart from it, more texture at another."""
    inner, outer = np.full((200, 200), 40.0, np.float32), np.full((200, 200), 40.0, np.float32)
    inner[60:140, 60:140] = texture(0, 80, 80)
    outer[:30], outer[170:] = texture(1, 30, 200), texture(2, 30, 200)
    a, b = through_focus(inner, -20.0, noise=0.0), through_focus(outer, 140.0, noise=0.0)
    both = ZStack(np.clip(a.images.astype(int) + b.images - 40, 0, 255).astype(np.uint8), POSITIONS)
    middle = Box(55, 55, 90, 90)
    monkeypatch.setattr("calibration.examine.find_subject", lambda stack, curve: middle)
    found = examine(both)
    assert found.region == middle
    assert found.peak.position == pytest.approx(-20, abs=5)
    assert "vollath_f5, whole planes at 1" in found.reason
    asked_for = label_stack(both, plan=Plan(region=middle))
    assert asked_for.focus_um == pytest.approx(-20, abs=5), "a box that a person gives is not doubted"


@pytest.mark.parametrize(
    ("name", "spacing_um", "criterion", "outcome"),
    [
        ("dfnn_mitochondria_fluor", None, None, (0.0, 0.1)),
        ("pi_scorpion_lapse", 1.0, None, "several depths"),
        ("bfautofocus_fissionyeast/BF.tif", None, None, "minimum at 4.5"),
        ("bfautofocus_fissionyeast/BF.tif", None, "min", (4.2, 4.8)),
        ("dhm_cheekcell_laser", None, None, "minimum at 10"),
    ],
)
def test_recorded_stacks(shared_data, name, spacing_um, criterion, outcome):
    stack = read_recording(shared_data / "stacks" / name, spacing_um)
    plan = Plan(criterion=criterion, region="whole")
    if isinstance(outcome, str):
        with pytest.raises(NoFocusPeak, match=outcome):
            label_stack(stack, plan=plan)
    else:
        assert outcome[0] < label_stack(stack, plan=plan).focus_um < outcome[1]

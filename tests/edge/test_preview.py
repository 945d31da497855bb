"""A camera's second, smaller picture is where the worm is looked for; the window is cut from the first."""

import cv2
import numpy as np
import pytest

from edge.subject import Subject
from hw.config import load_rig
from hw.frame import Frame


def test_the_worm_is_looked_for_in_the_preview_and_cut_from_the_picture():
    rig = load_rig("worm_tracker")
    preview = np.random.default_rng(1).normal(150, 3, (760, 1014))
    body = np.zeros((760, 1014), np.uint8)
    # 1 mm long and 80 um wide at 3.1 um per pixel of the preview.
    along = np.linspace(-160, 160, 80)
    points = np.stack([640 + along, 300 + 30 * np.sin(along / 50)], axis=1).round().astype(np.int32)
    cv2.polylines(body, [points], False, 1, 26)
    preview[body > 0] -= 40
    # Nothing but a mark where the worm's window belongs: the picture itself shows no worm.
    pixels = np.full((1520, 2028, 3), 150, np.uint8)
    pixels[600, 1280] = 255
    frame = Frame(pixels, 0, 0.0, 0.004, 0.0, False, preview.clip(0, 255).astype(np.uint8))
    subject = Subject(rig, (512, 512))
    subject.find(frame)
    assert subject.seen
    window, box = subject.cut(frame)
    assert box.centre == pytest.approx((1280, 600), abs=40)
    assert window.shape == (512, 512, 3)
    assert window.max() == 255
    assert np.shares_memory(window, pixels)

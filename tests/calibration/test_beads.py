"""Beads are found, followed, measured and cut out."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.bead_features import measure_stack, white_level
from calibration.beads import BeadSearch, crop, find_beads, track_beads
from calibration.radial_profile import find_centre, fit_profile
from calibration.stack import ZStack
from hw.errors import StackError

SEARCH = BeadSearch(19.0)
PLACES = ((60.3, 70.8), (150.0, 60.5), (110.6, 160.2))


def disc(image: NDArray[np.float64], x: float, y: float, radius: float, level: float) -> None:
    """Darken a disc with an edge two pixels wide."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    soft = 1 / (1 + np.exp(2 * (np.hypot(columns - x, rows - y) - radius)))
    image *= 1 - soft * (1 - level)


def plane(glow: float = 1.5, level: float = 120.0, seed: int = 0) -> NDArray[np.uint8]:
    """A field of beads with a touching pair, debris and a shadow, under uneven light."""
    image = np.full((224, 224), float(level))
    for x, y in PLACES:
        disc(image, x, y, 9.5, 0.1)
        rows, columns = np.mgrid[:224, :224]
        image += level * glow * np.exp(-(np.square(columns - x) + np.square(rows - y)) / (2 * 1.5**2))
    disc(image, 170, 150, 9.5, 0.1)
    disc(image, 188, 155, 9.5, 0.1)
    disc(image, 50, 130, 4, 0.2)
    disc(image, 120, 110, 30, 0.93)
    disc(image, 12, 12, 9.5, 0.1)
    image *= np.linspace(0.85, 1.1, 224)
    noisy = image + np.random.default_rng(seed).normal(0, 1.5, image.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def a_stack(glows: tuple[float, ...] = (0.2, 0.8, 1.2, 0.8, 0.2), level: float = 80.0) -> ZStack:
    images = np.stack([plane(glow, level, seed) for seed, glow in enumerate(glows)])
    return ZStack(images, np.arange(len(glows)) * 10.0, 1.5)


def test_only_whole_single_beads_are_found() -> None:
    found = find_beads(plane(), SEARCH)
    assert len(found) == len(PLACES), "no pair, no debris, no shadow, none at the border"
    for x, y in PLACES:
        assert np.hypot(*(found - (x, y)).T).min() < 1.5
    colour = np.repeat(plane()[..., None], 3, axis=2)
    np.testing.assert_allclose(find_beads(colour, SEARCH), found)
    assert len(find_beads(np.full((224, 224), 130, np.uint8), SEARCH)) == 0


def test_the_centre_is_found_to_a_fraction_of_a_pixel() -> None:
    image = plane()
    for x, y in PLACES:
        found = find_centre(image, (round(x) + 1.0, round(y) - 1.0), 12.0, 5.0)
        assert found is not None
        assert math.dist(found, (x, y)) < 0.1
    assert find_centre(image, (80.0, 75.0), 12.0, 3.0) is None, "half a bead is not round about a near place"


def test_a_profile_follows_the_pixels_and_is_flat_in_the_middle() -> None:
    image = plane(glow=0.9, level=100)
    x, y = PLACES[0]
    profile = fit_profile(image, (x, y), 15.0)
    light = 100 * np.linspace(0.85, 1.1, 224)[60]
    assert float(profile.at(0.0)) == pytest.approx(1.0 * light, rel=0.06)
    assert float(profile.at(6.0)) == pytest.approx(0.1 * light, rel=0.2)
    assert float(profile.at(14.0)) == pytest.approx(light, rel=0.05)
    assert float(profile.at(0.0, 1)) == pytest.approx(0, abs=1e-9)
    r = np.linspace(0, 14, 50)
    numeric = (profile.at(r + 1e-4) - profile.at(r)) / 1e-4
    np.testing.assert_allclose(profile.at(r, 1), numeric, atol=0.05)
    assert profile.residual < 12, "noise of variance 2.3, and what uneven light leaves"


def test_tracks_hold_in_planes_where_a_bead_is_not_made_out() -> None:
    stack = a_stack()
    images = stack.images.copy()
    images[4] = 80
    tracks = track_beads(ZStack(images, stack.positions_um, 1.5), SEARCH)
    assert len(tracks) == len(PLACES)
    for track in tracks:
        assert list(track.seen) == [True] * 4 + [False]
        np.testing.assert_allclose(track.centres_px[4], track.centres_px[3])


def test_features_rise_with_the_glow_and_saturation_is_seen() -> None:
    reports: list[tuple[int, int]] = []
    features = measure_stack(a_stack(), SEARCH, name="one", progress=lambda *done: reports.append(done))
    slope, centre = (np.median(values, axis=0) for values in features.values)
    assert slope.argmax() == centre.argmax() == 2
    assert centre[2] == pytest.approx(1.3 * math.exp(-1 / (2 * 1.5**2)), rel=0.12)
    assert not features.saturated.any()
    assert reports[-1] == (15, 15)
    brighter = measure_stack(a_stack(level=220.0), SEARCH)
    assert list(brighter.saturated.all(axis=0)) == [False, False, True, False, False]


def test_what_cannot_be_measured_is_refused() -> None:
    blank = ZStack(np.full((4, 200, 200), 130, np.uint8), np.arange(4.0), 1.5)
    with pytest.raises(StackError, match=r"no beads of 19\.0 px"):
        measure_stack(blank, SEARCH)
    white = ZStack(np.full((4, 200, 200), 255, np.uint8), np.arange(4.0), 1.5)
    with pytest.raises(StackError, match="background is saturated"):
        measure_stack(white, SEARCH)
    with pytest.raises(StackError, match="do not suit crops of 64 px"):
        BeadSearch(40.0)


def test_white_is_that_of_the_bits_in_use() -> None:
    deep = np.zeros((2, 4, 4), np.uint16)
    assert white_level(ZStack(deep.astype(np.uint8), np.arange(2.0))) == 255
    deep[0, 0, 0] = 4000
    assert white_level(ZStack(deep, np.arange(2.0))) == 4095


def test_crops_are_square_and_centred() -> None:
    image = np.arange(100 * 120).reshape(100, 120)
    cut = crop(image, (50.2, 39.9), 64)
    assert cut.shape == (64, 64)
    assert cut[32, 32] == image[40, 50]
    assert crop(image, (5, 95), 64)[-1, 0] == image[99, 0]

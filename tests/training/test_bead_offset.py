"""The beads of an image, asked about one by one, and what they say together."""

import numpy as np
import pytest

from calibration.beads import BeadSearch
from edge.bundle import InputSpec
from hw.errors import ConfigError, StackError
from training.bead_offset import BeadAnswers, ask, cut_beads, pool, search_for
from training.judge import Judge

SPEC = InputSpec(width_px=64, height_px=64, um_per_px=1.5)
PLACES = ((60, 70), (150, 60), (110, 160), (180, 175))


def field(glows: tuple[float, ...] = (60.0, 80.0, 100.0, 90.0)) -> np.ndarray:
    """Dark discs, each with a bright centre of its own level."""
    rows, columns = np.mgrid[:240, :240]
    image = np.full((240, 240), 120.0)
    for (x, y), glow in zip(PLACES, glows, strict=True):
        away = np.hypot(columns - x, rows - y)
        image *= 1 - 0.9 / (1 + np.exp(2 * (away - 9.5)))
        image += glow * np.exp(-np.square(away) / 8)
    return np.round(image).astype(np.uint8)


def centre_judge(factor: float = 1.0) -> Judge:
    """Say how bright the middle of a crop is."""
    return Judge(SPEC, lambda views: (factor * views[:, 30:34, 30:34].mean(axis=(1, 2, 3)), None))


def test_every_bead_is_cut_out_about_its_middle_and_shown_to_every_network() -> None:
    judges = [centre_judge(), centre_judge(2.0)]
    search = search_for(judges[0], 28.5, 1.5)
    assert (search.diameter_px, search.crop_px) == (19.0, 64)
    found = ask(cut_beads(field(), search), judges)
    assert found.offsets_um.shape == (2, 4)
    order = [int(np.hypot(*(found.centres_px - place).T).argmin()) for place in PLACES]
    np.testing.assert_allclose(found.centres_px[order], PLACES, atol=0.2)
    brightness = found.offsets_um[0, order]
    assert brightness.argsort().tolist() == [0, 1, 3, 2]
    np.testing.assert_allclose(found.offsets_um[1], 2 * found.offsets_um[0])
    assert found.slopes[order].argsort().tolist() == [0, 1, 3, 2]
    colour = np.repeat(field()[..., None], 3, axis=2)
    np.testing.assert_allclose(ask(cut_beads(colour, search), judges).offsets_um, found.offsets_um)


def test_an_image_without_beads_says_nothing() -> None:
    judge = centre_judge()
    found = ask(cut_beads(np.full((240, 240), 120, np.uint8), search_for(judge, 28.5, 1.5)), [judge])
    assert found.offsets_um.shape == (1, 0)
    assert pool(found) is None


def answers(offsets: list[list[float]], slopes: list[float] | None = None) -> BeadAnswers:
    values = np.array(offsets)
    count = values.shape[1]
    return BeadAnswers(np.zeros((count, 2)), np.array(slopes or np.arange(count) / 100), values)


def test_each_network_leaves_out_its_own_outliers_and_networks_are_averaged() -> None:
    pooled = pool(answers([[1, 2, 3, 4, 90], [-90, 3, 4, 5, 4]]))
    assert pooled is not None
    # 2.5 of the first network's four, 4 of the second's.
    assert pooled.offset_um == pytest.approx(3.25)
    assert pooled.beads == 5
    assert pooled.spread_um > 1


def test_a_bead_of_another_slope_is_left_out_for_all() -> None:
    slopes = [0.10, 0.11, 0.10, 0.11, 0.02]
    pooled = pool(answers([[1, 1.2, 1.1, 0.9, 1.4]], slopes))
    assert pooled is not None
    assert pooled.beads == 4
    assert pooled.offset_um == pytest.approx(1.05)


def test_a_few_beads_are_all_kept() -> None:
    pooled = pool(answers([[1, 2, 90]]))
    assert pooled is not None
    assert (pooled.offset_um, pooled.beads) == (31, 3)


def test_networks_must_look_at_the_same() -> None:
    other = Judge(SPEC.model_copy(update={"width_px": 48, "height_px": 48}), centre_judge().predict)
    with pytest.raises(ConfigError, match="2 networks of several inputs"):
        ask(cut_beads(field(), BeadSearch(19.0)), [centre_judge(), other])
    with pytest.raises(StackError, match="do not suit crops"):
        search_for(centre_judge(), 60.0, 1.5)

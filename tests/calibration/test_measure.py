import numpy as np
import pytest

from calibration.measure import DEFAULT_MEASURE, MEASURES, focus_measure, luminance, vollath_f4, vollath_f5
from hw.errors import ConfigError


def f5_by_the_letter(g):
    """F5 as Vollath wrote it, with Python's exact integers."""
    rows, columns = len(g), len(g[0])
    total = sum(g[i][j] * g[i + 1][j] for i in range(rows - 1) for j in range(columns))
    whole = sum(map(sum, g))
    return (total - whole * whole / (rows * columns)) / (rows * columns)


def f4_by_the_letter(g):
    rows, columns = len(g), len(g[0])
    one = sum(g[i][j] * g[i + 1][j] for i in range(rows - 1) for j in range(columns))
    two = sum(g[i][j] * g[i + 2][j] for i in range(rows - 2) for j in range(columns))
    return (one - two) / (rows * columns)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 4), (4, 5), (1, 6), (2, 1), (13, 17)])
def test_f5_and_f4_are_the_equations(shape, dtype):
    image = np.random.default_rng(0).integers(0, 255, shape)
    g = [[int(v) for v in row] for row in image]
    assert vollath_f5(image.astype(dtype)) == pytest.approx(f5_by_the_letter(g), rel=1e-9)
    assert vollath_f4(image.astype(dtype)) == pytest.approx(f4_by_the_letter(g), rel=1e-9, abs=1e-9)


def test_f5_keeps_its_digits_on_a_bright_background():
    contrast = np.random.default_rng(0).normal(0, 1, (50, 40))
    contrast -= contrast.mean()
    level = 1e7
    # By the equation with g = level + c, sum(c) = 0: F5(c) - level^2 / M - level * (first + last row) / MN.
    edges = contrast[0].sum() + contrast[-1].sum()
    expected = vollath_f5(contrast) - level**2 / 50 - level * edges / contrast.size
    assert vollath_f5(contrast + level) - expected == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_prefers_the_sharper_image(name):
    sharp = np.zeros((64, 64))
    sharp[20:44, 16:48] = 200
    blurred = sum(np.roll(sharp, (i, j), (0, 1)) for i in range(-3, 4) for j in range(-3, 4)) / 49
    measure = focus_measure(name)
    values = [measure(a) for a in (sharp, 0.5 * sharp + 0.5 * blurred, blurred)]
    assert values == sorted(values, reverse=True)
    assert measure((sharp / 255 * 65535).astype(np.uint16)) > 0
    assert measure(np.zeros((8, 8))) == 0
    assert type(values[0]) is float


@pytest.mark.parametrize("name", MEASURES)
def test_size_does_not_matter(name):
    tile = np.random.default_rng(0).integers(0, 255, (300, 50)).astype(np.uint8)
    measure = focus_measure(name)
    assert measure(np.hstack([tile, tile, tile])) == pytest.approx(measure(tile))


def test_grey_in_three_channels_is_grey():
    grey = np.random.default_rng(0).integers(0, 65535, (9, 8)).astype(np.uint16)
    assert vollath_f5(np.repeat(grey[..., None], 3, 2)) == pytest.approx(vollath_f5(grey))


def test_luminance_is_that_of_bt601_in_rgb_order():
    np.testing.assert_allclose(luminance(np.eye(3, dtype=np.uint8)[None] * 100), [[29.9, 58.7, 11.4]])


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (0, 4), (4, 4, 3, 1)])
def test_what_is_no_image(shape):
    with pytest.raises(ValueError, match="an image is"):
        vollath_f5(np.zeros(shape))


def test_unknown_measure_names_the_nearest():
    assert focus_measure(DEFAULT_MEASURE) is vollath_f5
    with pytest.raises(ConfigError, match="did you mean 'vollath_f5'"):
        focus_measure("volath_f5")

import cv2
import numpy as np
import pytest

from calibration.measure import (
    DEFAULT_MEASURE,
    MEASURES,
    focus_measure,
    laplacian_energy,
    laplacian_variance,
    luminance,
    mid_band_power,
    perceived_sharpness,
    power_spectrum_std,
    tenengrad,
    vollath_f4,
    vollath_f5,
)
from hw.errors import ConfigError
from hw.frame import Box

# Of every pixel's neighbourhood alone, and summed: neither windows nor headers.
LOCAL = ("vollath_f5", "vollath_f4", "brenner", "normalised_variance")


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


def spots(blur_px):
    """Bright dots on a dark field that has some shading, blurred."""
    rng = np.random.default_rng(3)
    sharp = np.full((96, 96), 40.0)
    sharp[rng.integers(8, 88, 60), rng.integers(8, 88, 60)] = 2000
    return cv2.GaussianBlur(sharp, (0, 0), blur_px)


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"power_spectrum_std"}))
@pytest.mark.parametrize("scale", [1, 257])
def test_contrast_is_largest_in_the_sharpest_image(name, scale):
    measure = focus_measure(name)
    dtype = np.uint8 if scale == 1 else np.uint16
    values = [measure((spots(blur) * scale).astype(dtype)) for blur in (1.5, 2, 3, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1] > 0
    assert measure.focus_is == "maximum"
    assert type(values[0]) is float


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("shape", [(1, 6), (2, 2), (8, 8), (31, 20)])
def test_nothing_to_see_is_nothing(name, shape):
    measure = focus_measure(name)
    assert measure(np.zeros(shape)) == 0
    flat = measure(np.full(shape, 100, np.uint8))
    if name in ("vollath_f5", "vollath_f4", "power_spectrum_std"):
        assert np.isfinite(flat), "these see the borders, or the field itself"
    else:
        assert flat == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", MEASURES)
def test_where_it_comes_from(name):
    measure = focus_measure(name)
    assert measure.name == name
    assert len(measure.source) > 20
    assert len(measure.on_grey.__doc__) > 40


@pytest.mark.parametrize("name", LOCAL)
def test_size_does_not_matter(name):
    tile = np.random.default_rng(0).integers(0, 255, (300, 50)).astype(np.uint8)
    measure = focus_measure(name)
    assert measure(np.hstack([tile, tile, tile])) == pytest.approx(measure(tile))


@pytest.mark.parametrize("name", sorted(set(MEASURES) - set(LOCAL) - {"power_spectrum_std"}))
def test_size_hardly_matters(name):
    noise = np.random.default_rng(0).integers(0, 255, (400, 400)).astype(np.uint8)
    measure = focus_measure(name)
    assert measure(noise) == pytest.approx(measure(noise[:200, :200]), rel=0.2)


@pytest.mark.parametrize("name", MEASURES)
def test_a_region_is_the_image_cut_out(name):
    image = (spots(2)[..., None] * [1.0, 0.5, 0.2]).astype(np.uint8)
    measure = focus_measure(name)
    assert measure(image, Box(10, 20, 50, 31)) == measure(image[20:51, 10:60])
    for box in (Box(50, 0, 50, 10), Box(-1, 0, 5, 5), Box(0, 0, 0, 5)):
        with pytest.raises(ValueError, match="is not inside 96 x 96"):
            measure(image, box)


def by_neighbours(image, kernel):
    """Correlate with a 3 x 3 kernel wherever it fits, in plain Python."""
    rows, columns = image.shape
    return np.array(
        [
            [
                sum(kernel[i][j] * image[y + i - 1, x + j - 1] for i in range(3) for j in range(3))
                for x in range(1, columns - 1)
            ]
            for y in range(1, rows - 1)
        ]
    )


def test_derivatives_are_the_equations():
    g = np.random.default_rng(1).integers(0, 255, (7, 9)).astype(np.float64)
    across, down = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]
    gradient = np.mean(by_neighbours(g, across) ** 2 + by_neighbours(g, down) ** 2)
    assert tenengrad(g) == pytest.approx(gradient)
    eight = np.array([[-1, -4, -1], [-4, 20, -4], [-1, -4, -1]]) / 6
    assert laplacian_energy(g) == pytest.approx(np.mean(by_neighbours(g, eight) ** 2))
    four = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    assert laplacian_variance(g) == pytest.approx(np.var(by_neighbours(g, four)))


@pytest.mark.parametrize(("cycles", "share"), [(1 / 40, 0.0), (3 / 32, 1.0), (1 / 5, 0.0)])
@pytest.mark.parametrize("axis", [0, 1])
def test_mid_band_power_is_the_variance_in_the_band(cycles, share, axis):
    wave = 10 * np.sin(2 * np.pi * cycles * np.arange(256) + 0.3)
    image = 100 + (wave[:, None] if axis == 0 else wave[None, :]) * np.ones((256, 256))
    assert mid_band_power(image) == pytest.approx(share * 50, abs=0.1)


def test_spectrum_of_a_spot_of_light_is_least_in_focus():
    """A slit's image, whose profile is a Gaussian that widens as a beam does (paper 4)."""
    rows = np.arange(-64, 64)[:, None]
    values = []
    for defocus in (-3, -1, 0, 1, 3):
        width = 4 * np.sqrt(1 + defocus**2)
        light = 200 * np.exp(-0.5 * (rows / width) ** 2) / width * np.ones((128, 32))
        values.append(power_spectrum_std((light * 20).astype(np.uint16)))
    assert int(np.argmin(values)) == 2
    assert values[0] == pytest.approx(values[-1], rel=1e-3)
    assert power_spectrum_std.focus_is == "minimum"


def test_profile_is_smoothed_as_savitzky_and_golay_say():
    """A cubic passes the filter of degree 3 unchanged, away from the ends, and brightness does not matter."""
    rows = np.linspace(-1, 1, 101)[:, None]
    image = (50 + 20 * rows + 10 * rows**3) * np.ones((101, 8))
    profile = image[:, 0] / np.linalg.norm(image[:, 0])
    expected = np.square(np.abs(np.fft.fft(profile))).std()
    assert power_spectrum_std(image) == pytest.approx(expected, rel=3e-4)
    assert power_spectrum_std(7 * image) == pytest.approx(power_spectrum_std(image))
    noisy = image + np.random.default_rng(0).normal(0, 30, (101, 1))
    rough = np.square(np.abs(np.fft.fft(noisy[:, 0] / np.linalg.norm(noisy[:, 0])))).std()
    assert abs(power_spectrum_std(noisy) - expected) < abs(rough - expected)


def test_perceived_sharpness_by_hand():
    """One step: before, one difference of 9; after the mean of 9 pixels, nine differences of 1."""
    step = np.repeat([0.0, 9.0], 20)[:, None] * np.ones((40, 40))
    both = np.maximum(step, step.T)
    kept = 8 / 9
    assert perceived_sharpness(step) == 0, "the blurrier direction counts, and along the step nothing changes"
    assert perceived_sharpness(both) == pytest.approx(kept, abs=1e-6)


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

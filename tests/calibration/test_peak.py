import numpy as np
import pytest

from calibration.label import focus_curve
from calibration.peak import NoFocusPeak, find_peak
from calibration.stack import read_recording

Z = np.linspace(-6.0, 6.0, 61)


def gauss(z):
    return np.exp(-(z**2) / 2)


def lorentz(z):
    return 1 / (1 + z**2)


def skewed(z):
    """Wider on one side, peak at 0."""
    return 1 / (1 + (z / (1.2 + 0.4 * np.tanh(z))) ** 2)


@pytest.mark.parametrize("shape", [gauss, lorentz, skewed])
@pytest.mark.parametrize("focus", np.linspace(-1.1, 1.1, 7))
def test_between_the_planes(shape, focus):
    peak = find_peak(Z, 3e5 + 1e4 * shape(Z - focus))
    assert peak.position == pytest.approx(focus, abs=0.1), "half a step of 0.2"
    assert 0 <= peak.sigma < 0.2


def test_clean_symmetric_peak_to_a_fiftieth_of_a_step():
    errors = [find_peak(Z, gauss(Z - focus)).position - focus for focus in np.linspace(-0.5, 0.5, 11)]
    assert np.abs(errors).max() < 0.004


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("planes", [21, 61])
def test_noise_is_averaged_and_stated(noise, planes):
    rng = np.random.default_rng(7)
    z = np.linspace(-5, 5, planes)
    errors, sigmas = [], []
    for _ in range(120):
        focus = rng.uniform(-1, 1)
        try:
            peak = find_peak(z, 100 * gauss(z - focus) + rng.normal(0, 100 * noise, planes))
        except NoFocusPeak:
            continue
        errors.append(peak.position - focus)
        sigmas.append(peak.sigma)
    rms = np.sqrt(np.mean(np.square(errors)))
    assert len(errors) > 108, "at most a tenth refused"
    assert rms < 2.2 * noise + 0.02
    assert rms / 2 < np.median(sigmas) < rms * 2, "the stated deviation is the true one within a factor"
    assert abs(np.mean(errors)) < 3 * rms / np.sqrt(len(errors)) + 0.005


def test_uneven_planes_in_any_order():
    rng = np.random.default_rng(0)
    z = rng.permutation(np.r_[np.linspace(-6, -2, 5), np.linspace(-1.5, 1.5, 13), np.linspace(2, 6, 5)])
    assert find_peak(z, gauss(z - 0.3)).position == pytest.approx(0.3, abs=0.05)


def test_negative_values_are_no_trouble():
    assert find_peak(Z, gauss(Z) - 10).position == pytest.approx(0, abs=1e-6)


def phase_object(z):
    return z**2 * np.exp(-(z**2) / 8)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (1 - gauss(Z), "minimum at"),
        (phase_object(Z)[15:46], "minimum at"),
        (phase_object(Z), "minimum at"),
        (phase_object(Z) + 0.8 * gauss(Z), "several comparable peaks"),
        (gauss(Z + 3) + 0.7 * gauss(Z - 3), "several comparable peaks"),
        (gauss(Z - 6), "end of the range"),
        (gauss(Z + 5.9), "end of the range"),
        (Z * 1.0, "end of the range"),
        (np.full(61, 7.0), "flat"),
        (np.zeros(61), "flat"),
        (np.random.default_rng(0).normal(size=61), "noise"),
        (gauss(Z) + 0.5 * np.random.default_rng(0).normal(size=61), "noise"),
        (np.where(Z == 0, np.nan, gauss(Z)), "not finite"),
    ],
)
def test_refusals_say_why(values, reason):
    z = Z[15:46] if len(values) == 31 else Z
    with pytest.raises(NoFocusPeak, match=reason) as error:
        find_peak(z, values)
    assert "; " in str(error.value), "a next step"
    assert "\n" not in str(error.value)


def test_too_few_planes_and_equal_positions():
    with pytest.raises(NoFocusPeak, match="too few"):
        find_peak(Z[:4], gauss(Z[:4]))
    with pytest.raises(NoFocusPeak, match="one position"):
        find_peak(np.array([0.0, 1, 1, 2, 3, 4]), np.array([0.0, 1, 2, 3, 1, 0]))


def test_white_noise_is_hardly_ever_labelled():
    rng = np.random.default_rng(0)
    labelled = 0
    for _ in range(300):
        try:
            find_peak(np.arange(21.0), rng.normal(size=21))
            labelled += 1
        except NoFocusPeak:
            pass
    assert labelled <= 3


@pytest.mark.parametrize(
    ("name", "spacing_um", "low", "high"),
    [("dfnn_mitochondria_fluor", None, 0.0, 0.1), ("pi_scorpion_lapse", 1.0, 2.5, 4.0)],
)
def test_recorded_stacks_with_a_peak(shared_data, name, spacing_um, low, high):
    stack = read_recording(shared_data / "stacks" / name, spacing_um)
    peak = find_peak(stack.positions_um, focus_curve(stack))
    assert low < peak.position < high
    assert peak.sigma < stack.spacing_um


@pytest.mark.parametrize(
    ("name", "focus"), [("bfautofocus_fissionyeast/BF.tif", "4.5"), ("dhm_cheekcell_laser", "10")]
)
def test_recorded_phase_objects_are_refused(shared_data, name, focus):
    stack = read_recording(shared_data / "stacks" / name)
    with pytest.raises(NoFocusPeak, match=f"minimum at {focus} um .* phase object"):
        find_peak(stack.positions_um, focus_curve(stack))

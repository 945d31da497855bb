import numpy as np
import pytest

from training.statistics import compare_errors, holm, intervals, mean_interval, paired_test

pytest.importorskip("scipy", reason="needs the train extra")


def errors(specimens: int, frames: int, between: float, within: float, seed: int = 0):
    """Values of frames that share much of their error within a specimen, and the specimens' names."""
    random = np.random.default_rng(seed)
    shared = random.normal(10, between, specimens)
    values = shared[:, None] + random.normal(0, within, (specimens, frames))
    return values.ravel(), np.repeat([f"worm-{i}" for i in range(specimens)], frames)


def test_interval_covers_the_mean_as_often_as_it_says():
    hits = 0
    for seed in range(200):
        low, high = mean_interval(*errors(25, 20, 4, 1, seed), seed=seed, draws=400)
        hits += low <= 10 <= high
    # A percentile bootstrap over 25 specimens covers a little less than 95 %.
    assert 0.89 <= hits / 200 <= 0.98


def test_interval_is_that_of_specimens_and_not_of_frames():
    values, names = errors(25, 20, 4, 1)
    low, high = mean_interval(values, names)
    assert (high - low) / 2 == pytest.approx(1.96 * 4 / 5, rel=0.25)
    by_frame = mean_interval(values, np.arange(len(values)).astype(str))
    assert high - low > 3 * (by_frame[1] - by_frame[0])


def test_interval_weighs_specimens_by_their_frames_and_repeats_from_its_seed():
    values, names = np.array([0.0, 0, 0, 0, 12]), np.array(["a", "a", "a", "a", "b"])
    found = mean_interval(values, names, seed=3)
    # Either specimen alone, and both together, are all that can be drawn.
    assert found == (0.0, 12.0)
    assert found == mean_interval(values, names, seed=3)
    assert mean_interval(values, ["a"] * 5) is None


def test_intervals_of_the_figures():
    truth = np.tile([500.0, -500, 50], 10)
    guess = np.tile([510.0, 20, 60], 10)
    names = np.repeat([f"w{i}" for i in range(10)], 3)
    found = intervals(truth, guess, names, dof_um=220, seed=1)
    assert (found["level"], found["seed"]) == (0.95, 1)
    # All specimens are alike, so nothing is uncertain; 1 of 2 frames beyond one DOF has the wrong sign.
    assert found["mae_um"] == pytest.approx([180, 180])
    assert found["bias_um"] == pytest.approx([180, 180])
    assert found["sign_error_rate"] == pytest.approx([0.5, 0.5])


def test_paired_test_against_hand_and_scipy():
    from scipy import stats

    d = np.array([-5.0, -3, -2, 1, 4, -7, 0])
    found = paired_test(d)
    # Ranks of |d| without the zero: 1 -> 1, 2 -> 2, 3 -> 3, 4 -> 4, 5 -> 5, 7 -> 6.
    assert found["effect_size"] == pytest.approx(((1 + 4) - (5 + 3 + 2 + 6)) / 21)
    assert found["n"] == 7
    assert found["mean"] == pytest.approx(-12 / 7)
    assert found["median"] == -2
    assert found["wilcoxon_p"] == pytest.approx(stats.wilcoxon(d[d != 0]).pvalue)
    assert found["shapiro_p"] == pytest.approx(stats.shapiro(d).pvalue)


def test_what_cannot_be_tested_is_none():
    assert paired_test([0.0, 0.0, 0.0])["wilcoxon_p"] is None
    assert paired_test([])["mean"] is None
    assert paired_test([1.0, 1.0, 1.0])["shapiro_p"] is None
    assert paired_test([1.0, 2.0])["shapiro_p"] is None


def test_many_differences_are_sampled_for_shapiro():
    random = np.random.default_rng(0)
    skewed = random.exponential(1, 9000) - 1
    found = paired_test(skewed)
    assert found["n"] == 9000
    assert found["shapiro_p"] < 1e-10
    assert paired_test(random.normal(0, 1, 9000), seed=1)["shapiro_p"] > 1e-3


def test_frames_of_one_specimen_do_not_count_as_many():
    # Two equally good networks, each of which knows some specimens better: frame by frame the p value is
    # tiny in many such draws, specimen by specimen it is not.
    frames, specimens = 0, 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        difference = np.repeat(random.normal(0, 5, 12), 50) + random.normal(0, 1, 600)
        first = 50 + difference
        found = compare_errors(first, np.full(600, 50.0), np.repeat(np.arange(12).astype(str), 50), seed=seed)
        frames += found["frames"]["wilcoxon_p"] < 0.05
        specimens += found["specimens"]["wilcoxon_p"] < 0.05
    assert frames > 25
    assert specimens <= 6


def test_comparison_says_which_is_better():
    names = np.repeat([f"w{i}" for i in range(20)], 5)
    found = compare_errors(np.full(100, 10.0), 15 + np.arange(100) / 100, names)
    assert found["frames"]["mean"] == pytest.approx(-5.495)
    assert found["frames"]["effect_size"] == found["specimens"]["effect_size"] == -1
    assert found["specimens"]["n"] == 20
    low, high = found["mean_interval_um"]
    assert low < -5.495 < high < -5


def test_holm_by_hand():
    assert holm([0.01, 0.04, None, 0.03]) == pytest.approx([0.03, 0.06, None, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]

"""The reference plane from features whose truth is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.bead_features import BeadFeatures
from calibration.feature_curve import feature_curve, typical
from calibration.reference_plane import find_reference_planes
from hw.errors import StackError

WIDTH_UM = 30.0


def features(
    focus_um: float,
    beads: int = 12,
    *,
    step_um: float = 7.5,
    span_um: float = 240.0,
    seat_um: float = 3.0,
    strays: int = 0,
    scale: float = 1.0,
    clip: float = np.inf,
    noise: float = 0.01,
    name: str = "stack",
    seed: int = 0,
) -> BeadFeatures:
    """Skewed bells about beads' own planes; the centre's is wider, on a foot, and peaks 2 um higher."""
    rng = np.random.default_rng(seed)
    z = np.arange(-span_um / 2, span_um / 2 + 1e-9, step_um) + 13.0
    own = focus_um + seat_um * rng.standard_normal(beads)
    own[:strays] += 70
    size = 1 + 0.05 * rng.standard_normal(beads)

    def bell(away: NDArray[np.float64], width: float) -> NDArray[np.float64]:
        skewed = away / (width * (1 + 0.15 * np.tanh(away / width)))
        return np.asarray(np.exp(-np.square(skewed) / 2))

    slope = scale * 0.7 * bell(z - own[:, None] + 1, WIDTH_UM) * size[:, None]
    centre = 0.1 + scale * 1.2 * bell(z - own[:, None] - 1, 1.3 * WIDTH_UM) * size[:, None]
    values = np.stack([slope, centre]) + noise * rng.standard_normal((2, beads, len(z)))
    saturated = centre > clip
    values = np.where(saturated, np.minimum(values, np.array([0.4, 1.0])[:, None, None]), values)
    return BeadFeatures(name, z, values, saturated, (None,) * beads)  # type: ignore[arg-type]


def test_the_plane_is_the_mean_of_both_features() -> None:
    found = find_reference_planes([features(20.0, 24)]).planes[0]
    slope, centre = found.by_feature["steepest_slope"], found.by_feature["centre_intensity"]
    assert slope.position_um == pytest.approx(19, abs=2)
    assert centre.position_um == pytest.approx(21, abs=2)
    assert found.position_um == pytest.approx((slope.position_um + centre.position_um) / 2)
    assert found.position_um == pytest.approx(20, abs=1.5)
    assert centre.scale == pytest.approx(1.3, rel=0.05)
    assert found.beads == 24


def test_strays_do_not_pull_it() -> None:
    clean = find_reference_planes([features(20.0, 24, seat_um=0.5)]).planes[0]
    dirty = find_reference_planes([features(20.0, 24, seat_um=0.5, strays=4)]).planes[0]
    assert dirty.position_um == pytest.approx(clean.position_um, abs=1.0)


def test_outliers_are_left_out_of_the_typical_value() -> None:
    values = np.array([[1.0, 1.1, 0.9, 1.05, 0.95, 30.0]]).T
    assert typical(values) == pytest.approx(1.0)
    np.testing.assert_allclose(typical(np.stack([values, values + 1])), [[1.0], [2.0]])


def test_planes_that_are_clipped_are_left_out_and_the_other_stacks_say_what_they_hide() -> None:
    clipped = features(-10.0, seat_um=1, clip=0.9, name="clipped", seed=1)
    curve = feature_curve(clipped, 1)
    assert curve.saturated.sum() >= 5
    assert not (curve.used & curve.saturated).any()
    whole = [features(20.0 + 5 * n, seat_um=1, name=f"whole{n}", seed=2 + n) for n in range(3)]
    survey = find_reference_planes([clipped, *whole])
    assert [plane.name for plane in survey.planes] == ["clipped", "whole0", "whole1", "whole2"]
    for plane, true in zip(survey.planes, (-10, 20, 25, 30), strict=True):
        assert plane.position_um == pytest.approx(true, abs=2)
    # Every stack's profile is the same one, and it is highest, 1, at the plane.
    pool = survey.pools["steepest_slope"]
    away = np.linspace(-20, 20, 401)
    assert away[pool.at(away).argmax()] == pytest.approx(0, abs=0.5)
    assert pool.at(away).max() == pytest.approx(1, abs=1e-3)


def test_exposure_scales_and_does_not_shift() -> None:
    bright, dim = (find_reference_planes([features(5.0, scale=s, name=str(s))]).planes[0] for s in (1.0, 0.5))
    assert bright.position_um == pytest.approx(dim.position_um, abs=1.5)


def test_the_uncertainty_is_about_the_spread_of_the_error() -> None:
    found = [
        find_reference_planes([features(0.0, 10, seat_um=4, seed=s)], seed=s).planes[0] for s in range(30)
    ]
    error = np.array([plane.position_um for plane in found])
    sigma = np.array([plane.sigma_um for plane in found])
    assert 0.6 < error.std() / np.median(sigma) < 1.6
    assert (np.abs(error) < 2 * sigma).mean() > 0.8
    many = find_reference_planes([features(0.0, 90, seat_um=4)]).planes[0]
    assert many.sigma_um < 0.6 * np.median(sigma)


def test_the_bootstrap_repeats_from_its_seed() -> None:
    one, same, other = (
        find_reference_planes([features(0.0)], replicates=20, seed=s).planes[0].sigma_um for s in (1, 1, 2)
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (features(0.0, 1), "1 bead is too few"),
        (features(0.0, clip=0.2), "saturated, too many"),
        (features(150.0), "last plane's end"),
        (features(-130.0), "first plane's end"),
        (features(0.0, step_um=60.0), "only 2 planes lie near|only 3 planes lie near"),
        (features(0.0, step_um=100.0), "3 planes are too few"),
    ],
)
def test_what_tells_no_plane_is_refused_with_the_reason(given: BeadFeatures, says: str) -> None:
    with pytest.raises(StackError, match=says):
        find_reference_planes([given])
    survey = find_reference_planes([features(3.0, name="good"), given], replicates=5)
    assert [plane.name for plane in survey.planes] == ["good"]
    assert len(survey.refused) == 1


def test_without_stacks_there_is_a_reason() -> None:
    with pytest.raises(StackError, match="no stacks"):
        find_reference_planes([])

import numpy as np
import pytest

from calibration.axis.bench import Sweep
from calibration.axis.direction import Evidence, by_colours, by_network, by_spacer, conclude

LENS = np.linspace(-160.0, 160.0, 25)
UM, DOF = 5.0, 220.0


def sweep(red: float, blue: float, seed: int = 0) -> Sweep:
    """A sweep whose colours come into focus at lens positions in steps."""
    rng = np.random.default_rng(seed)
    z = np.linspace(-70.0, 70.0, 25)

    def curve(top: float) -> np.ndarray:
        return np.exp(-0.5 * ((z - top) / 45) ** 2) + rng.normal(0, 1e-3, len(z))

    return Sweep(True, z, curve(0.0), curve(red), curve(0.0), curve(blue), 0.0)


@pytest.mark.parametrize(("sign", "verdict"), [(-1, "right"), (1, "inverted")])
def test_a_network_proves_either_direction(sign: int, verdict: str) -> None:
    rng = np.random.default_rng(1)
    found = by_network(LENS, sign * LENS * UM + rng.normal(0, 60, len(LENS)), 0.0, UM, DOF)
    assert (found.verdict, found.why_not) == (verdict, "")
    assert found.sigmas > 4.5


def test_a_network_with_a_constant_error_and_a_wild_answer_still_proves_it() -> None:
    offsets = -LENS * UM + 80
    offsets[3] = -900
    assert by_network(LENS, offsets, 0.0, UM, DOF).verdict == "right"


def test_a_network_that_is_wrong_at_every_fourth_place_proves_nothing() -> None:
    offsets = -LENS * UM
    offsets[::4] *= -1
    found = by_network(LENS, offsets, 0.0, UM, DOF)
    assert found.verdict == "not proven"
    assert "agree" in found.why_not or "sigma" in found.why_not


def test_a_network_that_guesses_proves_nothing() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        found = by_network(LENS, rng.normal(0, 400, len(LENS)), 0.0, UM, DOF)
        assert found.verdict == "not proven"
        assert found.why_not


def test_a_network_that_knows_how_far_but_not_on_which_side_proves_nothing() -> None:
    for guess in (1, -1):
        found = by_network(LENS, guess * np.abs(LENS) * UM, 0.0, UM, DOF)
        assert found.verdict == "not proven"


def test_a_slope_far_from_one_proves_nothing() -> None:
    found = by_network(LENS, -0.2 * LENS * UM, 0.0, UM, DOF)
    assert found.verdict == "not proven"
    assert "um_per_step" in found.why_not


def test_looks_on_one_side_of_focus_prove_nothing() -> None:
    found = by_network(LENS, -LENS * UM, -160.0, UM, DOF)
    assert found.verdict == "not proven"
    assert "0 places below" in found.why_not


@pytest.mark.parametrize(("red", "blue", "verdict"), [(7, -6, "right"), (-7, 6, "inverted")])
def test_the_order_of_colours_proves_either_direction(red: float, blue: float, verdict: str) -> None:
    found = by_colours([sweep(red, blue, s) for s in range(4)], 65.0, UM, DOF)
    assert (found.verdict, found.why_not) == (verdict, "")
    assert "+65 um" in found.seen


def test_a_lens_that_is_known_to_part_them_the_other_way_turns_the_verdict() -> None:
    assert by_colours([sweep(-7, 6, s) for s in range(4)], -65.0, UM, DOF).verdict == "right"


@pytest.mark.parametrize(("red", "blue", "why"), [(0.2, 0, "sigma apart"), (3, 0, "another lens")])
def test_colours_too_close_or_not_as_known_prove_nothing(red: float, blue: float, why: str) -> None:
    found = by_colours([sweep(red, blue, s) for s in range(4)], 65.0, UM, DOF)
    assert found.verdict == "not proven"
    assert why in found.why_not


def test_a_colour_without_a_peak_proves_nothing() -> None:
    found = by_colours([sweep(500, 0, s) for s in range(4)], 65.0, UM, DOF)
    assert found.verdict == "not proven"


def test_a_spacer_proves_by_where_focus_goes() -> None:
    assert by_spacer(100.0, 0.1, 500.0).verdict == "right"
    assert by_spacer(-100.0, 0.1, 500.0).verdict == "inverted"
    assert by_spacer(0.3, 0.1, 500.0).verdict == "not proven"


def test_evidence_that_contradicts_itself_proves_nothing() -> None:
    right, inverted, nothing = (
        Evidence("network", verdict, 9.0, "") for verdict in ("right", "inverted", "not proven")
    )
    assert conclude([right, nothing]) == "right"
    assert conclude([inverted]) == "inverted"
    assert conclude([right, inverted]) == "not proven"
    assert conclude([]) == "not proven"

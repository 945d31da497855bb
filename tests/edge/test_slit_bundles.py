"""The two bundles of the slit laser: they fit its rig, and together bring plates never seen into focus."""

import pytest

from edge.bundle import Predictor, check_fits, load_bundle
from edge.loop import FocusResult, focus_once
from edge.ranges import FocusRange, RangesFocuser
from hw.config import load_rig
from hw.rig import Rig, open_rig

RIG = load_rig("slit_laser_sim")
# Far from the seeds that were trained on or tested with.
FIRST_SEED = 950_000


def focus(rig: Rig, *bundles: str) -> FocusResult:
    ranges = []
    for name in bundles:
        bundle = load_bundle(name)
        card = bundle.card
        ranges.append(FocusRange(name, Predictor(bundle), card.input, card.trained_range_um))
    return focus_once(rig, RangesFocuser(RIG, ranges), timeout_s=30)


def defocus_um(rig: Rig) -> float:
    """Where the lens really is, from true focus."""
    assert rig.ideal is not None
    now = rig.clock.now()
    focus_um = rig.ideal.focus_um(now)
    assert focus_um is not None
    return rig.axis.position_at(now) * rig.axis.um_per_step + rig.ideal.lens_error_um(now) - focus_um


def start_at(rig: Rig, wanted_um: float) -> None:
    rig.axis.home()
    rig.axis.move_to(rig.axis.position_steps + (wanted_um - defocus_um(rig)) / rig.axis.um_per_step)
    rig.clock.sleep(5)


@pytest.mark.parametrize(("name", "range_um"), [("slit_long", 110), ("slit_short", 10)])
def test_each_fits_its_rig_and_its_card_says_that_it_lost_nothing(name: str, range_um: float) -> None:
    card = load_bundle(name).card
    check_fits(card, RIG)
    assert card.trained_range_um == range_um
    assert (card.input.width_px, card.input.height_px) == (96, 96)
    assert card.parity.accepted_losses == ()
    assert card.validation["sign_error_rate"] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("seed", "start_um"), [(0, -85.0), (1, 85.0), (2, 25.0), (3, -4.0)])
def test_two_ranges_bring_a_plate_never_seen_into_focus(seed: int, start_um: float) -> None:
    with open_rig(RIG, seed=FIRST_SEED + seed) as rig:
        start_at(rig, start_um)
        result = focus(rig, "slit_long", "slit_short")
        assert result.focused, result.reason
        # Half the depth of field to either side.
        assert abs(defocus_um(rig)) < RIG.optics.dof_um / 2


def test_the_short_range_alone_fails_far_from_focus_and_says_so() -> None:
    with open_rig(RIG, seed=FIRST_SEED) as rig:
        start_at(rig, 60.0)
        result = focus(rig, "slit_short")
        assert not result.focused
        assert "slit_short" in result.reason
        assert abs(defocus_um(rig) - 60.0) < 1

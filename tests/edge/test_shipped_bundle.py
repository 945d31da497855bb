"""The bundle that ships: it is there, it fits its rigs, and it is as good as its card says."""

from itertools import count

import numpy as np
import pytest

from calibration.simulate import StackPlan, simulate_stack
from calibration.stack import ZStack
from edge.bundle import Bundle, Predictor, check_fits, load_bundle, shipped_bundles, window_px
from edge.bundle.card import InputSpec
from hw.config import load_rig
from hw.errors import StackError

# Far from the seeds that were trained on or tested with.
FIRST_SEED = 950_000
SPECIMENS = 8
PLAN = StackPlan(planes=3, range_um=1500.0, window_um=744.0, binned=True)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    assert "default" in shipped_bundles(), (
        "edge/bundles/default.tflite is missing; make it with 'wormfocus export RUN --out "
        "edge/bundles/default.tflite'"
    )
    return load_bundle("default")


@pytest.mark.parametrize("rig", ["worm_tracker", "worm_tracker_sim"])
def test_it_fits_the_reference_rig(bundle: Bundle, rig: str) -> None:
    check_fits(bundle.card, load_rig(rig))


def test_its_card_says_that_it_is_good_enough(bundle: Bundle) -> None:
    figures, parity = bundle.card.validation, bundle.card.parity
    assert parity.ratio <= 1.05
    assert parity.accepted_losses == ()
    for name, least, most in (
        ("specimens", 40, np.inf),
        ("sign_error_rate", 0, 0.01),
        ("mae_steps", 0, 12),
    ):
        value = figures[name]
        assert isinstance(value, int | float)
        assert least <= value <= most, name


def test_it_judges_fresh_specimens(bundle: Bundle) -> None:
    rig = load_rig("worm_tracker_sim")
    predictor = Predictor(bundle)
    errors: list[float] = []
    seeds = count(FIRST_SEED)
    while len(errors) < SPECIMENS * PLAN.planes:
        try:
            stack, label = simulate_stack(rig, PLAN, next(seeds))
        except StackError:
            # A specimen without a focus peak, which has no true answer either.
            continue
        errors += [
            abs(predictor.predict(window).offset_um - (label.focus_um - position))
            for window, position in zip(central(stack, bundle.card.input), stack.positions_um, strict=True)
        ]
    assert np.mean(errors) < 150


def central(stack: ZStack, spec: InputSpec) -> np.ndarray:
    width, height = window_px(spec, stack.um_per_px)
    top, left = (stack.images.shape[1] - height) // 2, (stack.images.shape[2] - width) // 2
    return stack.images[:, top : top + height, left : left + width]

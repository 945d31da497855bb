import numpy as np
import pytest

from calibration.simulate import StackPlan, simulate_stack
from hw.config import load_rig
from hw.errors import ConfigError
from training.light import TorchSum

PLAN = StackPlan(planes=3, range_um=1500, window_um=400, binned=True)


def test_torch_renders_what_the_simulator_renders():
    rig = load_rig("worm_tracker_sim")
    ours, label = simulate_stack(rig, PLAN, 5)
    # Seven at once: the last group is smaller.
    theirs, other = simulate_stack(rig, PLAN, 5, TorchSum("cpu", at_once=7))
    assert other.focus_um == pytest.approx(label.focus_um, abs=1e-6)
    assert float(other.provenance["geometrical_offset_um"]) == pytest.approx(
        float(label.provenance["geometrical_offset_um"]), abs=0.2
    )
    apart = np.abs(theirs.images.astype(int) - ours.images)
    assert apart.max() <= 1
    assert apart.mean() < 0.01


def test_sums_are_equal_to_rounding():
    from hw.simulation.optics import sum_over_source

    random = np.random.default_rng(0)
    spectrum = (random.normal(size=(60, 66)) + 1j * random.normal(size=(60, 66))).astype(np.complex64)
    transfer = np.exp(1j * random.normal(size=(9, 11))).astype(np.complex64)
    corners = [(0, 0), (51, 55), (20, 31)]
    given = (spectrum, transfer, corners, (40, 46))
    np.testing.assert_allclose(TorchSum("cpu")(*given), sum_over_source(*given), rtol=2e-5, atol=1e-9)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="device 'warp': torch cannot use it"):
        TorchSum.on("warp")

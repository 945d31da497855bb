"""The simulated sensor: a picture without noise is what many noisy ones have for their mean."""

import numpy as np

from hw.config import load_rig
from hw.simulation.grey_sensor import GreySensor
from hw.simulation.rig import worm_section
from hw.simulation.sensor import Sensor


def test_a_picture_without_noise_is_the_mean_of_many_with_it() -> None:
    config = worm_section(load_rig("worm_tracker_sim")).sensor
    light = np.linspace(0.5, 1.1, 24 * 32 * 3, dtype=np.float32).reshape(24, 32, 3)
    for sensor in (
        Sensor(config, np.random.default_rng(3)),
        GreySensor(config, np.random.default_rng(3), follows_peak=False),
    ):
        clean = sensor.develop(light, 2, binned=True, noise=False)
        np.testing.assert_array_equal(sensor.develop(light, 2, binned=True, noise=False), clean)
        noisy = [sensor.develop(light, 2, binned=True) for _ in range(60)]
        assert (noisy[0] != noisy[1]).mean() > 0.3
        assert np.abs(np.mean(noisy, axis=0) - clean).mean() < 0.5

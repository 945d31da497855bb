from dataclasses import replace

import cv2
import numpy as np
import pytest
from methods.retrieval import FreeSpace, Recording, fit_geometry, retrieve

from hw.simulation.optics import propagate

SIZE, LARGER = 96, 192
WAVELENGTH_UM, UM_PER_PX = 0.5, 0.5
PLANES_UM = [-40.0, -20.0, 0.0, 20.0, 40.0]
HELD_OUT_UM = [-30.0, 10.0, 60.0]


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Intensities of a phase object, cut from a field that goes on beyond them."""
    rng = np.random.default_rng(3)
    noise = cv2.GaussianBlur(rng.normal(size=(LARGER, LARGER)), (0, 0), 3)
    wave = np.exp(1j * noise / noise.std()).astype(np.complex64)
    positions = np.array(sorted(PLANES_UM + HELD_OUT_UM))
    cut = slice((LARGER - SIZE) // 2, (LARGER + SIZE) // 2)
    intensity = np.stack(
        [np.abs(propagate(wave, z, WAVELENGTH_UM, UM_PER_PX)[cut, cut]) ** 2 for z in positions]
    )
    return Recording(intensity.astype(np.float32), positions, UM_PER_PX, WAVELENGTH_UM)


def alike(a: np.ndarray, b: np.ndarray) -> float:
    inner = slice(16, -16)
    return float(np.corrcoef(a[inner, inner].ravel(), b[inner, inner].ravel())[0, 1])


def test_free_space_is_the_simulators_propagation() -> None:
    wave = np.exp(1j * np.random.default_rng(0).normal(size=(48, 60))).astype(np.complex64)
    space = FreeSpace((48, 60), UM_PER_PX, WAVELENGTH_UM)
    for distance in (35.0, -35.0, 35.0):
        np.testing.assert_allclose(
            space.travel(wave, distance), propagate(wave, distance, WAVELENGTH_UM, UM_PER_PX), atol=1e-5
        )


def test_a_retrieved_wave_predicts_planes_that_it_never_saw(recording: Recording) -> None:
    wave = retrieve(recording, PLANES_UM, 0.0, sweeps=15, averages=2)
    for z in HELD_OUT_UM:
        assert alike(wave.intensity(z), recording.plane(z)) > 0.9
        # On the wrong side of focus it is another image.
        assert alike(wave.intensity(-z), recording.plane(z)) < 0.5


def test_drift_is_fitted_to_the_planes_given(recording: Recording) -> None:
    drift = (0.06, -0.03)
    moved = np.stack(
        [
            cv2.warpAffine(
                image,
                np.array([[1, 0, drift[1] * z], [0, 1, drift[0] * z]]),
                (SIZE, SIZE),
                flags=cv2.INTER_CUBIC,
                borderMode=cv2.BORDER_REFLECT_101,
            )
            for image, z in zip(recording.intensity, recording.positions_um, strict=True)
        ]
    )
    fitted = fit_geometry(replace(recording, intensity=moved), PLANES_UM, 0.0, sweeps=4)
    assert fitted.drift_px_per_um == pytest.approx(drift, abs=0.01)
    assert fitted.z_scale == pytest.approx(1, abs=0.03)

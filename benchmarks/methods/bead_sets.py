"""Sets of simulated beads, each another slide under another objective, recorded at several exposures.

A set's slide stands still, so each lens position is rendered once, and exposures differ by the sensor alone.
Recording goes through the rig, with noise, backlash and lost frames.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from calibration.stack import ZStack
    from hw.config import RigConfig

__all__ = ["exposed", "record_set", "recorded", "rendered_once"]


def exposed(config: "RigConfig", exposure_ms: float) -> "RigConfig":
    """Return the rig with another exposure."""
    camera = config.camera.model_copy(update={"exposure_s": exposure_ms / 1e3})
    return config.model_copy(update={"camera": camera})


def recorded(
    config: "RigConfig", seed: int, centre_um: float | None, span_um: float, step_um: float
) -> "tuple[ZStack, float]":
    """Record a stack through the rig; returns it and the true plane, as the axis counts.

    Parameters
    ----------
    config : the rig
    seed : of the set
    centre_um : of the stack; None for up to 20 um from focus, by the seed, as an operator would find it
    span_um, step_um : first to last plane, and between planes
    """
    from calibration.acquire import acquire_stack, plan_positions
    from calibration.truth import known_focus_um
    from hw.rig import open_rig

    with open_rig(config, seed=seed) as rig:
        if centre_um is None:
            before_um = known_focus_um(rig)
            assert before_um is not None
            centre_um = before_um + float(np.random.default_rng([seed, 7]).uniform(-20, 20))
        stack = acquire_stack(
            rig, plan_positions(config, centre_um, span_um, step_um), specimen=f"{config.name}-{seed}"
        )
        focus_um = known_focus_um(rig)
        assert focus_um is not None
        return stack, focus_um


def record_set(
    base: "RigConfig", seed: int, exposures_ms: Sequence[float], span_um: float, step_um: float
) -> "Iterator[tuple[float, ZStack, float]]":
    """Record a set about its focus; yields exposure in ms, stack and true plane in um."""
    with rendered_once():
        for exposure_ms in exposures_ms:
            yield exposure_ms, *recorded(exposed(base, exposure_ms), seed, None, span_um, step_um)


@contextmanager
def rendered_once() -> Iterator[None]:
    """Render each lens position once, while one set is recorded."""
    from hw.simulation.beads import BeadSlide

    plain = BeadSlide.intensity
    held: dict[float, NDArray[np.float32]] = {}

    def remembered(
        self: BeadSlide, t: float, place_um: tuple[float, float], lens_um: float
    ) -> NDArray[np.float32]:
        if lens_um not in held:
            held[lens_um] = plain(self, t, place_um, lens_um)
        return held[lens_um]

    BeadSlide.intensity = remembered  # type: ignore[method-assign]
    try:
        yield
    finally:
        BeadSlide.intensity = plain  # type: ignore[method-assign]

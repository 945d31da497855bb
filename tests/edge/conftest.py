"""A rig of fakes with behaviour, in virtual time: they obey physics, and each other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from edge.bundle import InputSpec, Prediction
from edge.focusers import ContrastFocuser, NetworkFocuser
from hw.clock import VirtualClock
from hw.config import AxisConfig, RigConfig
from hw.errors import AxisFault, CameraStalled
from hw.frame import Frame
from hw.motion import braking_steps, plan_move
from hw.move_history import MoveHistory
from hw.rig import Rig

SIDE_PX = 64


def reference_config(**sections: dict[str, Any]) -> RigConfig:
    """The reference rig with a small sensor and nothing to track; `sections` override single values."""
    values: dict[str, dict[str, Any]] = {
        "optics": {"um_per_px": 12.0, "na": 0.05, "dof_um": 220},
        "camera": {
            "width_px": SIDE_PX,
            "height_px": SIDE_PX,
            "fps": 20,
            "exposure_s": 0.004,
            "latency_frames": 2,
        },
        "axis": {
            "um_per_step": 5,
            "min_steps": -1000,
            "max_steps": 1000,
            "max_speed_steps_s": 400,
            "acceleration_steps_s2": 4000,
            "backlash_steps": 6,
            "settle_s": 0.03,
        },
        "tracking": {"follow": False},
        "control": {},
    }
    for name, section in sections.items():
        values[name] = {**values[name], **section}
    return RigConfig.model_validate({"name": "fake", "kind": "simulated", **values})


class FakeAxis:
    """An ideal motor on a screw with backlash: it reports the motor, the lens lags behind."""

    def __init__(self, config: AxisConfig, clock: VirtualClock, start_steps: float) -> None:
        self._config, self._clock = config, clock
        self._history = MoveHistory(start_steps, config.settle_s)
        self._lens, self._lens_s = start_steps, 0.0
        self.commands: list[tuple[float, float]] = []
        self.stops = 0
        self.homed = True
        self.fault: str | None = None

    @property
    def um_per_step(self) -> float:
        return self._config.um_per_step

    @property
    def limits_steps(self) -> tuple[float, float]:
        return self._config.min_steps, self._config.max_steps

    @property
    def position_steps(self) -> float:
        return self.position_at(self._clock.now())

    @property
    def target_steps(self) -> float:
        return self._history.profile.target

    @property
    def moving(self) -> bool:
        return self._clock.now() < self._history.still_s

    def home(self) -> None:
        self.homed = True

    def move_to(self, steps: float) -> None:
        low, high = self.limits_steps
        if self.fault or not self.homed or not low <= steps <= high:
            raise AxisFault(f"the fake axis refuses {steps}")
        self.commands.append((self._clock.now(), steps))
        self._plan(steps)

    def stop(self) -> None:
        self.stops += 1
        now = self._clock.now()
        braking = braking_steps(self._history.speed_at(now), self._config.acceleration_steps_s2)
        self._plan(self.position_at(now) + braking)

    def close(self) -> None:
        self.stop()

    def position_at(self, t: float) -> float:
        return self._history.position_at(t)

    def moving_during(self, start_s: float, end_s: float) -> bool:
        return self._history.moving_during(start_s, end_s)

    def lens_at(self, t: float) -> float:
        """Where the lens really is at `t`, not before the last call: half the backlash behind the motor."""
        slack = self._config.backlash_steps / 2
        for moment in np.append(np.arange(self._lens_s, t, 0.002), t):
            motor = self.position_at(float(moment))
            self._lens = min(max(self._lens, motor - slack), motor + slack)
        self._lens_s = t
        return self._lens

    def _plan(self, target: float) -> None:
        now, c = self._clock.now(), self._config
        position, speed = self.position_at(now), self._history.speed_at(now)
        profile = plan_move(now, position, speed, target, c.max_speed_steps_s, c.acceleration_steps_s2)
        self._history.begin(now, profile)


class FakeCamera:
    """Frames whose contrast falls off with the distance of the lens from the plane."""

    def __init__(
        self, config: RigConfig, clock: VirtualClock, axis: FakeAxis, plane: Callable[[float], float]
    ) -> None:
        self._config, self._clock, self._axis, self.plane = config, clock, axis, plane
        rng = np.random.default_rng(7)
        rough = rng.standard_normal((SIDE_PX, SIDE_PX, 1))
        self._texture = sum(np.roll(rough, (i, j), (0, 1)) for i in range(3) for j in range(3)) / 3
        self.stalls_at_s = np.inf
        self.offset_um = 0.0
        self.errors_um: list[tuple[float, float]] = []
        self.closed = False

    def frames(self) -> Iterator[Frame]:
        camera = self._config.camera
        period, index = 1 / camera.fps, 0
        while True:
            # Newest wins: the last frame that is out of the pipeline by now, else the next one to come.
            delay = camera.exposure_s + camera.latency_frames * period
            index = max(index, int((self._clock.now() - delay) / period + 1e-9))
            start = index * period
            if start > self.stalls_at_s:
                self._clock.sleep(camera.stall_timeout_s)
                raise CameraStalled("the fake camera has stalled")
            self._clock.advance_to(start + delay)
            yield self._expose(index, start)
            index += 1

    def close(self) -> None:
        self.closed = True

    def _expose(self, index: int, start: float) -> Frame:
        exposure = self._config.camera.exposure_s
        middle = start + exposure / 2
        error_um = (self._axis.lens_at(middle) - self.plane(middle)) * self._axis.um_per_step
        self.offset_um = -error_um
        self.errors_um.append((middle, error_um))
        contrast = 2 + 30 / (1 + (error_um / self._config.optics.dof_um) ** 2)
        pixels = np.clip(128 + contrast * self._texture, 0, 255).astype(np.uint8)
        return Frame(
            np.repeat(pixels, 3, axis=2),
            index,
            start,
            exposure,
            self._axis.position_at(middle),
            self._axis.moving_during(start, start + exposure),
        )


@dataclass
class FakePredictor:
    """Says the true offset of the frame just delivered, with noise, a stated sigma and rare nonsense."""

    camera: FakeCamera
    sigma_um: float = 60.0
    outlier_rate: float = 0.0
    range_um: float = 1500.0
    seed: int = 0
    blind_from_s: float = np.inf
    blind_until_s: float = np.inf
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def predict(self, window: np.ndarray) -> Prediction:
        t = self.camera.errors_um[-1][0]
        if self.blind_from_s <= t < self.blind_until_s:
            return Prediction(0.0, float("inf"), False)
        offset_um = self.camera.offset_um + self.rng.normal(0, self.sigma_um)
        if self.rng.random() < self.outlier_rate:
            offset_um = self.rng.uniform(-self.range_um, self.range_um)
        saturated = float(np.clip(offset_um, -1.2 * self.range_um, 1.2 * self.range_um))
        return Prediction(saturated, self.sigma_um, abs(saturated) <= self.range_um)


@dataclass
class Scene:
    """A fake rig, and the parts that a test wants to reach."""

    rig: Rig
    clock: VirtualClock
    axis: FakeAxis
    camera: FakeCamera

    def network(self, **predictor: Any) -> NetworkFocuser:
        """The network method with a fake predictor."""
        spec = InputSpec(width_px=32, height_px=32, channels=3, um_per_px=12.0)
        return NetworkFocuser(self.rig.config, FakePredictor(self.camera, **predictor), spec)

    def contrast(self, *, full_scan: bool = False) -> ContrastFocuser:
        """The contrast method."""
        return ContrastFocuser(self.rig.config, full_scan=full_scan)

    def truth(self, frame: Frame) -> float:
        """Lens position truly in focus at a frame, steps."""
        return self.camera.plane(frame.mid_exposure_s)

    def worst_um(self, after_s: float) -> float:
        """Largest true distance from focus after a time, um."""
        return max(abs(e) for t, e in self.camera.errors_um if t >= after_s)


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., Scene]:
    """Build a scene: lens at `start_steps`, focal plane at `plane(t)` steps."""

    def make(
        start_steps: float = 0.0,
        plane: Callable[[float], float] | float = 0.0,
        config: RigConfig | None = None,
    ) -> Scene:
        config = config or reference_config()
        clock = VirtualClock()
        axis = FakeAxis(config.axis, clock, start_steps)
        height = plane if callable(plane) else (lambda t: float(plane))
        camera = FakeCamera(config, clock, axis, height)
        return Scene(Rig(config, clock, camera, axis, notice="SIMULATED"), clock, axis, camera)

    return make


@pytest.fixture(scope="session")
def make_config() -> Callable[..., RigConfig]:
    """Build the configuration of a fake rig with single values changed."""
    return reference_config

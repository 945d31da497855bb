"""The parts of a rig, put together from its file. A simulated rig is another set of parts."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hw.axis import FocusAxis, MotorAxis
from hw.camera import Camera
from hw.clock import Clock
from hw.closing import Closing
from hw.config import CameraConfig, RigConfig
from hw.errors import ConfigError
from hw.stage import XYStage

__all__ = ["AxisAlone", "CameraAlone", "Ideal", "Rig", "open_axis", "open_camera", "open_rig"]


class Ideal(Protocol):
    """The subject as a perfect camera would see it."""

    def render(self, t: float, lens_um: float) -> NDArray[np.float32]:
        """Noise-free (H, W, 3) image of a window around the subject at time `t` (s), lens position in um."""

    def plane_um(self, t: float) -> float:
        """Lens position in um that focuses the subject's mid-height by geometrical optics at time `t` (s)."""

    def focus_um(self, t: float) -> float | None:
        """Lens position in um of true focus at time `t` (s), where it is known by construction.

        None where it is to be found: where `render` peaks in the default measure.
        """

    def lens_error_um(self, t: float) -> float:
        """How far the lens really is from where the axis believes it at time `t`, um."""


@dataclass
class Rig(Closing):
    """An open rig.

    Attributes
    ----------
    config : the rig file
    clock, camera, axis : the parts
    notice : 'SIMULATED' or 'REPLAYED', shown wherever a person looks; empty on hardware
    ideal : the subject without noise, where that can be rendered
    stage : what moves the specimen sideways, where there is one
    imaging : the microscope's own camera, where focusing has one of its own
    raise_specimen : puts a spacer of so many um under the specimen, or takes it out (negative); None where
        an operator has to
    """

    config: RigConfig
    clock: Clock
    camera: Camera
    axis: FocusAxis
    notice: str = ""
    ideal: Ideal | None = None
    stage: XYStage | None = None
    imaging: Camera | None = None
    raise_specimen: Callable[[float], None] | None = None

    def imaged(self) -> "Rig":
        """Return this very rig as its imaging camera sees it, to record or focus with that one.

        Raises
        ------
        ConfigError
            It has none.
        """
        section = self.config.imaging
        if self.imaging is None or section is None:
            raise ConfigError(
                f"rig '{self.config.name}' has no imaging camera; name one with a section 'imaging'"
            )
        config = self.config.model_copy(update={"optics": section.optics, "camera": section.camera})
        return replace(self, config=config, camera=self.imaging)

    def close(self) -> None:
        """Release cameras, stage and axis, all even if one fails; closing twice is fine."""
        with ExitStack() as parts:
            # Closed in the other order: a camera that fails must not leave the motor powered.
            for part in (self.axis, self.stage, self.imaging, self.camera):
                if part is not None:
                    parts.callback(part.close)


@dataclass
class AxisAlone(Closing):
    """A rig's axis without its camera, open.

    Attributes
    ----------
    clock, axis : the parts
    notice : as a rig's
    """

    clock: Clock
    axis: MotorAxis
    notice: str = ""

    def close(self) -> None:
        """Release the axis; closing twice is fine."""
        self.axis.close()


@dataclass
class CameraAlone(Closing):
    """A rig's camera without its axis, open.

    Attributes
    ----------
    config : what is known of the camera
    clock, camera : the parts
    notice : as a rig's
    """

    config: CameraConfig
    clock: Clock
    camera: Camera
    notice: str = ""

    def close(self) -> None:
        """Release the camera; closing twice is fine."""
        self.camera.close()


def open_axis(config: RigConfig, *, seed: int = 0) -> AxisAlone:
    """Open the focus axis of a rig alone: an operator at the screw needs no camera.

    Parameters
    ----------
    config : the rig file
    seed : of everything random in a simulated rig

    Raises
    ------
    ConfigError
        The rig has no motor, or its file lacks what its kind needs.
    GpioUnavailable, AxisFault
        The motor's lines, or the library for them, cannot be had.
    """
    if config.kind == "simulated":
        from hw.simulation.rig import open_simulated_axis

        return open_simulated_axis(config, seed=seed)
    if config.kind == "replayed":
        raise ConfigError(f"rig '{config.name}' is replayed: it has no motor; name a real or a simulated rig")
    from hw.pi import open_pi_axis

    return open_pi_axis(config)


def open_camera(config: RigConfig, *, stack: Path | None = None) -> CameraAlone:
    """Open the camera of a rig alone, as if its lens stood still.

    Parameters
    ----------
    config : the rig file
    stack : overrides `replay.stack` of a replayed rig

    Raises
    ------
    ConfigError
        The rig file lacks what its kind needs.
    CameraUnavailable
        The camera, or the library for it, is missing, or cannot do what the rig file asks.
    """
    if config.kind == "pi" and stack is None:
        from hw.pi import open_pi_camera

        return open_pi_camera(config)
    # Elsewhere no axis can be in the way.
    rig = open_rig(config, stack=stack)
    return CameraAlone(rig.config.camera, rig.clock, rig.camera, rig.notice)


def open_rig(config: RigConfig, *, seed: int = 0, stack: Path | None = None) -> Rig:
    """Open a rig.

    Parameters
    ----------
    config : the rig file
    seed : of everything random in a simulated rig
    stack : overrides `replay.stack` of a replayed rig

    Raises
    ------
    ConfigError
        The rig file lacks what its kind needs, or has what its kind cannot do.
    GpioUnavailable, CameraUnavailable
        A part of a real rig, or the library for it, is missing, or cannot do what the rig file asks.
    """
    if stack is not None and config.kind != "replayed":
        raise ConfigError(
            f"rig '{config.name}' is {config.kind}: a stack can be given to a replayed rig only"
        )
    if config.axis.invert_direction and config.kind == "replayed":
        raise ConfigError(
            f"rig '{config.name}' is {config.kind}: axis.invert_direction turns a motor round, and this "
            "rig has none; remove the key"
        )
    if config.picamera is not None and config.kind != "pi":
        raise ConfigError(
            f"rig '{config.name}' is {config.kind}: picamera is the section of a real camera, and this "
            "rig has none; remove it"
        )
    if config.stage is not None and config.kind != "simulated":
        raise ConfigError(
            f"rig '{config.name}' is {config.kind}: stage is supported on simulated rigs only; remove it"
        )
    if config.imaging is not None and config.kind != "simulated":
        raise ConfigError(
            f"rig '{config.name}' is {config.kind}: imaging is supported on simulated rigs only; remove it"
        )
    if config.kind == "simulated":
        from hw.simulation.rig import open_simulated_rig

        return open_simulated_rig(config, seed=seed)
    if config.kind == "replayed":
        from hw.replay import open_replayed_rig

        section = config.replay
        if section is None:
            raise ConfigError(f"rig '{config.name}' is replayed but has no 'replay' section; add one")
        if stack is not None:
            section = section.model_copy(update={"stack": stack})
        return open_replayed_rig(config, section)
    from hw.pi import open_pi_rig

    return open_pi_rig(config)

"""The XY stage's seam: what moves the specimen sideways under the lens."""

from typing import Annotated, Protocol

from pydantic import Field, model_validator

from hw.section import Section

__all__ = ["StageConfig", "XYStage"]

Positive = Annotated[float, Field(gt=0)]


class StageConfig(Section):
    """The `stage` section of a rig file."""

    min_x_um: float
    max_x_um: float
    min_y_um: float
    max_y_um: float
    max_speed_um_s: Positive
    acceleration_um_s2: Positive
    settle_s: Annotated[float, Field(ge=0)] = Field(description="Time after a move until it stands still, s.")

    @model_validator(mode="after")
    def _limits_in_order(self) -> "StageConfig":
        for axis, low, high in (("x", self.min_x_um, self.max_x_um), ("y", self.min_y_um, self.max_y_um)):
            if not low < high:
                raise ValueError(f"min_{axis}_um {low} must be below max_{axis}_um {high}")
        return self


class XYStage(Protocol):
    """A stage that carries the specimen. Its position is the place of the specimen under the field's middle.

    Positions are um on the specimen, x to the right and y down in the image, as boxes are.
    """

    @property
    def limits_um(self) -> tuple[float, float, float, float]:
        """Lowest x and y, highest x and y allowed, all inclusive, in um."""

    @property
    def position_um(self) -> tuple[float, float]:
        """Place under the middle of the field now, (x, y) in um."""

    @property
    def moving(self) -> bool:
        """Whether the stage is moving or settling now."""

    def position_at(self, t: float) -> tuple[float, float]:
        """Place under the middle of the field at time `t` in seconds, (x, y) in um."""

    def move_to(self, x_um: float, y_um: float) -> None:
        """Start moving to a place, replacing the move in progress.

        Raises
        ------
        AxisFault
            Past a limit, or a place that is not finite.
        """

    def stop(self) -> None:
        """Decelerate to a stop; the position stays known."""

    def close(self) -> None:
        """Stop and release the driver; closing twice is fine."""

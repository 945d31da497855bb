"""The focus axis's seam."""

from typing import Protocol

__all__ = ["FocusAxis", "LensHistory", "MotorAxis"]


class LensHistory(Protocol):
    """What a camera must know of the lens."""

    def position_at(self, t: float) -> float:
        """Lens position in steps at time `t` in seconds."""

    def moving_during(self, start_s: float, end_s: float) -> bool:
        """Whether the lens moved or settled at some time in an interval of the rig's clock."""


class FocusAxis(Protocol):
    """The lens on its screw. Positions are lens positions in motor steps, 0 at home.

    `move_to` returns at once and may be called again in mid-move. An axis refuses to move unhomed or past
    a limit, and a fault latches until the axis is closed.
    """

    @property
    def um_per_step(self) -> float:
        """Lens travel per motor step in um."""

    @property
    def limits_steps(self) -> tuple[float, float]:
        """Lowest and highest lens position allowed, both inclusive, in steps."""

    @property
    def position_steps(self) -> float:
        """Lens position now, in steps."""

    @property
    def target_steps(self) -> float:
        """Where the lens was sent, or will come to rest after a stop, in steps.

        A motor stands on whole steps: the lens comes to rest within half a step of it.
        """

    @property
    def moving(self) -> bool:
        """Whether the lens is moving or settling now."""

    @property
    def homed(self) -> bool:
        """Whether positions can be trusted."""

    @property
    def fault(self) -> str | None:
        """Cause and next step of a latched fault, or None."""

    def home(self) -> None:
        """Make the position known: find the end stop, or take up a position known from elsewhere.

        Raises
        ------
        AxisFault
            There is no end stop and no position to trust, or the search for the end stop failed.
        """

    def move_to(self, steps: float) -> None:
        """Start moving to a lens position, replacing the move in progress.

        Raises
        ------
        AxisFault
            Unhomed, past a limit, or after a latched fault.
        """

    def position_at(self, t: float) -> float:
        """Lens position in steps at time `t` in seconds, from the history or the profile in progress."""

    def moving_during(self, start_s: float, end_s: float) -> bool:
        """Whether the lens moved or settled at some time in an interval of the rig's clock."""

    def stop(self) -> None:
        """Decelerate to a stop; the position stays known."""

    def close(self) -> None:
        """Stop and release the driver; closing twice is fine."""


class MotorAxis(FocusAxis, Protocol):
    """A focus axis with a motor that an operator may look after."""

    @property
    def powered(self) -> bool:
        """Whether the coils' current is on."""

    @property
    def end_stop(self) -> bool | None:
        """Whether the end stop is pressed; None where there is none."""

    @property
    def doubt(self) -> str:
        """Why positions cannot be trusted; empty when they can, or were never asked for."""

    @property
    def knows_position(self) -> bool:
        """Whether `home` succeeds without a move."""

    def confirm_position(self, steps: float) -> None:
        """Take an operator's word for where the lens is, in steps.

        Raises
        ------
        AxisFault
            Past the limits, while the lens moves, or after a latched fault.
        """

    def jog(self, steps: int, *, unhomed: bool = False) -> None:
        """Turn by whole steps from where the lens will come to rest.

        Parameters
        ----------
        steps : signed
        unhomed : turn also when the position is not known, slowly

        Raises
        ------
        AxisFault
            Past a limit, unhomed without leave, too far for an unhomed axis, or after a latched fault.
        """

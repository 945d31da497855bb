"""The focus axis of a stepper motor: one implementation over any driver, in real and in virtual time."""

import math

from hw.clock import Clock
from hw.config import AxisConfig
from hw.errors import AxisFault
from hw.homing import find_end_stop
from hw.motion import nearest_whole
from hw.motor import Motor
from hw.pump import Pump
from hw.step_driver import StepDriver

__all__ = ["StepperAxis"]


class StepperAxis:
    """A lens on a screw turned by a stepper motor.

    The motor follows planned profiles; the lens is believed to follow it with the rig file's backlash, which
    is taken up at each reversal. A new target, a stop or an end stop acts after the chunk of steps under way.
    Over a pump with a thread of its own, all methods may be called from any thread.

    Parameters
    ----------
    config : the rig file's `axis`
    driver : makes the steps; the axis closes it
    clock : the rig's
    pump : calls for the steps when they are due
    known_steps : lens position that may be trusted, in steps; `home` takes it up where there is no end stop
    """

    def __init__(
        self,
        config: AxisConfig,
        driver: StepDriver,
        clock: Clock,
        pump: Pump,
        *,
        known_steps: float | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._known = known_steps
        self._motor = Motor(config, driver, clock, pump)
        self._target = self._motor.history.rest_position
        # Where the jogs of an unhomed axis began, in the motor's steps.
        self._found_at: int | None = None

    @property
    def um_per_step(self) -> float:
        """Lens travel per motor step in um."""
        return self._config.um_per_step

    @property
    def limits_steps(self) -> tuple[float, float]:
        """Lowest and highest lens position allowed, both inclusive, in steps."""
        return self._config.min_steps, self._config.max_steps

    @property
    def position_steps(self) -> float:
        """Lens position now, in steps."""
        return self.position_at(self._clock.now())

    @property
    def target_steps(self) -> float:
        """Where the lens was sent, or will come to rest after a stop, in steps."""
        return self._target

    @property
    def moving(self) -> bool:
        """Whether the lens is moving or settling now."""
        return self._motor.moving

    @property
    def homed(self) -> bool:
        """Whether positions can be trusted."""
        self._motor.catch_up()
        return self._motor.trusted

    @property
    def powered(self) -> bool:
        """Whether the coils' current is on."""
        self._motor.catch_up()
        return self._motor.powered

    @property
    def end_stop(self) -> bool | None:
        """Whether the end stop is pressed; None where there is none."""
        return self._motor.pressed

    @property
    def doubt(self) -> str:
        """Why positions cannot be trusted; empty when they can, or were never asked for."""
        self._motor.catch_up()
        return self._motor.doubt

    @property
    def knows_position(self) -> bool:
        """Whether `home` succeeds without a move."""
        if self._config.drive.homing.end_stop != "none":
            return False
        return self.homed or (self._known is not None and not self.doubt)

    @property
    def fault(self) -> str | None:
        """Cause and next step of a latched fault, or None."""
        self._motor.catch_up()
        return self._motor.fault

    def position_at(self, t: float) -> float:
        """Lens position in steps at time `t` in seconds, from the history or the profile in progress."""
        self._motor.catch_up()
        with self._motor.lock:
            return self._motor.history.position_at(t)

    def moving_during(self, start_s: float, end_s: float) -> bool:
        """Whether the lens moved or settled at some time in an interval of the rig's clock."""
        self._motor.catch_up()
        with self._motor.lock:
            return self._motor.history.moving_during(start_s, end_s)

    def home(self) -> None:
        """Make the position known.

        With an end stop, look for it: this takes a while. Without one, take up the position that is known
        from the position file, from `confirm_position`, or from how the rig was built.

        Raises
        ------
        AxisFault
            No position is known, the end stop was not found (which latches), or a fault is latched.
        """
        self._motor.catch_up()
        self._motor.refuse_if_out_of_order()
        if self._config.drive.homing.end_stop != "none":
            self._find_end_stop()
        elif not self._motor.trusted:
            if self._known is None or self._motor.doubt:
                why = self._motor.doubt or "nobody has said where the lens is"
                raise AxisFault(f"focus axis: not homed: {why}; {self._next_step()}")
            self.confirm_position(self._known)

    def confirm_position(self, steps: float) -> None:
        """Take an operator's word for where the lens is.

        Parameters
        ----------
        steps : lens position within the limits; the whole step nearest to it is taken

        Raises
        ------
        AxisFault
            Past the limits, while the lens moves, or after a latched fault.
        """
        self._motor.catch_up()
        self._motor.refuse_if_out_of_order()
        self._refuse_past_limits(steps)
        with self._motor.lock:
            if self._motor.moving:
                raise AxisFault("focus axis: the lens is moving; stop it before its position is confirmed")
            self._target = float(self._whole_within(steps))
            self._found_at = None
            self._motor.recount(self._whole_within(steps), self._target)

    def move_to(self, steps: float) -> None:
        """Start moving to a lens position, replacing the move in progress.

        The lens comes to rest on the whole step nearest to it.

        Raises
        ------
        AxisFault
            Unhomed, past a limit, or after a latched fault.
        """
        self._motor.catch_up()
        with self._motor.lock:
            self._motor.refuse_if_out_of_order()
            if not self._motor.trusted:
                self._refuse_unhomed()
            self._refuse_past_limits(steps)
            self._target = steps
            waypoints = self._way_to(steps)
            if waypoints is not None:
                self._motor.turn(waypoints)
            elif not self._motor.at_rest:
                self._motor.brake()

    def jog(self, steps: int, *, unhomed: bool = False) -> None:
        """Turn by whole steps from where the lens will come to rest.

        An axis that is not homed turns at the slow speed of `drive.homing`, and never further than its whole
        travel from where it was found.

        Parameters
        ----------
        steps : signed
        unhomed : turn also when the position is not known

        Raises
        ------
        AxisFault
            Past the limits of a homed axis, unhomed without leave, too far for one that is unhomed, or after
            a latched fault.
        """
        self._motor.catch_up()
        with self._motor.lock:
            self._motor.refuse_if_out_of_order()
            if self._motor.trusted:
                self.move_to(self._target + steps)
                return
            if not unhomed:
                self._refuse_unhomed()
            rest = nearest_whole(self._motor.history.profile.target)
            if self._found_at is None:
                self._found_at = rest
            low, high = self.limits_steps
            if (way := abs(rest + steps - self._found_at)) > high - low:
                raise AxisFault(
                    f"focus axis: a jog of {steps} steps ends {way} steps from where the lens was found, "
                    f"more than the whole travel of {high - low:g}; take smaller ones"
                )
            self._motor.turn([rest + steps], self._config.drive.homing.slow_steps_s)
            self._target = self._motor.history.rest_position

    def stop(self) -> None:
        """Decelerate to a stop; the position stays known."""
        self._motor.catch_up()
        with self._motor.lock:
            if self._motor.fault is None and not self._motor.at_rest:
                self._motor.brake()
                self._target = self._motor.history.rest_position

    def halt(self) -> None:
        """Stop at once, without a ramp; a motor at speed may slip, so the axis must be homed again."""
        self._motor.catch_up()
        self._motor.halt()

    def close(self) -> None:
        """Stop, keep the position, switch the current off and refuse further moves; twice is fine."""
        self.stop()
        self._motor.close()

    def _way_to(self, steps: float) -> list[int] | None:
        """Whole steps that the motor has to turn to, one after the other; None to stop where it can."""
        play, drive = self._config.backlash_steps, self._config.drive
        start_s, stop = self._motor.horizon()
        # Where a stop would leave the lens: one too fast to stop in time comes back from the other side.
        passed = min(max(self._motor.history.position_at(start_s), stop), stop + play)
        upward = drive.approach == "upward"
        # Only a lens that sits on the motor has been brought there upwards.
        if abs(steps - passed) <= 0.5 and (passed == stop or not upward):
            return None
        lens = self._whole_within(steps)
        below = nearest_whole(lens - play)
        if not upward:
            return [lens] if steps > passed else [below]
        run_up = nearest_whole(drive.run_up_steps)
        long_enough = steps > passed and (passed == stop or steps - passed >= run_up)
        return [lens] if long_enough else [below - run_up, lens]

    def _find_end_stop(self) -> None:
        """Home on the end stop; the lens ends up off the switch, within the limits."""
        homing = self._config.drive.homing
        assert homing.end_stop_steps is not None
        outwards = -1 if homing.end_stop == "low" else 1
        low, high = self.limits_steps
        beyond = abs(homing.end_stop_steps - (low if outwards < 0 else high))
        reserve = homing.retract_steps + self._config.backlash_steps
        self.stop()
        self._motor.wait()
        self._motor.distrust("homing was not finished")
        try:
            at = find_end_stop(self._motor, outwards, math.ceil(high - low + 2 * beyond + reserve), homing)
        except AxisFault as error:
            self._motor.fail(str(error))
            raise
        with self._motor.lock:
            # The slow approach has pushed the lens outwards, against the play of the screw.
            lens = nearest_whole(homing.end_stop_steps)
            motor = lens if outwards > 0 else nearest_whole(lens - self._config.backlash_steps)
            past = self._motor.steps - at
            self._found_at = None
            self._motor.recount(motor + past, float(lens + past))
        self.move_to(min(max(homing.end_stop_steps - outwards * homing.retract_steps, low), high))
        self._motor.wait()

    def _whole_within(self, steps: float) -> int:
        """Nearest whole step that is within the limits."""
        low, high = self.limits_steps
        return min(max(nearest_whole(steps), math.ceil(low)), math.floor(high))

    def _refuse_unhomed(self) -> None:
        why = self._motor.doubt or "positions mean nothing yet"
        raise AxisFault(f"focus axis: not homed: {why}; {self._next_step()}")

    def _refuse_past_limits(self, steps: float) -> None:
        low, high = self.limits_steps
        if not low <= steps <= high:
            raise AxisFault(
                f"focus axis: {steps:.0f} steps is outside its limits {low:.0f} to {high:.0f}; stay inside"
            )

    def _next_step(self) -> str:
        known = self._known is not None and not self._motor.doubt
        if known or self._config.drive.homing.end_stop != "none":
            return "home it first"
        return (
            "bring the lens to a position you know and confirm it with 'wormfocus jog' (--unhomed, then "
            "--confirm-position)"
        )

"""A stepper motor that follows planned profiles: steps sent in time, counted, and remembered."""

import contextlib
import math
import threading
from collections.abc import Sequence

from hw.clock import Clock
from hw.config import AxisConfig
from hw.errors import AxisFault
from hw.motion import braking_steps, plan_path, pulses_between
from hw.move_history import MoveHistory
from hw.position_file import KeptPosition, PositionKeeper
from hw.pump import CHUNK_S, Pump
from hw.step_driver import Pulses, StepDriver

__all__ = ["Motor"]

POLL_S = 0.005
# How long a motor may take to come to rest when it is closed, s.
CLOSE_S = 30.0


class Motor:
    """The motor of an axis, its driver, and the lens that hangs on it.

    Steps are sent in chunks, by whoever the pump lets do it; a new plan begins after the last chunk sent. The
    count of steps is kept in the rig file's `drive.position_file`, marked untrusted whenever the motor turns.
    A fault latches: no more steps, no current, no trust in the position.

    Parameters
    ----------
    config : the rig file's `axis`
    driver : makes the steps; the motor closes it
    clock : the rig's
    pump : calls for the steps when they are due

    Attributes
    ----------
    lock : held by whoever plans from what was read before
    history : of motor and lens
    trusted : whether the positions are those of the real lens
    doubt : why not
    fault : cause and next step of a latched fault, or None
    powered : whether the coils' current is on
    """

    def __init__(self, config: AxisConfig, driver: StepDriver, clock: Clock, pump: Pump) -> None:
        self._config = config
        self._driver = driver
        self._clock = clock
        self._pump = pump
        drive = config.drive
        self._keeper = PositionKeeper(drive.position_file, config.um_per_step, drive.keep_after_s)
        kept = self._keeper.found
        self._steps, lens = (0, 0.0) if kept is None else (kept.motor_steps, kept.lens_steps)
        self.lock = threading.RLock()
        self.history = MoveHistory(self._steps, config.settle_s, config.backlash_steps, lens)
        self.trusted, self.doubt = kept is not None, self._keeper.doubt
        self.fault: str | None = None
        self.powered = False
        self._awake_s = -math.inf
        # Steps have been sent up to this time.
        self._fed_s = clock.now()
        self._sending = False
        self._outwards = {"none": 0, "low": -1, "high": 1}[drive.homing.end_stop]
        self._seeking = False
        self._sought: bool | None = None
        self._found: int | None = None
        self._halting = False
        self._closed = False
        pump.start(self._feed)

    @property
    def steps(self) -> int:
        """Whole step that the motor stands on, after all that was sent."""
        return self._steps

    @property
    def at_rest(self) -> bool:
        """Whether all steps of the newest plan have been sent."""
        return self._fed_s >= self.history.profile.end_s and not self._sending

    @property
    def moving(self) -> bool:
        """Whether the lens is moving or settling now."""
        self.catch_up()
        with self.lock:
            return self._clock.now() < self.history.still_s or not self.at_rest

    @property
    def pressed(self) -> bool | None:
        """Whether the end stop is pressed; None where there is none."""
        try:
            return self._driver.end_stop
        except Exception as error:
            raise self._out_of_order(error) from error

    def catch_up(self) -> None:
        """Account for all that is due by now."""
        self._pump.catch_up()

    def refuse_if_out_of_order(self) -> None:
        """Raise AxisFault after a latched fault and after `close`."""
        if self.fault is not None:
            raise AxisFault(self.fault)
        if self._closed:
            raise AxisFault("focus axis: closed; open the rig again")

    # --- planning -------------------------------------------------------------------------------------------

    def horizon(self) -> tuple[float, int]:
        """When a new plan can begin, and the first whole step on which the motor can stop then."""
        start_s, position, speed = self._state()
        ahead = position + braking_steps(speed, self._config.acceleration_steps_s2)
        # Rounding must not cost a step more.
        return start_s, math.ceil(ahead - 1e-6) if speed > 0 else math.floor(ahead + 1e-6)

    def turn(self, waypoints: Sequence[int], max_speed: float | None = None) -> None:
        """Turn to one whole step after the other, from what has been sent on.

        Parameters
        ----------
        waypoints : steps; the last one is the target
        max_speed : steps/s; the rig file's when absent
        """
        with self.lock:
            if not self.powered:
                self.power(True)
            start_s, position, speed = self._state()
            _, stop = self.horizon()
            # What lies behind it is reached by way of it, so that the motor turns round on a whole step.
            if (waypoints[0] - stop) * speed < 0:
                waypoints = [stop, *waypoints]
            profile = plan_path(
                start_s,
                position,
                speed,
                waypoints,
                self._config.max_speed_steps_s if max_speed is None else max_speed,
                self._config.acceleration_steps_s2,
            )
            self._fed_s = start_s
            self.history.begin(start_s, profile)
        self._pump.wake()

    def brake(self) -> None:
        """Decelerate to a stop, on the first whole step that can be stopped on."""
        with self.lock:
            if not self.at_rest:
                self.turn([self.horizon()[1]])

    def halt(self) -> None:
        """Stop at once, without a ramp; steps may be lost by it, so the position is no longer trusted."""
        with self.lock:
            if self.at_rest or self.fault is not None:
                return
            self._halting = True
            self._driver.interrupt()
        self._pump.wake()

    def wait(self) -> None:
        """Wait until the lens stands still; an interrupted wait stops it.

        Raises
        ------
        AxisFault
            A fault has latched.
        """
        try:
            while self.moving:
                self._clock.sleep(POLL_S)
        except BaseException:
            self.brake()
            raise
        if self.fault is not None:
            raise AxisFault(self.fault)

    def seek(self, steps: int, speed: float, *, pressed: bool | None) -> int | None:
        """Turn until the end stop is pressed or free, and wait until the lens stands still.

        Parameters
        ----------
        steps : to turn at most, signed
        speed : steps/s
        pressed : what ends it; None turns by all the steps, whatever the switch says

        Returns
        -------
        int or None
            The motor's whole step at which it happened; None when it did not.

        Raises
        ------
        AxisFault
            A fault has latched.
        """
        try:
            with self.lock:
                self._seeking, self._sought, self._found = True, pressed, None
                self.turn([self._steps + steps], min(speed, self._config.max_speed_steps_s))
            self.wait()
        finally:
            self._seeking = False
        with self.lock:
            # The last chunk may have done it.
            if self._found is None and pressed is not None and self.pressed == pressed:
                self._found = self._steps
            return self._found

    def recount(self, steps: int, lens: float) -> None:
        """Count from other positions, in steps, and trust them; the motor must be at rest."""
        with self.lock:
            self._steps = steps
            self.history.recount(self._clock.now(), steps, lens)
            self.trusted, self.doubt = True, ""
            if not self.powered:
                self.power(True)
        self._pump.wake()

    def distrust(self, why: str) -> None:
        """Forget that the positions are known."""
        with self.lock:
            self.trusted, self.doubt = False, why
        self._pump.wake()

    def power(self, on: bool) -> None:
        """Switch the coils' current."""
        with self.lock:
            try:
                self._driver.enable(on)
            except Exception as error:
                raise self._out_of_order(error) from error
            self.powered = on
            if on:
                self._awake_s = self._clock.now() + self._config.drive.wake_s
            elif not self._config.drive.holds_unpowered:
                self.trusted = False
                self.doubt = "the current was switched off, and the screw does not hold the lens without it"

    def fail(self, cause: str) -> None:
        """Latch a fault."""
        with self.lock:
            if self.fault is not None:
                return
            named = cause.startswith(("focus axis", "position file"))
            self.fault = cause if named else f"focus axis: {cause}"
            self._rest_here(self.fault)
            try:
                self._driver.enable(False)
                self.powered = False
            except Exception as error:
                self.fault += f" (nor could its current be switched off: {error}; cut the power)"
        self._pump.wake()

    def close(self) -> None:
        """Stop, keep the position, switch the current off and release the driver; twice is fine."""
        if self._closed:
            return
        self.brake()
        until_s = self._clock.now() + CLOSE_S
        while self.fault is None and self.moving and self._clock.now() < until_s:
            self._clock.sleep(POLL_S)
        if not self.at_rest:
            self._driver.interrupt()
        self._pump.close()
        with self.lock:
            self._closed = True
            try:
                if self.powered:
                    self.power(False)
                with contextlib.nullcontext() if self.fault is None else contextlib.suppress(AxisFault):
                    self._keep(now=math.inf)
            finally:
                self.powered = False
                self._driver.close()

    # --- sending steps: called by the pump, from one thread at a time ---------------------------------------

    def _state(self) -> tuple[float, float, float]:
        """When a new plan can begin, and the motor's position and speed then."""
        if self.at_rest:
            return max(self._clock.now(), self._awake_s, self._fed_s), float(self._steps), 0.0
        return self._fed_s, self.history.motor_at(self._fed_s), self.history.speed_at(self._fed_s)

    def _feed(self, until_s: float) -> float:
        """Send what is due until a time, one chunk at most; return when there is more to do, or inf."""
        try:
            return self._send(until_s)
        # Whatever goes wrong in a thread must reach the caller: as a latched fault.
        except Exception as error:
            self._out_of_order(error)
            return math.inf
        finally:
            self._sending = False

    def _send(self, until_s: float) -> float:
        with self.lock:
            if self._halting:
                self._halting = False
                self._rest_here("it was halted in mid-move")
        # Nothing is sent until the file has been marked, on the disk; the lock is free, for disks are slow.
        self._keep(now=self._clock.now())
        with self.lock:
            if self.fault is not None or self._closed:
                return math.inf
            if self.at_rest:
                return self._see_to_rest()
            if until_s <= self._fed_s:
                return self._fed_s
            if self._record_due(self._clock.now()) is not None:
                # A move was planned meanwhile.
                return -math.inf
            if self._outwards and not self._end_stop_allows():
                return math.inf
            profile, begin = self.history.profile, self._fed_s
            end = self._fed_s = max(begin, min(until_s, begin + CHUNK_S, profile.end_s))
            chunk = list(pulses_between(profile, self._steps, begin, end))
            self._sending = bool(chunk)
        late_s = 0.0
        for pulses in chunk:
            if self.fault is None and not self._halting:
                late_s += self._play(pulses, late_s)
        with self.lock:
            self._sending = False
            if late_s > 0 and self.fault is None:
                self.history.delay(end, late_s)
                self._fed_s += late_s
            return self._fed_s

    def _play(self, pulses: Pulses, late_s: float) -> float:
        """Send pulses, later than planned by what came late before; return how much later they came still."""
        up = pulses.forward
        asked = len(pulses.due_s)
        played = self._driver.play(Pulses(up != self._config.invert_direction, pulses.due_s + late_s))
        with self.lock:
            self._steps += played.count if up else -played.count
            if played.count < asked and not self._halting:
                self.fail(
                    f"the driver sent {played.count} of {asked} steps; check its lines, then open the rig "
                    "again and home it"
                )
        return played.late_s

    def _end_stop_allows(self) -> bool:
        """Act on the end stop: what is sought has been found, or a move has run into it."""
        pressed = self.pressed
        if self._seeking:
            if self._sought is not None and pressed == self._sought and self._found is None:
                self._found = self._steps
                self.brake()
        elif pressed and (self.history.profile.target - self._steps) * self._outwards > 0:
            lens = self.history.position_at(self._fed_s)
            self.fail(
                f"the end stop was pressed at {lens:.0f} steps, where none should be: steps were lost, or "
                "the switch is wired wrongly; open the rig again and home it, or check the switch with "
                "'wormfocus doctor'"
            )
            return False
        return True

    def _see_to_rest(self) -> float:
        """Switch the idle current off when its time has come; return when there is more to do."""
        still_s, idle_off_s = self.history.still_s, self._config.drive.idle_off_s
        more_s = math.inf
        if self.trusted:
            more_s = self._keeper.due_s(self._steps, self.history.rest_position, still_s)
        if idle_off_s is not None and self.powered:
            off_s = max(still_s, self._awake_s) + idle_off_s
            if self._clock.now() >= off_s:
                self.power(False)
                return -math.inf
            more_s = min(more_s, off_s)
        return more_s

    def _record_due(self, now: float) -> KeptPosition | None:
        trusted = self.at_rest and self.trusted
        lens = self.history.rest_position
        return self._keeper.due(self._steps, lens, trusted=trusted, still_s=self.history.still_s, now=now)

    def _keep(self, now: float) -> None:
        """Bring the position file up to date."""
        with self.lock:
            record = self._record_due(now)
        if record is not None:
            self._keeper.write(record)

    def _out_of_order(self, error: Exception) -> AxisFault:
        """Latch what the driver or the disk said, which says itself what to do if it is one of our errors."""
        if isinstance(error, AxisFault):
            self.fail(str(error))
        else:
            said = str(error) or type(error).__name__
            self.fail(f"the driver failed ({said}); check its lines, then open the rig again and home it")
        return AxisFault(self.fault)

    def _rest_here(self, why: str) -> None:
        """Rest where the last step sent has left the motor, with no trust in it."""
        now = self._clock.now()
        self.history.rest(min(now, self._fed_s), self._steps)
        self._fed_s = max(self._fed_s, now)
        self.trusted, self.doubt = False, why

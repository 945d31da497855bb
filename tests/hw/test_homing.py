"""Homing on an end stop, and what an end stop does otherwise; in virtual time."""

import numpy as np
import pytest

from hw.clock import VirtualClock
from hw.config import AxisConfig
from hw.errors import AxisFault
from hw.pump import CallPump
from hw.simulation.driver import SimulatedStepDriver
from hw.stepper import StepperAxis

SWITCH = {"low": -1050.0, "high": 1050.0}


class StickyDriver(SimulatedStepDriver):
    """Its switch does not spring back once it was pressed."""

    stuck = False

    @property
    def end_stop(self):
        self.stuck = self.stuck or bool(super().end_stop)
        return self.stuck


class LooseDriver(SimulatedStepDriver):
    """Its switch slips away when it is pressed for the first time."""

    presses = 0

    @property
    def end_stop(self):
        pressed = super().end_stop
        self.presses += bool(pressed)
        if self.presses == 1:
            self._end_stop_steps -= 400
        return bool(pressed)


@pytest.fixture
def make(axis_config, axis_truth):
    def build(end="low", *, start=0.0, switch=None, driver_class=SimulatedStepDriver, backlash=0.0):
        config = axis_config(homing={"end_stop": end, "end_stop_steps": SWITCH[end]})
        config = config.model_copy(update={"backlash_steps": backlash})
        clock = VirtualClock()
        driver = driver_class(
            config.drive,
            axis_truth.model_copy(update={"backlash_steps": backlash}),
            clock,
            np.random.default_rng(0),
            start_steps=start,
            end_stop_steps=SWITCH[end] if switch is None else switch,
        )
        return StepperAxis(config, driver, clock, CallPump(clock)), driver, clock

    return build


@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize("start", [-1040.0, -300.0, 0.0, 777.0, 1040.0])
@pytest.mark.parametrize("backlash", [0.0, 6.0])
def test_the_end_stop_is_found_from_anywhere(make, end, start, backlash):
    axis, driver, clock = make(end, start=start, backlash=backlash)
    assert not axis.homed
    axis.home()
    assert axis.homed
    assert not driver.end_stop, "off the switch in the end"
    low, high = axis.limits_steps
    assert low <= axis.position_steps <= high
    # At 50 steps/s half a step passes in each chunk of 10 ms, and the chunk under way is sent still.
    assert driver.true_position_at(clock.now()) == pytest.approx(axis.position_steps, abs=1.5)
    axis.move_to(0)
    clock.sleep(6.0)
    assert not axis.moving
    assert driver.true_position_at(clock.now()) == pytest.approx(0, abs=1.5)


def test_the_same_place_is_found_again_to_a_step(make):
    found = []
    for start in range(-500, 500, 90):
        axis, driver, clock = make(start=start + 0.0)
        axis.home()
        found.append(driver.true_position_at(clock.now()) - axis.position_steps)
    assert np.ptp(found) <= 1.0


def test_a_lens_that_starts_on_the_switch_leaves_it_first(make):
    axis, driver, clock = make(start=-1055.0)
    assert driver.end_stop
    axis.home()
    assert driver.true_position_at(clock.now()) == pytest.approx(axis.position_steps, abs=1.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1200.0}, "is pressed and is not released within 40 steps; check .* wired the right way"),
        ({"switch": -9000.0}, "was not reached within 2140 steps, .*; check the switch's wiring"),
        ({"driver_class": StickyDriver}, "still pressed 40 steps after .* springs back"),
        ({"driver_class": LooseDriver}, "fast, but not again slowly; check that it sits firmly"),
    ],
)
def test_a_failed_search_names_cause_and_next_step_and_latches(make, options, message):
    axis, _, _ = make(**options)
    with pytest.raises(AxisFault, match=message):
        axis.home()
    assert not axis.homed
    assert not axis.powered
    with pytest.raises(AxisFault, match=message):
        axis.move_to(0)
    with pytest.raises(AxisFault, match=message):
        axis.home()


def test_an_end_stop_without_a_line_is_said(make, axis_config, axis_truth):
    config = axis_config(homing={"end_stop": "low", "end_stop_steps": -1050})
    clock = VirtualClock()
    driver = SimulatedStepDriver(config.drive, axis_truth, clock, np.random.default_rng(0))
    axis = StepperAxis(config, driver, clock, CallPump(clock))
    with pytest.raises(AxisFault, match="the driver has no end stop; give it a line"):
        axis.home()


def test_an_end_stop_in_mid_move_stops_the_motor_within_20_ms(make):
    axis, driver, clock = make()
    axis.home()
    axis.move_to(-500)
    clock.sleep(6.0)
    # Someone's hand: the switch is now where no switch should be.
    driver._end_stop_steps = -800.0
    axis.move_to(-900)
    clock.sleep(6.0)
    assert "the end stop was pressed at -80" in axis.fault
    assert "open the rig again and home it" in axis.fault
    assert -800 - 400 * 0.02 <= driver.true_position_at(clock.now()) <= -800
    assert not axis.powered


def test_a_pressed_end_stop_does_not_hinder_the_way_back(make):
    axis, driver, clock = make()
    axis.home()
    driver._end_stop_steps = 2000.0
    axis.move_to(axis.position_steps + 50)
    clock.sleep(2.0)
    assert axis.fault is None


@pytest.mark.parametrize(
    ("homing", "message"),
    [
        ({"end_stop": "low"}, "end_stop_steps is missing"),
        ({"end_stop": "low", "end_stop_steps": -1000}, "below min_steps -1000"),
        ({"end_stop": "high", "end_stop_steps": 999}, "above max_steps 1000"),
    ],
)
def test_a_rig_file_puts_the_switch_outside_of_the_limits(axis_config, homing, message):
    values = axis_config().model_dump() | {"drive": {"homing": homing}}
    with pytest.raises(ValueError, match=message):
        AxisConfig.model_validate(values)


def test_an_interrupted_search_stops_the_motor_and_leaves_the_position_unknown(make, monkeypatch):
    axis, driver, clock = make()
    real = clock.sleep

    def sleep(seconds):
        real(seconds)
        if clock.now() > 2.0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(clock, "sleep", sleep)
        with pytest.raises(KeyboardInterrupt):
            axis.home()
    clock.sleep(0.5)
    assert not axis.moving
    stopped = driver.true_position_at(clock.now())
    assert -500 < stopped < -300
    clock.sleep(5.0)
    assert driver.true_position_at(clock.now()) == stopped
    with pytest.raises(AxisFault, match="homing was not finished; home it first"):
        axis.move_to(0)
    axis.home()
    assert axis.homed

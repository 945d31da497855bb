"""The stepper axis over a driver whose lens and lines can be looked at, in virtual time."""

import dataclasses
import logging
import os
import threading
import time

import numpy as np
import pytest

from hw import pump as pump_module
from hw.clock import SystemClock, VirtualClock
from hw.errors import AxisFault
from hw.pump import CallPump, ThreadPump
from hw.simulation.driver import SimulatedStepDriver
from hw.step_driver import Played
from hw.stepper import StepperAxis


class Bench:
    """An axis at position 0 in virtual time."""

    def __init__(self, config, truth, driver_class=SimulatedStepDriver, *, homed=True, **driver):
        self.clock, self.config, self.trace = VirtualClock(), config, []
        self.driver = driver_class(
            config.drive, truth, self.clock, np.random.default_rng(0), trace=self.trace, **driver
        )
        self.axis = StepperAxis(config, self.driver, self.clock, CallPump(self.clock))
        if homed:
            self.axis.confirm_position(0)

    def rest(self):
        for _ in range(2000):
            if not self.axis.moving:
                return
            self.clock.sleep(0.01)
        raise AssertionError("the axis never came to rest")

    def rises(self):
        return np.array([e.t for e in self.trace if e.line == "STEP" and e.level])


def with_backlash(config, steps, **drive):
    return config.model_copy(update={"backlash_steps": steps, "drive": config.drive.model_copy(update=drive)})


def test_a_lens_comes_to_rest_on_the_whole_step_nearest_to_its_target(axis_config, axis_truth):
    bench = Bench(axis_config(), axis_truth)
    for target, whole in [(10.4, 10), (-3.6, -4), (-4.2, -4), (999.7, 1000)]:
        bench.axis.move_to(target)
        bench.rest()
        assert bench.axis.position_steps == whole
        assert bench.driver.true_position_at(bench.clock.now()) == whole
        assert bench.axis.target_steps == target, "so that who sent it there knows it again"


def test_believed_and_true_position_agree_to_half_a_step_at_any_time(axis_config, axis_truth):
    bench = Bench(with_backlash(axis_config(), 6.0), axis_truth.model_copy(update={"backlash_steps": 6.0}))
    rng = np.random.default_rng(1)
    for k in range(400):
        if k % 13 == 0:
            bench.axis.move_to(float(rng.uniform(-300, 300)))
        bench.clock.sleep(0.01)
        believed = bench.axis.position_steps
        assert abs(bench.driver.true_position_at(bench.clock.now()) - believed) <= 0.5 + 1e-6
        past = bench.clock.now() - 0.1
        if past > 0:
            assert abs(bench.driver.true_position_at(past) - bench.axis.position_at(past)) <= 0.5 + 1e-6


@pytest.mark.parametrize("true_backlash", [3.0, 6.0, 9.0])
def test_an_upward_approach_ends_where_it_should_whatever_the_backlash_is(
    axis_config, axis_truth, true_backlash
):
    config = with_backlash(axis_config(), 6.0, approach="upward", run_up_steps=5.0)
    bench = Bench(config, axis_truth.model_copy(update={"backlash_steps": true_backlash}))
    for target in (100, 40, -20, 30, 29):
        bench.axis.move_to(target)
        bench.rest()
        assert bench.axis.position_steps == target
        assert bench.driver.true_position_at(bench.clock.now()) == target
    # The default trusts the rig file, and is off by what the rig file is off.
    bench = Bench(
        with_backlash(axis_config(), 6.0), axis_truth.model_copy(update={"backlash_steps": true_backlash})
    )
    for target in (100, 40):
        bench.axis.move_to(target)
        bench.rest()
    assert bench.driver.true_position_at(bench.clock.now()) == 40 + true_backlash - 6


@pytest.mark.parametrize("seed", range(8))
def test_an_upward_approach_can_be_retargeted_at_any_time(axis_config, axis_truth, seed):
    bench = Bench(
        with_backlash(axis_config(), 6.0, approach="upward", run_up_steps=6.0),
        axis_truth.model_copy(update={"backlash_steps": 9.0}),
    )
    rng = np.random.default_rng(seed)
    for _ in range(40):
        target = int(rng.integers(-30, 30))
        bench.axis.move_to(target)
        bench.clock.sleep(float(rng.uniform(0, 0.1)))
    bench.rest()
    assert bench.axis.position_steps == target
    assert bench.driver.true_position_at(bench.clock.now()) == target


class LateDriver(SimulatedStepDriver):
    """Every seventh chunk comes 5 ms late, once 80 ms."""

    chunks = 0
    late_s = 0.0

    def play(self, pulses):
        self.chunks += 1
        late_s = 0.08 if self.chunks == 20 else 0.005 if self.chunks % 7 == 0 else 0.0
        played = super().play(dataclasses.replace(pulses, due_s=pulses.due_s + late_s))
        self.late_s += late_s
        return Played(played.count, played.late_s + late_s)


def test_late_steps_stretch_the_profile_and_never_bunch_up(axis_config, axis_truth):
    bench = Bench(axis_config(), axis_truth, LateDriver)
    bench.axis.move_to(400)
    begun_s = bench.clock.now() + 0.002
    bench.rest()
    rises = bench.rises()
    assert bench.driver.late_s > 0.1
    assert len(rises) == 400
    assert np.diff(rises).min() >= 1 / 400 - 1e-9
    last_s = begun_s + 1.1 + bench.driver.late_s - np.sqrt(1 / 4000)
    assert rises[-1] == pytest.approx(last_s, abs=1e-6), "all that was late is late to the end"
    for t in rises[5::20]:
        assert bench.axis.position_at(t) == pytest.approx(bench.driver.true_position_at(t), abs=0.5 + 1e-6), (
            "the history knows"
        )


def test_late_steps_and_new_targets_in_a_thread_keep_count_and_intervals(axis_config, axis_truth):
    clock, config, trace = SystemClock(), axis_config(), []
    driver = LateDriver(config.drive, axis_truth, clock, np.random.default_rng(0), trace=trace)
    axis = StepperAxis(config, driver, clock, ThreadPump(clock))
    axis.confirm_position(0)
    rng = np.random.default_rng(8)
    for target in rng.integers(-60, 60, 20).tolist():
        axis.move_to(target)
        time.sleep(float(rng.uniform(0.0, 0.12)))
    while axis.moving:
        time.sleep(0.01)
    assert axis.fault is None
    assert driver.true_position_at(clock.now()) == axis.position_steps == target
    rises = np.array([e.t for e in trace if e.line == "STEP" and e.level])
    assert driver.late_s > 0.1
    assert np.diff(rises).min() >= 1 / 400 - 1e-9
    axis.close()


class DumbDriver(SimulatedStepDriver):
    """Loses the connection after 30 steps."""

    def play(self, pulses):
        if len(self._times) > 30:
            raise OSError("gpiochip: device gone; check the ribbon cable")
        return super().play(pulses)


class ShortDriver(SimulatedStepDriver):
    """Sends one step less than asked, once."""

    def play(self, pulses):
        short = len(self._times) > 30
        played = super().play(dataclasses.replace(pulses, due_s=pulses.due_s[: -1 if short else None]))
        return Played(played.count, played.late_s)


@pytest.mark.parametrize(("driver", "cause"), [(DumbDriver, "ribbon cable"), (ShortDriver, "of 4 steps")])
def test_a_fault_latches_takes_the_current_off_and_names_its_cause(axis_config, axis_truth, driver, cause):
    bench = Bench(axis_config(), axis_truth, driver)
    bench.axis.move_to(400)
    bench.clock.sleep(1.0)
    assert cause in bench.axis.fault
    assert not bench.axis.powered
    assert not bench.axis.homed
    assert [e.level for e in bench.trace if e.line == "EN"] == [False, True]
    bench.clock.sleep(0.1)
    assert not bench.axis.moving
    sent = len(bench.rises())
    assert 30 <= sent < 40
    assert bench.axis.position_steps == sent, "where the last step left it, for the record"
    for refused in (lambda: bench.axis.move_to(0), bench.axis.home, lambda: bench.axis.confirm_position(0)):
        with pytest.raises(AxisFault, match=cause):
            refused()
    bench.axis.stop()
    bench.axis.close()


class DeadDriver(SimulatedStepDriver):
    """Cannot switch its current."""

    def enable(self, on):
        raise OSError("line busy")


def test_a_driver_that_cannot_be_switched_is_a_fault_that_says_so(axis_config, axis_truth):
    bench = Bench(axis_config(), axis_truth, DeadDriver, homed=False)
    with pytest.raises(AxisFault, match=r"line busy\); check its lines, .* cut the power"):
        bench.axis.confirm_position(0)
    with pytest.raises(AxisFault, match="line busy"):
        bench.axis.move_to(1)
    assert not bench.axis.homed


def test_an_error_in_the_thread_surfaces_in_the_caller(axis_config, axis_truth):
    clock = SystemClock()
    config = axis_config()
    driver = DumbDriver(config.drive, axis_truth, clock, np.random.default_rng(0))
    axis = StepperAxis(config, driver, clock, ThreadPump(clock))
    axis.confirm_position(0)
    axis.move_to(400)
    for _ in range(200):
        if axis.fault is not None:
            break
        time.sleep(0.01)
    with pytest.raises(AxisFault, match="ribbon cable"):
        axis.move_to(0)
    axis.close()
    assert "focus axis" not in {thread.name for thread in threading.enumerate()}


def test_the_idle_current_goes_off_and_the_position_stays(axis_config, axis_truth):
    bench = Bench(axis_config(idle_off_s=0.5, wake_s=0.01), axis_truth)
    bench.axis.move_to(50)
    bench.rest()
    rest_s = bench.clock.now()
    bench.clock.advance_to(rest_s + 0.45)
    assert bench.axis.powered
    bench.clock.advance_to(rest_s + 0.55)
    assert not bench.axis.powered
    assert bench.axis.homed
    assert bench.axis.position_steps == 50
    woken_s = bench.clock.now()
    bench.axis.move_to(60)
    bench.rest()
    assert bench.rises()[50] >= woken_s + 0.01
    assert bench.axis.position_steps == 60


def test_a_screw_that_does_not_hold_makes_the_position_unknown_without_current(axis_config, axis_truth):
    bench = Bench(axis_config(idle_off_s=0.5, holds_unpowered=False), axis_truth)
    bench.axis.move_to(50)
    bench.rest()
    bench.clock.sleep(1.0)
    assert not bench.axis.homed
    with pytest.raises(AxisFault, match=r"does not hold .*; bring the lens to a position you know"):
        bench.axis.move_to(60)
    with pytest.raises(AxisFault, match="does not hold"):
        bench.axis.home()


def test_an_operator_confirms_the_position_where_there_is_no_end_stop(axis_config, axis_truth):
    bench = Bench(axis_config(), axis_truth, homed=False)
    assert not bench.axis.homed
    with pytest.raises(AxisFault, match=r"nobody has said .* confirm it with 'wormfocus jog'"):
        bench.axis.home()
    with pytest.raises(AxisFault, match="not homed"):
        bench.axis.move_to(1)
    with pytest.raises(AxisFault, match=r"not homed: .* \(--unhomed, then"):
        bench.axis.jog(-30)
    bench.axis.jog(-30, unhomed=True)
    with pytest.raises(AxisFault, match="moving; stop it"):
        bench.axis.confirm_position(0)
    bench.rest()
    assert np.diff(bench.rises()).min() >= 1 / 50 - 1e-9, "slowly: nobody knows what is in the way"
    for far in (-1971, 2031):
        with pytest.raises(AxisFault, match="2001 steps from where the lens was found, more than the whole"):
            bench.axis.jog(far, unhomed=True)
    with pytest.raises(AxisFault, match="outside its limits"):
        bench.axis.confirm_position(1200)
    bench.axis.confirm_position(200)
    assert bench.axis.position_steps == bench.axis.target_steps == 200
    bench.axis.home()
    assert bench.axis.position_steps == 200, "known already"
    bench.axis.move_to(190)
    bench.rest()
    assert len(bench.rises()) == 40
    assert bench.driver.true_position_at(bench.clock.now()) == -40, "its own count is not the operator's"


def test_inverting_the_direction_inverts_only_the_line(axis_config, axis_truth):
    bench = Bench(axis_config().model_copy(update={"invert_direction": True}), axis_truth)
    bench.axis.move_to(20)
    bench.rest()
    assert bench.axis.position_steps == 20
    assert bench.driver.true_position_at(bench.clock.now()) == -20


def test_positions_before_a_recount_stay_in_the_history(axis_config, axis_truth):
    bench = Bench(axis_config(), axis_truth)
    bench.axis.move_to(40)
    bench.rest()
    before_s = bench.clock.now()
    bench.clock.sleep(1.0)
    bench.axis.confirm_position(0)
    assert bench.axis.position_at(before_s) == 40
    assert bench.axis.position_steps == 0
    assert not bench.axis.moving
    assert bench.axis.moving_during(0.0, before_s)


def test_ordinary_scheduling_is_said_once(monkeypatch, caplog):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(pump_module, "_said", set())
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            pump = ThreadPump(SystemClock())
            pump.start(lambda _: float("inf"))
            pump.close()
            assert pump.scheduling == "ordinary (Operation not permitted)"
    assert [r.message for r in caplog.records if "SCHED_FIFO" in r.message] == [caplog.records[0].message]


def test_sched_fifo_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda pid, policy, _: asked.append((pid, policy)))
    pump = ThreadPump(SystemClock())
    pump.start(lambda _: float("inf"))
    pump.close()
    assert asked[0] == (0, os.SCHED_FIFO)
    assert pump.scheduling.startswith("SCHED_FIFO")

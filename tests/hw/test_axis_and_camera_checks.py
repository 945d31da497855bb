"""What the doctor says of an axis and of a camera, each with something wrong with it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw.axis_check import check_axis, check_kept_position, check_move
from hw.camera_check import check_frames
from hw.check import Check, Status
from hw.clock import VirtualClock
from hw.config import AxisConfig, CameraConfig
from hw.frame import Frame
from hw.pump import CallPump
from hw.simulation.config import SimulatedAxisConfig
from hw.simulation.driver import SimulatedStepDriver
from hw.stepper import StepperAxis

MakeConfig = Callable[..., AxisConfig]


def open_axis(
    config: AxisConfig, truth: SimulatedAxisConfig, start: float = 0.0
) -> tuple[StepperAxis, VirtualClock]:
    clock = VirtualClock()
    driver = SimulatedStepDriver(
        config.drive, truth, clock, np.random.default_rng(0), start_steps=start, end_stop_steps=-1050.0
    )
    return StepperAxis(config, driver, clock, CallPump(clock)), clock


def named(found: list[Check], name: str) -> Check:
    return next(check for check in found if check.name == name)


def test_an_unknown_position_fails_until_an_operator_confirms_it(
    axis_config: MakeConfig, axis_truth: SimulatedAxisConfig, tmp_path: Path
) -> None:
    config = axis_config(position_file=tmp_path / "axis.json")
    axis, _ = open_axis(config, axis_truth)
    found = named(check_axis(config, axis), "position")
    assert (found.status, found.seen) == (Status.failed, "not trusted: no position has been kept yet")
    assert "wormfocus jog" in found.next_step
    assert check_kept_position(config) == found
    axis.confirm_position(40)
    found = named(check_axis(config, axis), "position")
    assert (found.status, found.seen[:26]) == (Status.ok, "+40 steps = +200.0 um, tru")
    axis.close()
    assert check_kept_position(config).status is Status.ok
    (tmp_path / "axis.json").write_text("{")
    assert "not a position" in check_kept_position(config).seen


def test_looking_moves_nothing_and_switches_nothing_on(
    axis_config: MakeConfig, axis_truth: SimulatedAxisConfig
) -> None:
    config = axis_config()
    axis, clock = open_axis(config, axis_truth)
    check_axis(config, axis)
    assert not axis.powered
    assert check_move(axis, clock, 20).status is Status.failed, "unhomed, so not even when asked to"
    assert not axis.powered
    assert axis.position_steps == 0


def test_an_end_stop_that_is_pressed_where_it_should_be_free(
    axis_config: MakeConfig, axis_truth: SimulatedAxisConfig
) -> None:
    config = axis_config(homing={"end_stop": "low", "end_stop_steps": -1050})
    axis, _ = open_axis(config, axis_truth)
    assert named(check_axis(config, axis), "end stop").status is Status.ok
    assert named(check_axis(config, axis), "position").status is Status.ok, "homing will find it"
    axis, _ = open_axis(config, axis_truth, start=-1060)
    assert named(check_axis(config, axis), "end stop").status is Status.warning
    axis.confirm_position(0)
    found = named(check_axis(config, axis), "end stop")
    assert found.status is Status.failed
    assert "pressed now" in found.seen


def test_a_move_goes_there_and_back_within_the_limits(
    axis_config: MakeConfig, axis_truth: SimulatedAxisConfig
) -> None:
    axis, clock = open_axis(axis_config(), axis_truth)
    axis.confirm_position(990)
    found = check_move(axis, clock, 20)
    assert found.status is Status.ok
    assert found.seen.startswith("-20 steps and back in 0.")
    assert axis.position_steps == 990
    assert check_move(axis, clock, 1995).status is Status.failed
    assert axis.position_steps == 990


CAMERA = CameraConfig(width_px=8, height_px=6, fps=20, exposure_s=0.004, latency_frames=2)


class Shown:
    """A camera that delivers what a test gives it, each frame 0.1 s after its exposure began."""

    def __init__(self, clock: VirtualClock, change: Callable[[Frame, int], Frame]) -> None:
        self._clock, self._change = clock, change

    def frames(self) -> Iterator[Frame]:
        for index in range(200):
            start_s = index / CAMERA.fps
            self._clock.advance_to(start_s + 0.1)
            pixels = np.zeros((6, 8, 3), np.uint8)
            yield self._change(Frame(pixels, index, start_s, 0.004, 0.0, False), index)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("change", "wrong", "seen"),
    [
        (lambda f, i: f, None, ""),
        (lambda f, i: replace(f, pixels=f.pixels[:, :4]), "frames", "asked for 8x6"),
        (lambda f, i: replace(f, exposure_start_s=f.exposure_start_s * 0.8), "frames", "25.00 a second"),
        (lambda f, i: replace(f, index=2 * i, exposure_start_s=0.05 * i), "frames", "lost"),
        (lambda f, i: replace(f, exposure_start_s=0.0), "time stamps", "do not ascend"),
        (lambda f, i: replace(f, exposure_start_s=f.exposure_start_s + 1), "time stamps", "from the future"),
        (lambda f, i: replace(f, exposure_start_s=f.exposure_start_s - 1), "time stamps", "1100 ms"),
        (lambda f, i: replace(f, exposure_s=0.002 + 1e-4 * i), "exposure", "not locked"),
        (lambda f, i: replace(f, exposure_s=0.01), "exposure", "longer"),
    ],
)
def test_each_thing_that_can_be_wrong_with_frames_is_found(
    change: Callable[[Frame, int], Frame], wrong: str | None, seen: str
) -> None:
    clock = VirtualClock()
    found = check_frames(CAMERA, Shown(clock, change), clock, seconds=1.0)
    assert [check.name for check in found] == ["frames", "time stamps", "exposure"]
    if wrong is None:
        assert {check.status for check in found} == {Status.ok}
        assert found[0].seen == "20 of 8x6 px, no second picture, 20.00 a second, 0% lost"
    else:
        bad = named(found, wrong)
        assert bad.status is not Status.ok
        assert seen in bad.seen
        assert bad.next_step

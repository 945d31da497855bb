import itertools

import numpy as np
import pytest

from calibration.acquire import acquire_stack, plan_positions
from calibration.stack import ZStack, read_stack, write_stack
from hw.camera import Camera
from hw.config import load_rig
from hw.errors import AxisFault, CameraStalled, StackError
from hw.frame import Frame
from hw.replay import ReplayedAxis
from hw.rig import Rig, open_rig


@pytest.fixture(params=[(7, 8, 9), (7, 8, 9, 3)], ids=["grey", "colour"])
def recording(request, tmp_path):
    images = np.random.default_rng(0).integers(0, 255, request.param).astype(np.uint8)
    path = tmp_path / "a.ome.tif"
    stack = ZStack(images, np.array([-300.0, -120, -50, 0, 35, 90, 400]), 0.7, "egg")
    write_stack(path, stack)
    return path, stack


def test_stack_of_a_replayed_rig_is_the_recording(recording, tmp_path):
    path, original = recording
    steps = []
    with open_rig(load_rig("replay"), stack=path) as rig:
        positions = original.positions_um[::-1] / rig.axis.um_per_step
        stack = acquire_stack(rig, positions, specimen="egg", progress=lambda *n: steps.append(n))
    np.testing.assert_array_equal(stack.images, original.images)
    np.testing.assert_allclose(stack.positions_um, original.positions_um, atol=1e-9)
    assert (stack.um_per_px, stack.specimen) == (0.7, "egg")
    assert stack.notes["source"] == "REPLAYED"
    assert steps == [(n, 7) for n in range(1, 8)]
    write_stack(tmp_path / "b.ome.tif", stack)
    again = open_rig(load_rig("replay"), stack=tmp_path / "b.ome.tif")
    assert again.config.optics.dof_um == float(stack.notes["dof_um"]), "a stack remembers its optics"
    assert read_stack(tmp_path / "b.ome.tif").notes == stack.notes


def test_a_stack_says_of_its_camera_that_it_is_linear_and_its_replay_says_so_too(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (5, 6, 7)).astype(np.uint8)
    path = tmp_path / "a.ome.tif"
    for notes, said in (({}, None), ({"linear": "yes"}, "yes")):
        write_stack(path, ZStack(images, np.arange(5.0), 0.7, notes=notes))
        with open_rig(load_rig("replay"), stack=path) as rig:
            assert rig.config.camera.linear is (said == "yes")
            stack = acquire_stack(rig, np.arange(5.0) / rig.axis.um_per_step)
        assert stack.notes.get("linear") == said


class WatchfulCamera:
    """Yields frames of the axis's position, and keeps them."""

    def __init__(self, rig_config, clock, axis, delay_s=0.0):
        self.config, self.clock, self.axis, self.delay_s = rig_config.camera, clock, axis, delay_s
        self.yielded: list[Frame] = []

    def frames(self):
        for index in itertools.count():
            start = self.clock.now() - self.delay_s
            self.clock.sleep(1 / self.config.fps)
            moving = self.axis.moving_during(start, start + self.config.exposure_s)
            position = self.axis.position_at(start + self.config.exposure_s / 2)
            pixels = np.full((4, 4, 3), index % 256, np.uint8)
            frame = Frame(pixels, index, start, self.config.exposure_s, position, moving)
            self.yielded.append(frame)
            yield frame

    def close(self):
        pass


def watched_rig(delay_s=0.0, **axis_changes):
    from hw.clock import VirtualClock

    config = load_rig("worm_tracker")
    config = config.model_copy(update={"axis": config.axis.model_copy(update=axis_changes)})
    clock = VirtualClock()
    axis = ReplayedAxis(config.axis, clock, 0.0)
    camera: Camera = WatchfulCamera(config, clock, axis, delay_s)
    return Rig(config, clock, camera, axis)


def test_every_plane_is_approached_from_below_and_at_rest():
    rig = watched_rig(delay_s=0.1)
    moves = []
    move_to = rig.axis.move_to
    rig.axis.move_to = lambda steps: (moves.append(steps), move_to(steps))
    stack = acquire_stack(rig, [40, -40, 0])
    assert moves == [-40 - 2 * rig.config.axis.backlash_steps, -40, 0, 40]
    np.testing.assert_allclose(stack.positions_um, [-200, 0, 200])
    taken = [rig.camera.yielded[int(plane[0, 0])] for plane in stack.images]
    assert not any(frame.lens_moving for frame in taken)
    refused = [frame for frame in rig.camera.yielded if all(frame is not t for t in taken)]
    assert sum(frame.lens_moving for frame in refused) >= 3, (
        "frames of the moving lens were offered each time"
    )


def test_no_room_to_take_up_the_backlash():
    rig = watched_rig()
    with pytest.raises(StackError, match="no room to take up the backlash"):
        acquire_stack(rig, [rig.axis.limits_steps[0] + 1, 0])


@pytest.mark.parametrize("positions", [[], [0, 5, 5]])
def test_impossible_positions(positions):
    with pytest.raises(StackError, match="all different"):
        acquire_stack(watched_rig(), positions)


def test_camera_that_only_delivers_old_frames():
    with pytest.raises(CameraStalled, match="lens at rest"):
        acquire_stack(watched_rig(delay_s=1e6), [0, 10])


def test_lens_that_never_rests():
    class Restless(ReplayedAxis):
        moving = True

    rig = watched_rig()
    rig.axis = Restless(rig.config.axis, rig.clock, 0.0)
    rig.axis.home()
    with pytest.raises(AxisFault, match="did not come to rest"):
        acquire_stack(rig, [10, 20])


def test_positions_by_default_fit_the_rig():
    config = load_rig("worm_tracker")
    positions = plan_positions(config)
    scale = config.axis.um_per_step
    assert positions.mean() == pytest.approx(0), "the middle of the travel"
    assert np.ptp(positions) * scale == pytest.approx(
        config.control.search_span_um, abs=config.optics.dof_um / 4
    )
    np.testing.assert_allclose(np.diff(positions) * scale, config.optics.dof_um / 4)


def test_positions_asked_for():
    config = load_rig("worm_tracker")
    positions = plan_positions(config, centre_um=500, span_um=100, step_um=25) * config.axis.um_per_step
    np.testing.assert_allclose(positions, [450, 475, 500, 525, 550])
    with pytest.raises(StackError, match="past the axis's limits"):
        plan_positions(config, centre_um=4900, span_um=400)
    with pytest.raises(StackError, match="no planes"):
        plan_positions(config, span_um=10, step_um=20)
    with pytest.raises(StackError, match="no planes"):
        plan_positions(config, step_um=-1)

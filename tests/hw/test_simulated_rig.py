import itertools

import numpy as np
import pytest

from hw.clock import VirtualClock
from hw.config import RigConfig, load_rig
from hw.errors import CameraStalled, ConfigError
from hw.rig import Rig, open_rig


def small_rig_file(**sensor: float) -> RigConfig:
    """The reference rig with a smaller field, which renders quickly."""
    rig = load_rig("worm_tracker_sim")
    assert rig.simulation is not None
    simulation = rig.simulation.model_copy(
        update={
            "sensor": rig.simulation.sensor.model_copy(update={"drop_probability": 0.0, **sensor}),
            "optics": rig.simulation.optics.model_copy(update={"source_points": 3}),
            "plate": rig.simulation.plate.model_copy(update={"other_worms": 0}),
            "worm": rig.simulation.worm.model_copy(update={"roam_um": 50, "length_um": 600}),
        }
    )
    camera = rig.camera.model_copy(update={"width_px": 700, "height_px": 600})
    return rig.model_copy(update={"simulation": simulation, "camera": camera})


def test_frames_keep_their_beat_latency_and_lens_position() -> None:
    with open_rig(small_rig_file(), seed=1) as rig:
        rig.axis.home()
        frames = []
        for frame in itertools.islice(rig.camera.frames(), 6):
            frames.append(frame)
            assert rig.clock.now() == pytest.approx(frame.exposure_start_s + 0.004 + 2 / 20)
            if frame.index == 0:
                rig.axis.move_to(20)
        assert [f.index for f in frames] == list(range(6))
        assert frames[0].pixels.shape == (600, 700, 3)
        assert frames[0].pixels.dtype == np.uint8
        # The move began when frame 0 arrived, at 0.104 s: the frames of 0.00 to 0.10 s were exposed before.
        assert [f.lens_steps for f in frames[:3]] == [0, 0, 0]
        assert frames[3].lens_moving
        assert 0 < frames[3].lens_steps < 20
        assert frames[5].lens_steps == pytest.approx(20)


def test_a_slow_consumer_gets_the_newest_frame() -> None:
    with open_rig(small_rig_file(), seed=1) as rig:
        stream = rig.camera.frames()
        first = next(stream)
        rig.clock.sleep(0.5)
        assert next(stream).index == first.index + 10


def test_lost_frames_leave_gaps_and_too_many_stall() -> None:
    with open_rig(small_rig_file(drop_probability=0.5), seed=1) as rig:
        indices = [f.index for f in itertools.islice(rig.camera.frames(), 6)]
        assert indices[-1] > 5
    with (
        open_rig(small_rig_file(drop_probability=1.0), seed=1) as rig,
        pytest.raises(CameraStalled, match="no frame"),
    ):
        next(rig.camera.frames())


def test_the_same_seed_gives_the_same_frames_and_another_seed_others() -> None:
    def one(seed: int) -> np.ndarray:
        with open_rig(small_rig_file(), seed=seed) as rig:
            return next(rig.camera.frames()).pixels

    np.testing.assert_array_equal(one(3), one(3))
    assert not np.array_equal(one(3), one(4))


def sharpness(rig: Rig, lens_um: float) -> float:
    assert rig.ideal is not None
    return float(np.diff(rig.ideal.render(0.0, lens_um)[..., 1], axis=0).std())


def test_the_worm_starts_the_configured_distance_out_of_focus() -> None:
    sides = set()
    for seed in range(6):
        with open_rig(small_rig_file(), seed=seed) as rig:
            assert rig.ideal is not None
            plane = rig.ideal.plane_um(0.0)
            assert abs(plane) == pytest.approx(1250, abs=1)
            sides.add(np.sign(plane))
            assert sharpness(rig, plane + 90) > 1.1 * max(
                sharpness(rig, plane - 900), sharpness(rig, plane + 900)
            )
    assert sides == {-1.0, 1.0}


def test_the_frame_shows_the_lens_position_of_its_exposure() -> None:
    # Plenty of light, so that only what is sharp differs between neighbouring pixels.
    with open_rig(small_rig_file(electrons_at_white=1e8, read_noise_e=0), seed=2) as rig:
        assert rig.ideal is not None
        rig.axis.home()
        rig.axis.move_to(rig.ideal.plane_um(0.0) / 5)
        frames = list(itertools.islice(rig.camera.frames(), 24))
        contrast = [float(np.diff(f.pixels[..., 1].astype(float), axis=0).std()) for f in frames]
        assert min(contrast[20:]) > 1.08 * max(contrast[:4])


def test_a_rig_without_a_motor_refuses_an_inverted_direction() -> None:
    rig = load_rig("replay")
    inverted = rig.model_copy(update={"axis": rig.axis.model_copy(update={"invert_direction": True})})
    with pytest.raises(ConfigError, match=r"axis\.invert_direction .*; remove the key"):
        open_rig(inverted)


def test_only_simulated_rigs_open_as_such() -> None:
    from hw.simulation.rig import open_simulated_rig

    with pytest.raises(ConfigError, match="not simulated"):
        open_simulated_rig(load_rig("worm_tracker"), seed=0)


def test_parts_that_a_specimen_has_not_are_refused_and_not_left_out() -> None:
    worm, slit = load_rig("worm_tracker_sim"), load_rig("slit_laser_sim")
    with pytest.raises(ConfigError, match="stage: a simulated worm"):
        open_rig(worm.model_copy(update={"stage": slit.stage}))
    with pytest.raises(ConfigError, match="imaging: a simulated worm"):
        open_rig(worm.model_copy(update={"imaging": slit.imaging}))
    with pytest.raises(ConfigError, match="imaging: a simulated slide"):
        open_rig(load_rig("slide_sim").model_copy(update={"imaging": slit.imaging}))


def test_a_camera_that_fails_to_close_leaves_nothing_else_open() -> None:
    closed: list[str] = []

    class Part:
        def __init__(self, name: str) -> None:
            self.name = name

        def close(self) -> None:
            closed.append(self.name)
            if self.name == "camera":
                raise CameraStalled("camera: does not answer")

    parts = [Part(name) for name in ("camera", "axis", "stage")]
    rig = Rig(load_rig("slide_sim"), VirtualClock(), parts[0], parts[1], stage=parts[2])  # type: ignore[arg-type]
    with pytest.raises(CameraStalled):
        rig.close()
    assert closed == ["camera", "stage", "axis"]

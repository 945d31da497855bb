"""Learning from the answers of finished runs beside labels."""

import numpy as np
import pytest
import torch

from hw.errors import ConfigError
from training.distil import Teacher, taught_loss
from training.fit import train
from training.recipe import Recipe, TeacherConfig
from training.run import read_record
from training.transfer import teachers_of


def quiet(line):
    pass


@pytest.fixture(scope="module")
def teachers(recipe, stacks, tmp_path_factory, cache):
    """Two runs that differ by seed."""
    folder = tmp_path_factory.mktemp("teachers")
    return [
        train(
            recipe.model_copy(update={"samples": 320, "seed": seed}),
            [stacks],
            folder / str(seed),
            cache=cache,
            tell=quiet,
        )
        for seed in range(2)
    ]


def pupil(recipe, teachers, weight, **more):
    teacher = TeacherConfig(runs=tuple(run.folder for run in teachers), weight=weight)
    return recipe.model_copy(update={"teacher": teacher, "samples": 320, "epoch_samples": 160, **more})


def test_teachers_say_their_mean_and_stay_as_they_are(teachers):
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    said = Teacher(teachers).offsets_um(images)
    mean = sum(run.predict(images)[0] for run in teachers) / 2
    torch.testing.assert_close(said, mean, rtol=1e-4, atol=1e-2)
    assert not said.requires_grad
    assert not any(run.network.training for run in teachers)


def test_a_wrong_teacher_misleads_by_its_weight(recipe, teachers, stacks, tmp_path, cache):
    """A teacher that says 300 um of everything draws answers there, the more so the more it counts."""

    class Stubborn(Teacher):
        def offsets_um(self, images):
            return torch.full((len(images),), 300.0)

    found = {}
    for weight in (0.01, 0.99):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("training.sitting.Teacher", Stubborn)
            chosen = pupil(recipe, teachers, weight)
            run = train(chosen, [stacks], tmp_path / str(weight), cache=cache, tell=quiet)
        images = torch.randint(90, 110, (8, 3, 32, 32), dtype=torch.uint8)
        # Bluer than neutral: the labels of such planes are far below 0.
        images[:, 0] -= 35
        found[weight] = float(run.predict(images)[0].mean())
    assert found[0.99] > found[0.01] + 100


def test_a_pupil_is_resumed_and_knows_its_teachers(recipe, teachers, stacks, tmp_path, cache):
    chosen = pupil(recipe, teachers, 0.5, head="offset", loss=recipe.loss.model_copy(update={"kind": "mse"}))
    through = train(chosen, [stacks], tmp_path / "a", cache=cache, tell=quiet)
    assert train(chosen, [stacks], tmp_path / "b", cache=cache, tell=quiet, stop_after_epochs=1) is None
    broken = train(chosen, [stacks], tmp_path / "b", cache=cache, tell=quiet)
    theirs = broken.network.state_dict()
    for name, value in through.network.state_dict().items():
        assert torch.equal(value, theirs[name]), name
    ancestors = read_record(tmp_path / "a").ancestors
    assert [(a.role, a.seed) for a in ancestors] == [("teacher", 0), ("teacher", 1)]
    assert through.learnt == teachers[0].learnt
    # No teacher is among what is kept of a pupil.
    state = torch.load(tmp_path / "a" / "last.ckpt", weights_only=False)["state_dict"]
    assert {name.partition(".")[0] for name in state} == {"network"}


def test_teachers_of_other_tests_or_inputs_are_refused(recipe, teachers, stacks, tmp_path, cache):
    split = recipe.split.model_copy(update={"seed": 7})
    with pytest.raises(ConfigError, match=r"has learnt from .* of the specimens that validation and test"):
        train(pupil(recipe, teachers, 0.5, split=split), [stacks], tmp_path, cache=cache, tell=quiet)
    smaller = recipe.input.model_copy(update={"width_px": 24})
    with pytest.raises(ConfigError, match="a teacher must look at the same images"):
        teachers_of(pupil(recipe, teachers, 0.5, input=smaller))
    missing = TeacherConfig(runs=(tmp_path / "nowhere",))
    with pytest.raises(ConfigError, match=r"is .*nowhere a training run"):
        teachers_of(recipe.model_copy(update={"teacher": missing}))


def test_what_is_taught_is_the_offset_of_every_head(recipe):
    bins = Recipe.model_validate(
        recipe.model_dump()
        | {"head": "z_bins", "bins": {"count": 5, "width_um": 200}, "loss": {"kind": "cross_entropy"}}
    )
    certain = torch.full((1, 5), -50.0)
    certain[0, 4] = 50.0
    assert taught_loss(certain, torch.tensor([400.0]), bins) == pytest.approx(0, abs=1e-9)
    outputs = torch.tensor([[0.5, 3.0]])
    # 100 um of 500 too low: beyond the knee of 50, so linear less half the knee.
    value = taught_loss(outputs, torch.tensor([350.0]), recipe)
    assert value.item() == pytest.approx((100 - 25) / 500)
    assert np.isclose(taught_loss(outputs, torch.tensor([250.0]), recipe).item(), 0)

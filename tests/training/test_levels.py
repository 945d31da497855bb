"""What the normalisations of papers 4 and 5 take out of an image."""

import pytest
import torch

from hw.errors import ConfigError
from training.fit import train
from training.heads import build
from training.networks.levels import Levelled
from training.recipe import Recipe, load_recipe
from training.run import load_run

BLACK_TO_WHITE = {"mean": [0, 0, 0], "std": [1, 1, 1]}


class Itself(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images


def levelled(levels, images, mean=(0.0,) * 3, std=(1.0,) * 3):
    return Levelled(Itself(), levels, mean, std)(images)


@pytest.fixture
def image():
    torch.manual_seed(0)
    light = torch.full((1, 3, 64, 64), 0.4)
    light[..., 24:40, 24:40] = 0.1 + 0.5 * torch.rand(1, 1, 16, 16)
    return light


def test_each_normalisation_takes_out_what_its_formula_says(image):
    longer = 2 * image
    assert levelled("zero_centre", image).mean() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(levelled("zero_centre", longer), 2 * levelled("zero_centre", image))
    torch.testing.assert_close(levelled("zero_centre", image + 0.1), levelled("zero_centre", image))
    score = levelled("z_score", image)
    assert (score.mean().item(), score.std().item()) == pytest.approx((0, 1), abs=0.03)
    torch.testing.assert_close(levelled("z_score", longer), score, atol=0.03, rtol=0.01)
    over_background = levelled("background", image)
    assert over_background[..., 0, 0].abs().max() < 0.01, "the background is level"
    torch.testing.assert_close(levelled("background", longer), over_background, atol=0.01, rtol=0.01)
    assert over_background[..., 30, 30] == pytest.approx(image[..., 30, 30] / 0.4 - 1, abs=0.01)


def test_the_euclidean_norm_makes_an_even_image_nothing_and_forgets_the_exposure(image):
    assert levelled("euclidean", torch.full_like(image, 0.4)).abs().max() < 0.01
    over_norm = levelled("euclidean", image)
    assert (over_norm + 1).square().mean().sqrt() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(levelled("euclidean", 2 * image), over_norm, atol=0.01, rtol=0.01)


@pytest.mark.parametrize("levels", ["background", "euclidean"])
def test_light_counts_whatever_the_rigs_normalisation(image, levels):
    mean, std = (0.45,) * 3, (0.25,) * 3
    torch.testing.assert_close(
        levelled(levels, (image - 0.45) / 0.25, mean, std), levelled(levels, image), atol=1e-5, rtol=1e-5
    )


def test_images_of_a_batch_have_levels_of_their_own(image):
    both = torch.cat([image, 2 * image])
    for levels in ("zero_centre", "z_score", "background", "euclidean"):
        torch.testing.assert_close(levelled(levels, both)[1:], levelled(levels, 2 * image))


def test_a_recipe_with_levels_says_what_black_is(recipe):
    given = recipe.model_dump(mode="json") | {"levels": "background"}
    with pytest.raises(ValueError, match="give normalisation"):
        Recipe.model_validate(given)
    assert isinstance(build(Recipe.model_validate(given | {"normalisation": BLACK_TO_WHITE})), Levelled)
    assert not isinstance(build(recipe), Levelled)


def test_a_run_with_levels_is_opened_again(recipe, stacks, tmp_path):
    more = {"levels": "z_score", "normalisation": BLACK_TO_WHITE, "samples": 64, "epoch_samples": 32}
    given = recipe.model_dump(mode="json") | more
    run = train(Recipe.model_validate(given), [stacks], tmp_path / "run", tell=lambda line: None)
    images = torch.randint(0, 200, (2, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(load_run(tmp_path / "run").predict(images)[0], run.predict(images)[0])


@pytest.mark.parametrize("name", ["bead_crops", "bead_crops_resnet18", "yeast_z_bins"])
def test_the_recipes_of_papers_build_their_networks(name):
    found = load_recipe(name)
    size = found.input.height_px, found.input.width_px
    assert build(found).eval()(torch.zeros(1, 3, *size)).shape == (1, found.outputs)
    with pytest.raises(ConfigError, match="did you mean"):
        load_recipe(f"{name}x")

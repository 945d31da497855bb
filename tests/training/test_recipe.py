import pytest

from hw.errors import ConfigError
from training.recipe import load_recipe, shipped_recipes

GOOD = """\
name: x
network: resnet18
input: { width_px: 64, height_px: 64, um_per_px: 3.1 }
samples: 100
epoch_samples: 50
"""


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_load(name):
    assert load_recipe(name).name == name


def test_default_and_smoke_are_shipped():
    assert {"default", "smoke"} <= set(shipped_recipes())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("samples: 100", "sampels: 100"), r"recipe.yaml:4: unknown key 'sampels'; did you mean 'samples'\?"),
        (("resnet18", "resnet17"), "recipe.yaml:2: 'network': unknown network 'resnet17'"),
        (("samples: 100", "samples: -1"), "recipe.yaml:4: 'samples'"),
        (("name: x", "name: x\nhead: offset"), "cannot be trained with loss 'smooth_l1_nll'"),
        (("name: x", "name: x\nsplit: { validation: 0.5, test: 0.6 }"), "leave nothing to train on"),
    ],
)
def test_mistakes_are_told_with_file_line_and_key(tmp_path, change, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD)
    assert load_recipe(path).outputs == 2
    path.write_text(GOOD.replace(*change))
    with pytest.raises(ConfigError, match=message):
        load_recipe(path)


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'default'"):
        load_recipe("defualt")

import pytest

from hw.errors import ConfigError
from training.recipe import Recipe
from training.sweep.space import load_space, with_changes

SPACE = """\
learning_rate: { log: [1e-4, 1.0e-2] }
weight_decay: { range: [0, 1] }
batch: { log: [8, 64] }
loss.knee_um: { choice: [20, 50, 80] }
"""


def space_of(tmp_path, text):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return load_space(path)


def test_values_lie_within_their_ends_and_are_whole_where_the_recipe_wants_it(tmp_path, recipe):
    space = space_of(tmp_path, SPACE)
    drawn = [space.drawn(3, number) for number in range(200)]
    rates = sorted(values["learning_rate"] for values in drawn)
    assert 1e-4 <= rates[0] < 2e-4
    assert 5e-3 < rates[-1] <= 1e-2
    # Evenly by order of magnitude: half of them are below a tenth of the highest.
    assert 70 < sum(rate < 1e-3 for rate in rates) < 130
    decays = [values["weight_decay"] for values in drawn]
    assert 70 < sum(decay < 0.5 for decay in decays) < 130
    assert all(isinstance(values["batch"], int) and 8 <= values["batch"] <= 64 for values in drawn)
    assert {values["loss.knee_um"] for values in drawn} == {20, 50, 80}
    changed = with_changes(recipe, drawn[0], "other")
    assert changed.name == "other"
    assert changed.learning_rate == drawn[0]["learning_rate"]
    assert changed.loss.knee_um == drawn[0]["loss.knee_um"]
    rest = {"name", *space.keys, "loss"}
    assert changed.model_dump(exclude=rest) == recipe.model_dump(exclude=rest)


def test_a_trial_has_the_same_values_whatever_the_others(tmp_path):
    space = space_of(tmp_path, SPACE)
    assert space.drawn(0, 5) == space.drawn(0, 5)
    assert space.drawn(0, 5) != space.drawn(1, 5)
    assert space.drawn(0, 5) != space.drawn(0, 6)


def test_a_grid_has_every_combination(tmp_path):
    space = space_of(tmp_path, "batch: { choice: [8, 16] }\nlearning_rate: { choice: [0.1, 0.01, 0.001] }\n")
    grid = space.grid()
    assert len(grid) == 6
    assert grid[1] == {"batch": 8, "learning_rate": 0.01}
    with pytest.raises(ConfigError, match=r"'learning_rate': a grid needs \{choice"):
        space_of(tmp_path, SPACE).grid()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "lerning_rate: { choice: [1] }",
            "'lerning_rate': no key .* did you mean 'learning_rate'",
        ),
        ("los.knee_um: { choice: [1] }", "'los.knee_um': a recipe has no section 'los'; did you mean 'loss'"),
        ("loss: { choice: [1] }", "'loss': a section; vary a key of it, such as loss.kind"),
        ("name: { choice: [a, b] }", "'name': no key of a recipe that can be varied"),
        ("\nlearning_rate: { logg: [1, 2] }", r"space\.yaml:2: 'learning_rate': give one of \{log"),
        ("learning_rate: 0.1", "give one of {log"),
        ("learning_rate: { log: [1, 0.1] }", "the lower end must come first"),
        ("learning_rate: { log: [0, 1] }", "log needs ends above 0"),
        ("batch: { choice: [] }", "nothing to choose from"),
        ("{}", "varies nothing"),
    ],
)
def test_a_wrong_space_says_what_and_where(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told) as caught:
        space_of(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch": 10_000}, "recipe 'tiny' with batch 10000: epoch_samples 320 is less than one batch"),
        ({"bins.count": 9}, "'bins.count': recipe 'tiny' has no 'bins' to vary"),
        ({"network": "none"}, "network: unknown network 'none'"),
    ],
)
def test_values_that_make_no_recipe_are_refused(recipe: Recipe, changes, told):
    with pytest.raises(ConfigError, match=told):
        with_changes(recipe, changes, "x")

"""The recipe: everything that decides what a training run learns, in one YAML file."""

import difflib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edge.bundle import InputSpec, Normalisation
from hw.config import load_model
from hw.errors import ConfigError
from hw.section import Section
from training import networks

__all__ = ["LossConfig", "Recipe", "SplitConfig", "ViewsConfig", "load_recipe", "shipped_recipes"]

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(gt=0)]


class ViewsConfig(Section):
    """How often each kind of view of a plane is shown; only their ratio matters (paper 1 shows both)."""

    window: Positive = Field(1.0, description="Native-resolution window of the network's field.")
    full: NonNegative = Field(0.0, description="The whole frame, shrunk to the network's input.")


class SplitConfig(Section):
    """Shares of the specimens, plates or days that training never sees."""

    by: Literal["specimen", "plate", "day"] = Field(
        "specimen",
        description="What is never divided. Paper 1 validated on other plates; plate and day are those of "
        "the manifests of data sets.",
    )
    validation: Share = 0.1
    test: Share = 0.1
    seed: int = 0

    @model_validator(mode="after")
    def _leaves_some(self) -> "SplitConfig":
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing to train on")
        return self


class LossConfig(Section):
    """What is minimised; errors are in units of `scale_um`.

    `smooth_l1` is for the head `offset`. With `offset_sigma`, `smooth_l1_nll` learns the offset by smooth L1
    and the deviation by the Gaussian likelihood of the residuals, neither disturbing the other; `nll` is the
    likelihood of both, and `beta_nll` weights it by sigma^(2 beta) (Seitzer et al. 2022, eq. 5). The last two
    train the offset by smooth L1 alone during the first `settle` of the run.
    """

    kind: Literal["smooth_l1", "smooth_l1_nll", "nll", "beta_nll"] = "smooth_l1_nll"
    knee_um: Positive = Field(50.0, description="Errors below count squared, above linearly.")
    sigma_weight: Positive = Field(0.1, description="Weight of the likelihood in smooth_l1_nll.")
    beta: Annotated[float, Field(ge=0, le=1)] = 0.5
    settle: Share = 0.1


class Recipe(Section):
    """One training run."""

    name: str
    network: str
    pretrained: bool = False
    head: Literal["offset", "offset_sigma"] = "offset_sigma"
    rig: str = Field("worm_tracker", description="Whose steps and depth of field errors are reported in.")
    input: InputSpec
    scale_um: Positive = Field(500.0, description="Offset that the network calls 1, um.")
    normalisation: Normalisation | None = Field(
        None, description="Of the input; measured on the training images when absent."
    )
    views: ViewsConfig = ViewsConfig()
    jitter_px: Annotated[int, Field(ge=0, le=255)] = Field(
        8, description="Largest shift of a window in augmentation, pixels of the input."
    )
    orientations: Literal[1, 4, 8] = Field(
        8,
        description="Of a window that are shown in augmentation: as it is; mirrored in both directions too; "
        "turned by a quarter too. What has a direction of its own, as the image of a slit, must keep it.",
    )
    split: SplitConfig = SplitConfig()
    loss: LossConfig = LossConfig()
    samples: Count = Field(description="Images seen in the whole run.")
    epoch_samples: Count = Field(description="Images between two validations and checkpoints.")
    validation_samples: Count = Field(4000, description="At most this many images in each validation.")
    max_minutes: Positive | None = Field(
        None, description="The schedule ends after this wall-clock time, if that comes first."
    )
    batch: Count = 32
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 0.05
    schedule: Literal["cosine", "step"] = "cosine"
    warm_up: Share = Field(0.03, description="Share of the run in which the rate rises from 0.")
    gradient_clip: Positive = 1.0
    ema_decay: Share | None = Field(0.998, description="Of the averaged weights per step; null for none.")
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    seed: int = 0

    @field_validator("network")
    @classmethod
    def _known_network(cls, value: str) -> str:
        if value not in networks.names():
            raise ValueError(f"unknown network '{value}'; there are: {', '.join(networks.names())}")
        return value

    @model_validator(mode="after")
    def _loss_fits_head(self) -> "Recipe":
        if (self.head == "offset") != (self.loss.kind == "smooth_l1"):
            raise ValueError(
                f"head '{self.head}' cannot be trained with loss '{self.loss.kind}': "
                "'offset' takes smooth_l1, 'offset_sigma' one of the others"
            )
        if self.input.channels != 3:
            raise ValueError(f"input.channels is {self.input.channels}, images have 3")
        if self.batch > self.epoch_samples:
            raise ValueError(f"epoch_samples {self.epoch_samples} is less than one batch of {self.batch}")
        return self

    @property
    def outputs(self) -> int:
        """Numbers that the network gives per image."""
        return 2 if self.head == "offset_sigma" else 1


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("training") / "recipes"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def load_recipe(recipe: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    recipe : path of a YAML file, or the name of a shipped recipe

    Raises
    ------
    ConfigError
        No such recipe, or the file is wrong; one line that says where and what to do.
    """
    path = Path(recipe)
    if path.suffix not in {".yaml", ".yml"}:
        shipped = shipped_recipes()
        if str(recipe) not in shipped:
            near = difflib.get_close_matches(str(recipe), shipped, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"shipped recipes: {', '.join(shipped)}"
            raise ConfigError(f"unknown recipe '{recipe}': neither a .yaml file nor a shipped recipe; {hint}")
        path = Path(str(resources.files("training") / "recipes" / f"{recipe}.yaml"))
    return load_model(path, Recipe)

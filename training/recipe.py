"""The recipe: everything that decides what a training run learns, in one YAML file."""

import difflib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from edge.bundle import InputSpec, Normalisation
from hw.config import load_model
from hw.errors import ConfigError
from hw.section import Section
from training import networks
from training.networks.levels import LevelsName
from training.networks.patches import patch_corners

__all__ = [
    "BinsConfig",
    "HeadName",
    "LossConfig",
    "PatchesConfig",
    "Recipe",
    "SplitConfig",
    "TeacherConfig",
    "ViewsConfig",
    "load_recipe",
    "shipped_recipes",
]

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(gt=0)]

HeadName = Literal["offset", "offset_sigma", "z_bins", "patches"]

# What each head can be trained with.
LOSSES: dict[HeadName, tuple[str, ...]] = {
    "offset": ("smooth_l1", "mse"),
    "offset_sigma": ("smooth_l1_nll", "nll", "beta_nll"),
    "z_bins": ("cross_entropy", "soft_cross_entropy"),
    "patches": ("smooth_l1", "mse"),
}


class ViewsConfig(Section):
    """How often each kind of view of a plane is shown; only their ratio matters (paper 1 shows both)."""

    window: NonNegative = Field(1.0, description="Native-resolution window of the network's field.")
    full: NonNegative = Field(0.0, description="The whole frame, shrunk to the network's input.")

    @model_validator(mode="after")
    def _shows_something(self) -> "ViewsConfig":
        if not self.window and not self.full:
            raise ValueError("window and full are both 0, so there is nothing to show; raise one")
        return self

    @property
    def shown(self) -> tuple[bool, bool]:
        """Whether windows and whole frames are shown, in the order of `training.prepared.VIEWS`."""
        return self.window > 0, self.full > 0


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

    `smooth_l1` and `mse` (paper 1, section 3.1) are for the heads `offset` and `patches`. `cross_entropy` and
    `soft_cross_entropy` are for `z_bins`: the former calls the bin nearest to the label right and all others
    wrong (paper 3), the latter shares the label between the two bins about it, by their distance, so that the
    expected value can hit it. With `offset_sigma`, `smooth_l1_nll` learns the offset by smooth L1
    and the deviation by the Gaussian likelihood of the residuals, neither disturbing the other; `nll` is the
    likelihood of both, and `beta_nll` weights it by sigma^(2 beta) (Seitzer et al. 2022, eq. 5). The last two
    train the offset by smooth L1 alone during the first `settle` of the run.
    """

    kind: Literal[
        "smooth_l1", "mse", "smooth_l1_nll", "nll", "beta_nll", "cross_entropy", "soft_cross_entropy"
    ] = "smooth_l1_nll"
    knee_um: Positive = Field(50.0, description="Errors below count squared, above linearly.")
    sigma_weight: Positive = Field(0.1, description="Weight of the likelihood in smooth_l1_nll.")
    beta: Annotated[float, Field(ge=0, le=1)] = 0.5
    settle: Share = 0.1


class BinsConfig(Section):
    """Bins of the head `z_bins`: of equal width, centred on an offset of 0 (paper 3)."""

    count: Annotated[int, Field(ge=3, le=2048)]
    width_um: Positive

    @property
    def centres_um(self) -> NDArray[np.float64]:
        """Offset that each bin stands for, (count,), um, ascending."""
        places = np.arange(self.count, dtype=np.float64) - (self.count - 1) / 2
        return np.asarray(places * self.width_um, np.float64)


class PatchesConfig(Section):
    """Patches of the head `patches`, as `training.networks.patches.patch_corners` lays them out.

    Paper 2 asks about seven patches of 672 pixels on one microscope and about nine on another, and does not
    say where they lie: [2, 3, 2] and [3, 3, 3] are such rows.
    """

    side_px: Count = Field(description="Of a patch, pixels of the input.")
    rows: tuple[Count, ...] = Field(min_length=1, description="Number of patches in each row.")


class TeacherConfig(Section):
    """Finished runs that answer for the very images that are learnt from (Hinton et al. 2015).

    The network learns the mean of their offsets, without outliers where they are many, beside the label; what
    it says of its own deviation it learns from labels alone.
    """

    runs: tuple[Path, ...] = Field(min_length=1, description="Their folders; they look at the same input.")
    weight: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="Share of the loss that is about their answers."
    )


class Recipe(Section):
    """One training run."""

    name: str
    network: str
    pretrained: bool = Field(False, description="Start from published weights, which timm downloads.")
    weights: Path | None = Field(
        None,
        description="File of weights to start from; or folder of a finished run to fine-tune, whose "
        "normalisation and trained range are kept.",
    )
    freeze: Annotated[int, Field(ge=0)] = Field(
        0,
        description="First layers that keep the weights, and norms the statistics, that they start with "
        "(paper 4). Layers are convolutions, norms and linear layers.",
    )
    quantization_aware: bool = Field(
        False,
        description="Learn with the rounding of a static int8 file, from the weights of a run; norms keep "
        "their statistics.",
    )
    teacher: TeacherConfig | None = Field(None, description="Runs whose answers are learnt beside labels.")
    head: HeadName = "offset_sigma"
    bins: BinsConfig | None = Field(None, description="Of the head z_bins.")
    patches: PatchesConfig | None = Field(None, description="Of the head patches.")
    rig: str = Field("worm_tracker", description="Whose steps and depth of field errors are reported in.")
    input: InputSpec
    scale_um: Positive = Field(500.0, description="Offset that the network calls 1, um.")
    normalisation: Normalisation | None = Field(
        None, description="Of the input; measured on the training images when absent."
    )
    levels: LevelsName = Field(
        "as_is",
        description="Of each image, before the network: zero_centre, z_score and background (over the light "
        "around the object in the middle) take out what the exposure does (paper 5), as euclidean does "
        "(paper 4).",
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
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = Field(
        0.0,
        description="Largest turn to either side in augmentation (paper 1, section 3.1: 45). It mixes "
        "neighbouring pixels, which costs sharpness; quarter turns, among the orientations, do not.",
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
    schedule: Literal["cosine", "step"] = Field(
        "cosine", description="Half a cosine down to 0, or times 0.85 twenty times (paper 1, section 3.1)."
    )
    warm_up: Share = Field(0.03, description="Share of the run in which the rate rises from 0.")
    gradient_clip: Positive | None = Field(1.0, description="Largest norm of a gradient; null for none.")
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
    def _parts_fit(self) -> "Recipe":
        if self.loss.kind not in LOSSES[self.head]:
            raise ValueError(
                f"head '{self.head}' cannot be trained with loss '{self.loss.kind}': "
                f"loss.kind must be {' or '.join(LOSSES[self.head])}"
            )
        for head, key, value in (("z_bins", "bins", self.bins), ("patches", "patches", self.patches)):
            if self.head == head and value is None:
                raise ValueError(f"head '{head}' needs the key '{key}'")
            if self.head != head and value is not None:
                raise ValueError(f"'{key}' is for head '{head}', and the head is '{self.head}'; remove it")
        if self.patches is not None:
            self.patch_corners()
        if self.pretrained and self.weights is not None:
            raise ValueError("'pretrained' and 'weights' are two places to start from; keep one")
        if self.levels != "as_is" and self.normalisation is None:
            raise ValueError(
                f"levels '{self.levels}' starts from levels that the recipe must say; give normalisation, "
                "{ mean: [0, 0, 0], std: [1, 1, 1] } for instance"
            )
        if self.input.channels != 3:
            raise ValueError(f"input.channels is {self.input.channels}, images have 3")
        if self.batch > self.epoch_samples:
            raise ValueError(f"epoch_samples {self.epoch_samples} is less than one batch of {self.batch}")
        return self

    @property
    def outputs(self) -> int:
        """Numbers that the network gives per image; with `patches`, per patch."""
        if self.bins is not None:
            return self.bins.count
        return 2 if self.head == "offset_sigma" else 1

    @property
    def tells_sigma(self) -> bool:
        """Whether there is a deviation with each offset."""
        return self.head != "offset"

    def patch_corners(self) -> list[tuple[int, int]]:
        """Top left corner of each patch, pixels of the input; nothing without the head for them."""
        if self.patches is None:
            return []
        return patch_corners(
            self.input.height_px, self.input.width_px, self.patches.side_px, self.patches.rows
        )


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

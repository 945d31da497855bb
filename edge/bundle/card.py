"""The card in a bundle: what a network expects, what it answers, what it was trained on and how well it does.

All models are frozen and refuse unknown keys. Lengths are in um unless the name says otherwise.
"""

import math
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

__all__ = [
    "LOG_SIGMA_LIMITS",
    "SCHEMA_VERSION",
    "AncestorRecord",
    "FocusCard",
    "InputSpec",
    "Normalisation",
    "OutputSpec",
    "Parity",
    "TrainedOptics",
    "TrainingRecord",
]

SCHEMA_VERSION: Final = 1
# In units of the scale: sigma between 2 % and 20 times of it. Below, one surprise in a batch of training
# would outweigh everything else that it teaches.
LOG_SIGMA_LIMITS: Final = (-4.0, 3.0)

Positive = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# Wide enough for any scale, narrow enough for exp() not to overflow.
LogSigma = Annotated[float, Field(ge=-20, le=20)]
PerChannel = tuple[float, float, float]
PositivePerChannel = tuple[Positive, Positive, Positive]


class CardPart(BaseModel):
    """A part of the card: frozen, unknown keys and non-finite numbers are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputSpec(CardPart):
    """The image that the network looks at."""

    width_px: PositiveInt
    height_px: PositiveInt
    channels: PositiveInt = 3
    um_per_px: Positive = Field(description="Specimen distance per pixel of the network's input, um.")

    @property
    def field_um(self) -> tuple[float, float]:
        """Width and height of the field that the network looks at, um."""
        return self.width_px * self.um_per_px, self.height_px * self.um_per_px


class Normalisation(CardPart):
    """What the rig does to uint8 RGB before the network: ``(value / 255 - mean) / std`` per channel."""

    mean: PerChannel
    std: PositivePerChannel


class OutputSpec(CardPart):
    """What the network's numbers mean.

    ``out[0] * scale_um`` is the offset. With `offset_sigma`, ``exp(out[1]) * scale_um * sigma_factor`` is its
    standard deviation, with ``out[1]`` kept within `log_sigma_limits` as in training, which taught nothing
    beyond them; `sigma_factor` was fitted on validation data so that the deviations are honest.
    """

    kind: Literal["offset", "offset_sigma"]
    scale_um: Positive
    sigma_factor: Positive = 1.0
    log_sigma_limits: tuple[LogSigma, LogSigma] = Field(
        LOG_SIGMA_LIMITS, description="Lowest and highest out[1] that counts."
    )

    @model_validator(mode="after")
    def _limits_in_order(self) -> "OutputSpec":
        if self.log_sigma_limits[0] >= self.log_sigma_limits[1]:
            raise ValueError(f"log_sigma_limits {self.log_sigma_limits} must rise")
        return self

    @property
    def width(self) -> int:
        """How many numbers the network gives per image."""
        return 2 if self.kind == "offset_sigma" else 1

    def sigma_um(self, log_sigma: float) -> float:
        """Return the standard deviation, um, that a second number stands for."""
        low, high = self.log_sigma_limits
        return math.exp(min(max(log_sigma, low), high)) * self.scale_um * self.sigma_factor


class TrainedOptics(CardPart):
    """The rig's nominal optics in training; the specimens' optics were spread around them."""

    um_per_px: Positive = Field(description="Specimen distance per camera pixel, um.")
    na: Positive
    dof_um: Positive


class AncestorRecord(CardPart):
    """A training run that the network's run learnt from."""

    role: Literal["weights", "teacher"] = Field(description="It gave weights to start from, or answers.")
    recipe: str
    architecture: str
    fingerprint: str = Field(description="SHA-256 over names, sizes and labels of its stacks.")
    earlier: tuple[str, ...] = Field((), description="The same of stacks of runs that it came from.")
    specimens: Count = Field(description="Number of specimens that it, or runs it came from, learnt from.")
    seed: int
    weights_sha256: Sha256


class TrainingRecord(CardPart):
    """Where the weights come from."""

    recipe: str
    fingerprint: str = Field(description="SHA-256 over names, sizes and labels of the stacks.")
    specimens: Count = Field(description="Number of specimens trained on, those of ancestors included.")
    planes: Count = Field(description="Number of planes trained on, those of ancestors left out.")
    seed: int
    specimens_sha256: Sha256 = Field(description="SHA-256 of the sorted names of those specimens.")
    images_seen: Count | None = Field(None, description="Images, repeats counted, until training ended.")
    minutes: NonNegative | None = Field(None, description="Wall-clock time that training took.")
    max_minutes: Positive | None = Field(None, description="Time limit that the schedule followed.")
    ancestors: tuple[AncestorRecord, ...] = Field((), description="Runs fine-tuned from, or taught by.")
    frozen_layers: Count = Field(0, description="First layers that are those of the run fine-tuned from.")

    @property
    def fingerprints(self) -> frozenset[str]:
        """Fingerprints of its own stacks and of its ancestors'."""
        theirs = (data for old in self.ancestors for data in (old.fingerprint, *old.earlier))
        return frozenset((self.fingerprint, *theirs))


class Parity(CardPart):
    """How the file compares with a float network, on the same held-out images.

    That is the one it was made from, or, where that learnt with the rounding of int8, the one before.
    """

    n: PositiveInt
    float_mae_um: NonNegative = Field(description="Mean absolute error of the float network, um.")
    file_mae_um: NonNegative = Field(description="Mean absolute error of this file, um.")
    ratio: NonNegative = Field(description="file_mae_um / float_mae_um.")
    mean_abs_difference_um: NonNegative = Field(
        description="Between the two predictions, image by image, um."
    )
    float_sign_error_rate: NonNegative | None = Field(
        None, description="Share of images out of focus whose sign is wrong; None where none is out of focus."
    )
    file_sign_error_rate: NonNegative | None = None
    float_sigma_factor: NonNegative | None = Field(
        None,
        description="RMS of the errors over their predicted deviations, 1 for honest ones, above for "
        "overconfident ones; None for a network that tells no deviation.",
    )
    file_sigma_factor: NonNegative | None = None
    before_rounding_sha256: Sha256 | None = Field(
        None,
        description="Of the float network's weights, where that is the one before learning with rounding.",
    )
    accepted_losses: tuple[str, ...] = Field(
        (), description="What an export would have been refused for, had loss not been allowed."
    )


class FocusCard(CardPart):
    """All that has to be known to run a network on a rig, and to trust it.

    `validation` holds the figures of this very file on specimens never trained on, by the names that
    ``wormfocus evaluate --json`` uses.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str = Field(min_length=1)
    architecture: str
    input: InputSpec
    mirrors: Literal[1, 2, 4] = Field(
        1,
        description="How many mirror images of a window the network is asked about, its answers being "
        "averaged: the window, then left-right, then both of them upside down.",
    )
    normalisation: Normalisation
    input_dtype: Literal["float32", "int8", "uint8"] = Field(description="Type of the file's input tensor.")
    outputs: OutputSpec
    trained_range_um: Positive = Field(description="Offsets trained on: -this to +this, um.")
    rig: str = Field(description="Name of the rig that the network was trained for.")
    optics: TrainedOptics
    training: TrainingRecord
    validation: dict[str, JsonValue]
    parity: Parity
    quantization: str
    created: date
    flatbuffer_sha256: Sha256
    versions: dict[str, str] = Field(description="Packages that made the file, with their versions.")

"""The rig file: everything that is known about one microscope, checked when it is read.

Unknown keys, keys given twice, wrong types and values out of range are errors that name the file, the line,
the key and, for a misspelt key, the nearest valid name.
"""

import difflib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from hw.calibration_record import CalibrationRecord
from hw.drive import DriveConfig, check_end_stop
from hw.errors import ConfigError
from hw.gpio.config import GpioConfig
from hw.picamera.config import PicameraConfig
from hw.picamera.layout import lay_out
from hw.section import Section
from hw.simulation.families import SimulationSection
from hw.stage import StageConfig

__all__ = [
    "AxisConfig",
    "CameraConfig",
    "ControlConfig",
    "ImagingConfig",
    "OpticsConfig",
    "ReplayConfig",
    "RigConfig",
    "TrackingConfig",
    "load_model",
    "load_rig",
    "shipped_rigs",
]

M = TypeVar("M", bound=BaseModel)
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class OpticsConfig(Section):
    """The objective as the loop needs to know it."""

    um_per_px: Positive = Field(description="Specimen distance per camera pixel, um.")
    na: Positive = Field(description="Numerical aperture of the objective.")
    dof_um: Positive = Field(description="Depth of field, um; errors are also reported in it.")
    red_minus_blue_um: float | None = Field(
        None,
        description="Lens position that focuses red light minus the one that focuses blue, um, with + away "
        "from the specimen; above 0 for a lens that nobody corrected. Proves the axis's direction.",
    )


class CameraConfig(Section):
    """Sensor mode and timing."""

    width_px: Annotated[int, Field(gt=0)]
    height_px: Annotated[int, Field(gt=0)]
    fps: Positive
    exposure_s: Positive
    latency_frames: Annotated[int, Field(ge=0)] = Field(
        description="Frame periods from the end of an exposure to its delivery."
    )
    stall_timeout_s: Positive = 2.0
    linear: bool = Field(
        False,
        description="Grey levels are in proportion to the light, as cameras for measuring give them; others "
        "have a tone curve, and labels that hang on it are refused.",
    )


class ImagingConfig(Section):
    """A second camera, which records what the first one only focuses: the microscope's own."""

    optics: OpticsConfig
    camera: CameraConfig


class AxisConfig(Section):
    """The lens's screw and its motor."""

    um_per_step: Positive
    min_steps: float
    max_steps: float
    max_speed_steps_s: Positive
    acceleration_steps_s2: Positive
    backlash_steps: NonNegative = Field(description="Lost motion taken up at each reversal, steps.")
    settle_s: NonNegative = Field(description="Time after a move until the lens stands still, s.")
    invert_direction: bool = Field(
        False,
        description="The one place where a direction is inverted: that of a motor. Rigs without one "
        "refuse it.",
    )
    drive: DriveConfig = DriveConfig()

    @model_validator(mode="after")
    def _limits_in_order(self) -> "AxisConfig":
        if not self.min_steps < self.max_steps:
            raise ValueError(f"min_steps {self.min_steps} must be below max_steps {self.max_steps}")
        check_end_stop(self.drive.homing, self.min_steps, self.max_steps)
        return self


class TrackingConfig(Section):
    """What a worm looks like to the tracker of `edge`."""

    follow: bool = Field(True, description="Follow a worm; otherwise the whole frame is the subject.")
    worm_length_um: Positive = 1000.0
    worm_width_um: Positive = 80.0
    max_speed_um_s: Positive = 1000.0
    lost_after_s: Positive = Field(1.0, description="Time without a sighting until the worm counts as lost.")
    look_every_s: NonNegative = Field(
        0.2,
        description="Time between two looks for a worm that is followed with none near, s; every fifth is at "
        "the whole frame; in between it is carried on with its velocity; 0: every frame, whole.",
    )


class ControlConfig(Section):
    """What the controller of `edge` does with predictions."""

    dead_band_dof: Positive = Field(0.06, description="Offsets below this share of the DOF cause no move.")
    lock_within_dof: Positive = Field(0.5, description="Locked when the estimate is this close, in DOF.")
    lost_after_s: Positive = Field(1.0, description="Time without a usable prediction until focus is lost.")
    plane_drift_um_s: Positive = Field(
        20.0, description="How fast the focal plane is expected to wander, um per square root of a second."
    )
    prediction_sigma_dof: Positive = Field(
        0.3, description="Standard deviation of a prediction whose bundle states none, in DOF."
    )
    trim_look_dof: Positive = Field(
        0.25, description="How far to either side of focus contrast is compared while locked, in DOF."
    )
    trim_every_s: NonNegative = Field(
        10.0,
        description="Time between such comparisons, which trim the network's constant error, s; 0: never.",
    )
    recheck_s: Positive = Field(
        2.0, description="Time until the contrast method tests its focus again when nothing changed, s."
    )
    search_span_um: Positive = Field(3000.0, description="Widest scan of a search or of a full focus, um.")
    search_timeout_s: Positive = 30.0


class ReplayConfig(Section):
    """A recorded stack that stands in for the camera and the specimen."""

    stack: Path | None = Field(None, description="OME-TIFF, or a folder of planes named by position.")
    spacing_um: Positive | None = Field(
        None, description="Distance between planes when their names give only an order, um."
    )
    start_um: float | None = Field(
        None, description="Axis position at the start; the first plane's when absent, um."
    )
    scale_from_stack: bool = Field(
        True, description="Take um per step, speed, depth of field and search span from the stack."
    )


class RigConfig(Section):
    """One rig file."""

    name: str
    kind: Literal["pi", "simulated", "replayed"]
    optics: OpticsConfig
    camera: CameraConfig
    imaging: ImagingConfig | None = None
    axis: AxisConfig
    stage: StageConfig | None = None
    gpio: GpioConfig | None = None
    picamera: PicameraConfig | None = None
    tracking: TrackingConfig = TrackingConfig()
    control: ControlConfig = ControlConfig()
    replay: ReplayConfig | None = None
    simulation: SimulationSection | None = None
    calibration: tuple[CalibrationRecord, ...] = Field(
        (), description="What was measured here, oldest first."
    )

    @model_validator(mode="after")
    def _picture_fits_the_sensor(self) -> "RigConfig":
        if self.picamera is not None:
            lay_out(self.camera.width_px, self.camera.height_px, self.picamera)
        return self

    def with_spacing(self, spacing_um: float) -> "RigConfig":
        """Return this rig with another `replay.spacing_um`.

        Raises
        ------
        ConfigError
            It replays no stack.
        """
        if self.replay is None:
            raise ConfigError(
                f"rig '{self.name}' is {self.kind}: --spacing-um has no meaning, it is for a replayed rig "
                "only; leave it out"
            )
        return self.model_copy(update={"replay": self.replay.model_copy(update={"spacing_um": spacing_um})})


def shipped_rigs() -> list[str]:
    """Names of the rig files that come with the package."""
    folder = resources.files("hw") / "rigs"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def load_rig(rig: str | Path) -> RigConfig:
    """Read a rig file.

    Parameters
    ----------
    rig : path of a YAML file, or the name of a shipped rig

    Raises
    ------
    ConfigError
        No such rig, or the file is wrong; one line that says where and what to do.
    """
    path = Path(rig)
    if path.suffix not in {".yaml", ".yml"}:
        if str(rig) not in shipped_rigs():
            near = difflib.get_close_matches(str(rig), shipped_rigs(), 1)
            hint = f"did you mean '{near[0]}'?" if near else f"shipped rigs: {', '.join(shipped_rigs())}"
            raise ConfigError(f"unknown rig '{rig}': neither a .yaml file nor a shipped rig; {hint}")
        path = Path(str(resources.files("hw") / "rigs" / f"{rig}.yaml"))
    return load_model(path, RigConfig)


def load_model(path: Path, model: type[M]) -> M:
    """Read a YAML file into a pydantic model, with errors that name file, line and key.

    Raises
    ------
    ConfigError
        The file is missing, is no YAML mapping, has a key twice, or does not fit the model.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise ConfigError(f"{path}{line}: not valid YAML ({problem}); mend the file") from error
    # A value that only looks like a date, such as 2026-13-45.
    except ValueError as error:
        raise ConfigError(f"{path}: not valid YAML ({error}); put quotes around the value") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values; see the shipped files")
    if (twice := _key_given_twice(node)) is not None:
        key, number = twice
        raise ConfigError(f"{path}:{number}: key '{key}' is given a second time; remove one of the two")
    return check_model(data, model, path, node)


def check_model(
    data: dict[str, Any], model: type[M], path: Path, node: yaml.Node | None, prefix: tuple[str, ...] = ()
) -> M:
    """Validate `data`, which stands at key `prefix` of the file `path`, against a model."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # A misspelt key is also a missing one: say the first, which is the cause.
        errors = error.errors()
        first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
        chosen = tuple(first["loc"])
        # Which family of rigs is simulated stands in the location, and not in the file.
        location = chosen[:1] + chosen[2:] if chosen[:1] == ("simulation",) else chosen
        line = _line_of(node, (*prefix, *location))
        where = f"{path}:{line}" if line else str(path)
        key = ".".join(str(part) for part in _keys_in_file(node, (*prefix, *location))) or "file"
        if first["type"] == "union_tag_invalid" and location == ("simulation",):
            there = first["ctx"]["expected_tags"]
            raise ConfigError(
                f"{where}: '{key}.specimen': unknown specimen '{first['ctx']['tag']}'; there are {there}"
            ) from error
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(location[-1]), _valid_keys(model, chosen[:-1]), 1)
            hint = f"did you mean '{near[0]}'?" if near else "remove it"
            raise ConfigError(f"{where}: unknown key '{key}'; {hint}") from error
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where}: '{key}': {message}") from error


def _key_given_twice(
    node: yaml.Node | None, prefix: str = "", seen: set[int] | None = None
) -> tuple[str, int] | None:
    """Find the first key that its mapping has already, with its line; YAML itself lets the last one win."""
    seen = set() if seen is None else seen
    # An anchor may be met again, within itself even.
    if id(node) in seen:
        return None
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        names: set[tuple[str, str]] = set()
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            if (key.tag, key.value) in names:
                return name, key.start_mark.line + 1
            names.add((key.tag, key.value))
            if (found := _key_given_twice(value, f"{name}.", seen)) is not None:
                return found
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            if (found := _key_given_twice(value, f"{prefix}{index}.", seen)) is not None:
                return found
    return None


def _keys_in_file(node: yaml.Node | None, location: tuple[Any, ...]) -> list[Any]:
    """Leave out the parts of a location that name a choice within the model instead of a key of the file."""
    keys = []
    for part in location:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part] if part < len(node.value) else None
        elif node is not None:
            continue
        keys.append(part)
    return keys


def _line_of(node: yaml.Node | None, location: tuple[Any, ...]) -> int | None:
    line = node.start_mark.line + 1 if node else None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    node, line = value, key.start_mark.line + 1
                    break
            else:
                return line
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def _valid_keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    current: Any = model
    choices: list[type[BaseModel]] = []
    for part in location:
        if isinstance(part, int):
            continue
        # After a key where one of several models may stand comes the choice, which may have a key's name.
        if len(choices) > 1:
            current = next((m for m in choices if _specimen_of(m) == part), choices[0])
            choices = []
        elif part in current.model_fields:
            choices = _models_in(current.model_fields[str(part)].annotation)
            current = choices[0] if choices else current
    return list(current.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that an annotation names, in its order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _specimen_of(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("specimen")
    return get_args(field.annotation)[0] if field is not None else None

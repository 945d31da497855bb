"""What a sweep varies: keys of the recipe, each with the values it may take, in a small YAML file.

learning_rate: { log: [1.0e-4, 1.0e-2] }     # spread evenly by order of magnitude
loss.knee_um: { range: [20, 100] }           # spread evenly; whole numbers where the key takes no others
network: { choice: [focusnet_tiny, focusnet_small] }
"""

import difflib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel, RootModel, ValidationError, model_validator
from pydantic.fields import FieldInfo

from hw.config import load_model
from hw.errors import ConfigError
from hw.section import Section
from training.recipe import Recipe

__all__ = ["Changes", "Space", "Values", "load_space", "with_changes"]

Changes = Mapping[str, Any]
"""Values of keys of a recipe, by key; those of its sections with a dot."""

_KINDS = ("log", "range", "choice")
_ENDS = tuple[float, float]


class Values(Section):
    """The values that a key may take: exactly one of the three."""

    log: _ENDS | None = None
    range: _ENDS | None = None
    choice: tuple[Any, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_one(cls, data: Any) -> Any:
        if not isinstance(data, dict) or len(data) != 1 or next(iter(data)) not in _KINDS:
            raise ValueError("give one of {log: [LOW, HIGH]}, {range: [LOW, HIGH]} and {choice: [A, B]}")
        return data

    @model_validator(mode="after")
    def _is_ordered(self) -> "Values":
        if self.choice is not None and not self.choice:
            raise ValueError("choice has nothing to choose from")
        for ends in (self.log, self.range):
            if ends is not None and not ends[0] < ends[1]:
                raise ValueError(f"[{ends[0]:g}, {ends[1]:g}]: the lower end must come first, and differ")
        if self.log is not None and not self.log[0] > 0:
            raise ValueError(f"log needs ends above 0, and {self.log[0]:g} is none")
        return self

    @property
    def ends(self) -> tuple[float, float] | None:
        """Lowest and highest value; None of a choice."""
        return self.log or self.range

    def at(self, share: float, whole: bool) -> Any:
        """Return the value at a place between 0, the first, and 1, beyond the last; whole if it must be."""
        if self.choice is not None:
            return self.choice[int(share * len(self.choice))]
        assert self.ends is not None
        low, high = self.ends
        value = low + (high - low) * share if self.log is None else low * (high / low) ** share
        return round(value) if whole else float(value)


class Space(RootModel[dict[str, Values]]):
    """The values of every key that is varied, in the order of the file."""

    @property
    def keys(self) -> list[str]:
        """The keys that are varied."""
        return list(self.root)

    def grid(self) -> list[dict[str, Any]]:
        """Return every combination.

        Raises
        ------
        ConfigError
            A key has a range, which has no end of values.
        """
        for key, values in self.root.items():
            if values.choice is None:
                raise ConfigError(
                    f"'{key}': a grid needs {{choice: [A, B]}} of every key; give the values to try, or "
                    "draw them with --method random"
                )
        every = itertools.product(*(values.choice or () for values in self.root.values()))
        return [dict(zip(self.root, each, strict=True)) for each in every]

    def drawn(self, seed: int, number: int) -> dict[str, Any]:
        """Return the values of one trial, which do not depend on how many others there are."""
        shares = np.random.default_rng([seed, number]).random(len(self.root)).tolist()
        return {
            key: values.at(share, _field_of(key).annotation is int)
            for (key, values), share in zip(self.root.items(), shares, strict=True)
        }


def load_space(path: Path) -> Space:
    """Read a file of what is varied.

    Raises
    ------
    ConfigError
        It is missing or wrong: what, where, and what to do.
    """
    space = load_model(path, Space)
    if not space.root:
        raise ConfigError(f"{path}: varies nothing; give a key of the recipe and its values")
    for key in space.root:
        try:
            _field_of(key)
        except KeyError as error:
            raise ConfigError(f"{path}: '{key}': {error.args[0]}") from error
    return space


def with_changes(recipe: Recipe, changes: Changes, name: str) -> Recipe:
    """Return a recipe with other values.

    Raises
    ------
    ConfigError
        The recipe has no such section, or does not stand the values.
    """
    data = recipe.model_dump()
    told = ", ".join(f"{key} {value}" for key, value in changes.items())
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = data
        for section in sections:
            place = place[section]
            if place is None:
                raise ConfigError(f"'{key}': recipe '{recipe.name}' has no '{section}' to vary; add it there")
        place[last] = value
    try:
        return Recipe.model_validate({**data, "name": name})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"recipe '{recipe.name}' with {told}: {where + ': ' if where else ''}{reason}; change the space"
        ) from error


def _field_of(key: str) -> FieldInfo:
    """Return the recipe's field of a key, or raise a KeyError that says why there is none."""
    model: type[BaseModel] = Recipe
    *sections, last = key.split(".")
    for section in sections:
        inner = _section_of(model.model_fields[section]) if section in model.model_fields else None
        if inner is None:
            raise KeyError(f"a recipe has no section '{section}'{_near(section, model)}")
        model = inner
    if last not in model.model_fields or key == "name":
        raise KeyError(f"no key of a recipe that can be varied{_near(last, model)}")
    section_of = _section_of(model.model_fields[last])
    if section_of is not None:
        raise KeyError(f"a section; vary a key of it, such as {key}.{next(iter(section_of.model_fields))}")
    return model.model_fields[last]


def _near(name: str, model: type[BaseModel]) -> str:
    near = difflib.get_close_matches(name, model.model_fields, 1)
    return f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(model.model_fields)}"


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a section, also of one that may be absent."""
    for part in (field.annotation, *get_args(field.annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None

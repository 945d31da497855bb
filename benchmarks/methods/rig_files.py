"""Rig files that differ from a shipped one in some values."""

from pathlib import Path
from typing import Any

import yaml

from hw.config import load_rig

__all__ = ["write_rig"]


def write_rig(path: Path, like: str, changes: dict[str, Any]) -> Path:
    """Write a rig file like another, but for the values given by section; returns its path."""
    values = load_rig(like).model_dump(mode="json", exclude_none=True)
    path.write_text(yaml.safe_dump(_changed(values, changes), sort_keys=False), encoding="utf-8")
    return path


def _changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    new = {key: _changed(values[key], new) if isinstance(new, dict) else new for key, new in changes.items()}
    return values | new

"""Checkpoints: whole or not at all, found damaged when they are, and valid wherever their run is moved to."""

import training.torchvision_compat  # noqa: F401 - before Lightning, whose metrics import torchvision

# isort: split
import io
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from hw.errors import ConfigError
from hw.whole_file import write_whole

__all__ = ["BEST", "LAST", "WholeCheckpoints", "read_checkpoint", "write_tensors"]

BEST = "best.ckpt"
LAST = "last.ckpt"


def write_tensors(path: Path, content: object) -> None:
    """Write what `torch.save` can write, whole or not at all.

    Raises
    ------
    OSError
        It cannot be written; what was there before is still there.
    """
    # Into memory first: on a full disk torch raises errors that no longer say so.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of this program's own, with the state of its callbacks in it.

    Raises
    ------
    FileNotFoundError
        There is none.
    ConfigError
        It is damaged.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=False)
    except FileNotFoundError:
        raise
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"{path}: damaged checkpoint ({reason}); put back a copy of it, or train again with another --out"
        ) from error
    return _at_home(state, path.parent)


def _at_home(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Let the callbacks' best-so-far count where the run is now: Lightning forgets it in another folder."""
    home = os.path.realpath(folder)
    for name, kept in state.get("callbacks", {}).items():
        if name.startswith("ModelCheckpoint") and kept.get("dirpath") not in {None, home}:
            moved = {key: _rebased(value, kept["dirpath"], home) for key, value in kept.items()}
            state["callbacks"][name] = moved
    return state


def _rebased(value: Any, old: str, new: str) -> Any:
    if isinstance(value, str):
        return new + value.removeprefix(old) if value.startswith(old) else value
    if isinstance(value, dict):
        return {_rebased(key, old, new): each for key, each in value.items()}
    return value


class WholeCheckpoints(CheckpointIO):
    """How Lightning writes and reads checkpoints here.

    Its own way writes into the system's folder for temporary files and moves that file, which on another disk
    is a copy: a kill in the middle of it leaves half a checkpoint, where the last whole one had been.
    """

    def save_checkpoint(
        self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; until it is whole, the former one stays."""
        write_tensors(Path(path), checkpoint)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, as `read_checkpoint` does."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)

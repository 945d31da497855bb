"""Start a network from a file of weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hw.errors import ConfigError

__all__ = ["load_weights"]

# Names under which training programs keep the weights within a checkpoint.
_WITHIN = ("state_dict", "model")
# What they put before the names of layers.
_PREFIXES = ("network.", "model.", "module.")


def load_weights(network: nn.Module, path: Path) -> list[str]:
    """Fill a network with the weights of a file.

    The last layer of a file is often that of another task. Tensors that the file lacks, or has in another
    shape, therefore stay as they are; a file that fits less than half of the network is refused.

    Parameters
    ----------
    network : is changed
    path : of a state dict as PyTorch (``.pt``, ``.pth``, ``.ckpt``) or safetensors; for instance a run's
        ``best.pt``, or weights that timm published

    Returns
    -------
    list of str
        Names of the tensors that stayed as they were.

    Raises
    ------
    ConfigError
        The file cannot be read, or is of another network.
    """
    found = _read(path)
    wanted = network.state_dict()
    fitting = {
        name: found[name] for name in wanted if name in found and found[name].shape == wanted[name].shape
    }
    share = sum(t.numel() for t in fitting.values()) / max(1, sum(t.numel() for t in wanted.values()))
    if share < 0.5:
        raise ConfigError(
            f"{path}: has {share:.0%} of the network's weights by name and shape, so it is of another one; "
            "give another file, or leave 'weights' out"
        )
    network.load_state_dict(fitting, strict=False)
    return [name for name in wanted if name not in fitting]


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror or error}); check the path of 'weights'"
        ) from error
    # A damaged file fails in many ways; all of them mean the same to the caller.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{path}: holds no weights that can be read ({reason}); give a state dict"
        ) from error
    for key in _WITHIN:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(t, Tensor) for t in content.values()):
        raise ConfigError(f"{path}: is no state dict; give the weights alone")
    for prefix in _PREFIXES:
        if content and all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): tensor for name, tensor in content.items()}
    return content

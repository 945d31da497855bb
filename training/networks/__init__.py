"""The networks that can be trained, by name.

A network takes (N, 3, H, W) normalised RGB and gives (N, outputs) without activation at the end.
"""

import training.networks.families  # noqa: F401 - registers them
from training.networks.registry import Wanted, create, names, register

__all__ = ["Wanted", "create", "names", "register"]

"""The learning rate over a run."""

import math
from typing import Literal

__all__ = ["rate"]

# Paper 1, section 3.1: times 0.85 after every 5 of 100 epochs.
_FACTOR, _STEPS = 0.85, 20


def rate(progress: float, warm_up: float, kind: Literal["cosine", "step"]) -> float:
    """Return the learning rate as a share of its peak.

    Parameters
    ----------
    progress : share of the run that is over, 0 to 1
    warm_up : share of the run in which the rate rises linearly
    kind : a half cosine down to 0, or steps down by a fixed factor (paper 1, section 3.1)
    """
    if progress < warm_up:
        # Never 0: the first step shall count.
        return max(progress / warm_up, 1e-3)
    if kind == "step":
        # Just above, so that a step is not missed for a rounding error.
        return _FACTOR ** math.floor(progress * _STEPS + 1e-9)
    left = min(1.0, (progress - warm_up) / (1 - warm_up))
    return 0.5 * (1 + math.cos(math.pi * left))

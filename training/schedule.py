"""The learning rate over a run."""

import math
from typing import Literal

__all__ = ["rate"]

# Where the step schedule divides by ten.
_STEPS = (0.6, 0.85)


def rate(progress: float, warm_up: float, kind: Literal["cosine", "step"]) -> float:
    """Return the learning rate as a share of its peak.

    Parameters
    ----------
    progress : share of the run that is over, 0 to 1
    warm_up : share of the run in which the rate rises linearly
    kind : a half cosine down to 0, or two steps down by ten
    """
    if progress < warm_up:
        # Never 0: the first step shall count.
        return max(progress / warm_up, 1e-3)
    if kind == "step":
        return 0.1 ** sum(progress >= step for step in _STEPS)
    left = min(1.0, (progress - warm_up) / (1 - warm_up))
    return 0.5 * (1 + math.cos(math.pi * left))

"""The direction of the axis, proved by something whose sign is known.

Contrast alone proves nothing: an axis that runs the wrong way, and counts that way too, finds its peak like
any other. Three things know the sign:

- a network that has learnt which side of focus is which: the offset it sees must shrink by as much as the
  lens moves towards it;
- the order of colours: red light comes to focus further from a lens than blue, unless the lens was corrected
  for it, and `optics.red_minus_blue_um` of the rig file says by how much;
- a spacer: it brings the specimen nearer to the lens, so that focus moves away from the specimen.

`+` is the direction away from the specimen: so simulated rigs count, and so the shipped network has learnt.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibration.axis.bench import Channel, Sweep
from calibration.peak import NoFocusPeak, find_peak

__all__ = ["Evidence", "Verdict", "by_colours", "by_network", "by_spacer", "conclude"]

Verdict = Literal["right", "inverted", "not proven"]

# A network's offsets against the lens position: slope, in units of the expected one, and its sigmas from 0.
LEAST_SLOPE, LARGEST_SLOPE = 0.5, 2.0
LEAST_SIGMAS = 4.5
# Looks further than this from focus must show it on the side where it is, but for so few.
SIDE_DOF = 1.0
LEAST_AGREEMENT = 0.9
FEWEST_A_SIDE = 3
# The colours' foci must be so many sigmas apart, and no more than this factor from what the rig file says.
COLOUR_SIGMAS = 5.0
COLOUR_FACTOR = 3.0
FEWEST_SWEEPS = 3
# A peak found by sweep after sweep cannot be better known than this, in depths of field.
LEAST_SIGMA_DOF = 0.005


@dataclass(frozen=True)
class Evidence:
    """What one method says of the direction.

    Attributes
    ----------
    method : 'network', 'colours' or 'spacer'
    verdict : 'right' as the rig file has it, 'inverted', or 'not proven'
    sigmas : how many standard deviations the measured number lies from saying nothing
    seen : what was seen, in one line
    why_not : what keeps it from proving anything; empty for a proof
    """

    method: str
    verdict: Verdict
    sigmas: float
    seen: str
    why_not: str = ""


def by_network(
    lens_steps: NDArray[np.float64],
    offset_um: NDArray[np.float64],
    focus_steps: float,
    um_per_step: float,
    dof_um: float,
) -> Evidence:
    """Judge by a network's offsets at lens positions on both sides of focus.

    `offset = focus - position`: over the lens position they fall with slope -1 in um, rise with +1 where the
    axis is inverted. The slope is Theil and Sen's, the median of all pairs', which a few wild predictions do
    not move; its standard deviation follows from Kendall's S (Sen, J. Am. Stat. Assoc. 63:1379, 1968).

    Parameters
    ----------
    lens_steps, offset_um : (N,) of looks whose prediction can be used
    focus_steps : where contrast peaks
    um_per_step, dof_um : of the rig file
    """
    count = len(lens_steps)
    away_um = (lens_steps - focus_steps) * um_per_step
    far = np.abs(away_um) > SIDE_DOF * dof_um
    sides = [int((far & (away_um * side > 0)).sum()) for side in (-1, 1)]
    if min(sides) < FEWEST_A_SIDE:
        why = f"predictions at {sides[0]} places below and {sides[1]} above focus, not {FEWEST_A_SIDE} each"
        return Evidence("network", "not proven", 0.0, f"{count} predictions", why)
    slope, sigmas = _robust_slope(away_um, offset_um)
    agree = float((offset_um[far] * away_um[far] < 0).mean())
    share = max(agree, 1 - agree)
    right = slope < 0
    implied = abs(slope) * um_per_step
    seen = (
        f"offset changes by {slope:+.2f} um per um of lens travel ({sigmas:.0f} sigma; -1 is right, +1 "
        f"inverted); focus seen on the {'right' if right else 'wrong'} side at {share:.0%} of "
        f"{int(far.sum())} places more than {SIDE_DOF:g} DOF away; as if a step were {implied:.2f} um"
    )
    why = ""
    if sigmas < LEAST_SIGMAS:
        why = f"the slope is {sigmas:.1f} sigma from none, at least {LEAST_SIGMAS:g} are asked for"
    elif not LEAST_SLOPE <= abs(slope) <= LARGEST_SLOPE:
        why = (
            f"a slope of {slope:+.2f} is far from 1 either way: the network does not know this specimen, or "
            "axis.um_per_step is wrong"
        )
    elif share < LEAST_AGREEMENT or (agree > 0.5) != right:
        why = f"the sides agree at {share:.0%} of the places only, {LEAST_AGREEMENT:.0%} are asked for"
    verdict: Verdict = "not proven" if why else ("right" if right else "inverted")
    return Evidence("network", verdict, sigmas, seen, why)


def by_colours(
    sweeps: Sequence[Sweep], red_minus_blue_um: float, um_per_step: float, dof_um: float
) -> Evidence:
    """Judge by the order in which red and blue come into focus.

    Both are measured in the same frames, so that drift and play are in neither.

    Parameters
    ----------
    sweeps : three or more, through focus
    red_minus_blue_um : of the rig file, in lens positions counted away from the specimen
    um_per_step, dof_um : of the rig file
    """
    try:
        apart = np.array([_peak(s, "red") - _peak(s, "blue") for s in sweeps]) * um_per_step
    except NoFocusPeak as error:
        return Evidence("colours", "not proven", 0.0, "no focus in one of the colours", str(error))
    if len(apart) < FEWEST_SWEEPS or red_minus_blue_um == 0:
        why = f"{len(apart)} sweeps, {FEWEST_SWEEPS} are needed, and a shift other than 0 to compare with"
        return Evidence("colours", "not proven", 0.0, f"{len(apart)} sweeps", why)
    mean = float(apart.mean())
    scatter = float(apart.std(ddof=1)) / math.sqrt(len(apart))
    sigma = max(scatter, LEAST_SIGMA_DOF * dof_um)
    sigmas = abs(mean) / sigma
    right = mean * red_minus_blue_um > 0
    seen = (
        f"red comes into focus {mean:+.1f} um from blue ({sigmas:.0f} sigma), {red_minus_blue_um:+g} um are "
        "in the rig file"
    )
    why = ""
    if sigmas < COLOUR_SIGMAS:
        why = f"the colours' foci are {sigmas:.1f} sigma apart, at least {COLOUR_SIGMAS:g} are asked for"
    elif not 1 / COLOUR_FACTOR <= abs(mean / red_minus_blue_um) <= COLOUR_FACTOR:
        why = (
            f"{abs(mean):.0f} um is not the {abs(red_minus_blue_um):g} um of optics.red_minus_blue_um: "
            "another lens, or a target with a colour of its own"
        )
    verdict: Verdict = "not proven" if why else ("right" if right else "inverted")
    return Evidence("colours", verdict, sigmas, seen, why)


def by_spacer(shift_steps: float, sigma_steps: float, spacer_um: float) -> Evidence:
    """Judge by where focus went when a spacer raised the specimen towards the lens.

    Parameters
    ----------
    shift_steps, sigma_steps : by how much focus rose, as the axis counts
    spacer_um : thickness
    """
    sigmas = abs(shift_steps) / sigma_steps
    seen = f"a spacer of {spacer_um:g} um moved focus by {shift_steps:+.1f} steps ({sigmas:.0f} sigma)"
    if sigmas < LEAST_SIGMAS:
        return Evidence("spacer", "not proven", sigmas, seen, f"less than {LEAST_SIGMAS:g} sigma")
    return Evidence("spacer", "right" if shift_steps > 0 else "inverted", sigmas, seen)


def conclude(evidence: Sequence[Evidence]) -> Verdict:
    """Say what all the evidence comes to: what is proven must not be contradicted."""
    verdicts = {found.verdict for found in evidence} - {"not proven"}
    return verdicts.pop() if len(verdicts) == 1 else "not proven"


def _robust_slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Median slope of all pairs, and how many deviations Kendall's S lies from 0."""
    i, j = np.triu_indices(len(x), 1)
    apart = x[j] - x[i]
    use = np.abs(apart) > 1e-9
    slope = float(np.median((y[j] - y[i])[use] / apart[use]))
    s = abs(float(np.sign((y[j] - y[i])[use] * apart[use]).sum()))
    n = len(x)
    return slope, s / math.sqrt(n * (n - 1) * (2 * n + 5) / 18)


def _peak(sweep: Sweep, channel: Channel) -> float:
    return find_peak(sweep.position_steps, sweep.curve(channel)).position

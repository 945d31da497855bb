"""Rows of figures about labels: of peaks and their errors, and of whole labels, right, wrong or refused."""

from dataclasses import dataclass

import numpy as np

from calibration.peak import Peak
from hw.config import RigConfig
from methods.report import Row

__all__ = ["Verdict", "summary", "verdicts"]

WRONG_DOF = 0.1


@dataclass(frozen=True)
class Verdict:
    """What became of one stack: the error of its label and the stated deviation in um, or why it has none."""

    error_um: float | None
    reason: str = ""
    sigma_um: float = 0.0


def summary(case: str, peaks: list[Peak | None], truths: list[float], rig: RigConfig) -> Row:
    """Bias and spread of the peaks of many stacks, in steps of the rig's axis."""
    found = [(p.position - t, p.sigma) for p, t in zip(peaks, truths, strict=True) if p is not None]
    row: Row = {"case": case, "stacks": len(peaks), "without_peak": len(peaks) - len(found)}
    if not found:
        return row
    errors, sigmas = np.array(found).T
    steps = errors / rig.axis.um_per_step
    return row | {
        "bias_steps": round(float(steps.mean()), 2),
        "spread_steps": round(float(steps.std()), 2),
        "rms_steps": round(float(np.sqrt(np.mean(steps**2))), 2),
        "median_abs_steps": round(float(np.median(np.abs(steps))), 2),
        "p90_abs_steps": round(float(np.quantile(np.abs(steps), 0.9)), 2),
        "largest_steps": round(float(np.abs(steps).max()), 2),
        "rms_dof": round(float(np.sqrt(np.mean(errors**2))) / rig.optics.dof_um, 4),
        "sigma_median_steps": round(float(np.median(sigmas)) / rig.axis.um_per_step, 2),
        "within_1_sigma": round(float(np.mean(np.abs(errors) < sigmas)), 2),
        "within_3_sigma": round(float(np.mean(np.abs(errors) < 3 * sigmas)), 2),
    }


def verdicts(case: str, found: list[Verdict], rig: RigConfig, *, in_range: bool = True) -> Row:
    """How many labels of a case are right, wrong and refused; out of range every label is wrong."""
    errors = np.array([v.error_um for v in found if v.error_um is not None])
    sigmas = np.array([v.sigma_um for v in found if v.error_um is not None])
    wrong = np.abs(errors) > WRONG_DOF * rig.optics.dof_um if in_range else np.ones(len(errors), bool)
    row: Row = {
        "case": case,
        "stacks": len(found),
        "labelled": len(errors),
        "refused": len(found) - len(errors),
        "wrong_not_flagged": int(wrong.sum()),
        "wrong_share_of_stacks": round(float(wrong.sum()) / max(len(found), 1), 3),
    }
    if len(errors) and in_range:
        steps = errors / rig.axis.um_per_step
        row |= {
            "rms_steps": round(float(np.sqrt(np.mean(steps**2))), 2),
            "median_abs_steps": round(float(np.median(np.abs(steps))), 2),
            "p90_abs_steps": round(float(np.quantile(np.abs(steps), 0.9)), 2),
            "largest_steps": round(float(np.abs(steps).max()), 2),
            "half_dof_out": int((np.abs(errors) > rig.optics.dof_um / 2).sum()),
            "within_1_sigma": round(float(np.mean(np.abs(errors) < sigmas)), 2),
            "within_3_sigma": round(float(np.mean(np.abs(errors) < 3 * sigmas)), 2),
        }
    for word in (
        "end of the range",
        "noise",
        "minimum",
        "several comparable",
        "several depths",
        "disagree",
        "does not",
        "tilted",
        "flat",
        "uncertain",
    ):
        count = sum(word in v.reason.split(";")[0] for v in found)
        if count:
            row[f"refused_{word.replace(' ', '_')}"] = count
    return row

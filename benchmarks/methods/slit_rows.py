"""Paper 4 on the simulated slit laser: the two shipped ranges, one image and move each, on other days."""

from typing import Any

import numpy as np

from methods.report import Row

__all__ = ["slit_rows"]

RIG, BUNDLES = "slit_laser_sim", ("slit_long", "slit_short")
PAPER_4 = "within +-0.2 um after two steps, from within +-100 um (figures 4 and 7)"
FIRST_SEED = 970_000
RANGE_UM = 100.0
STARTS = 4


def slit_rows(days: int) -> list[Row]:
    """Focus from four places within +-100 um on each of so many days."""
    from edge.bundle import load_bundle
    from hw.config import load_rig

    rig = load_rig(RIG)
    bundles = [load_bundle(name) for name in BUNDLES]
    tries = [each for day in range(days) for each in _day(FIRST_SEED + day, bundles)]
    rows: list[Row] = []
    for step, name in enumerate(BUNDLES):
        done = [each for each in tries if len(each["left_um"]) > step]
        left = np.array([each["left_um"][step] for each in done])
        by_day = [
            np.array([each["left_um"][step] for each in done if each["seed"] == seed])
            for seed in sorted({each["seed"] for each in done})
        ]
        rows.append(
            {
                "case": f"after {'one step' if step == 0 else 'two steps'} ({name})",
                "paper": 4,
                "rig": RIG,
                "network": bundles[step].card.architecture,
                "bundle": f"{name} {bundles[step].card.flatbuffer_sha256[:12]}",
                "figure_of_the_paper": PAPER_4,
                "days": days,
                "starts": len(tries),
                "lost": len(tries) - len(done),
                "mae_um": float(np.abs(left).mean()),
                "rms_um": float(np.sqrt(np.square(left).mean())),
                "p95_um": float(np.percentile(np.abs(left), 95)),
                "worst_um": float(np.abs(left).max()),
                "within_200_nm": float((np.abs(left) < 0.2).mean()),
                "within_half_dof": float((np.abs(left) < rig.optics.dof_um / 2).mean()),
                # What a day's alignment shifts alike, and what is left about it.
                "between_days_sd_um": float(np.std([day.mean() for day in by_day])),
                "within_days_rms_um": float(np.sqrt(np.mean([day.var() for day in by_day]))),
                "within_200_nm_of_its_day": float(
                    np.mean([np.abs(day - day.mean()) < 0.2 for day in by_day if len(day) == STARTS])
                ),
            }
        )
    return rows


def _day(seed: int, bundles: Any) -> list[dict[str, Any]]:
    """Where the lens is left after each step, from every start of a day, um from true focus."""
    from contextlib import closing

    from edge.bundle import Predictor
    from edge.loop import loop_steps
    from edge.ranges import FocusRange, RangesFocuser
    from hw.config import load_rig
    from hw.rig import open_rig

    config = load_rig(RIG)
    ranges = [FocusRange(b.card.name, Predictor(b), b.card.input, b.card.trained_range_um) for b in bundles]
    rng = np.random.default_rng([seed, 11])
    found = []
    with open_rig(config, seed=seed) as rig:
        rig.axis.home()
        for start in rng.permuted(np.linspace(-RANGE_UM, RANGE_UM, STARTS + 1)[:-1] + RANGE_UM / STARTS):
            away = float(start + rng.uniform(-1, 1) * RANGE_UM / STARTS)
            _go(rig, away)
            left: list[float] = []
            target = None
            focuser = RangesFocuser(config, ranges, confirm=False)
            with closing(loop_steps(rig, focuser)) as steps:
                for judged in (step for step in steps if step.look.offset_um is not None):
                    # The lens rests wherever the step before has brought it.
                    left.append(_away(rig))
                    if judged.look.decision.state == "locked" or focuser.gave_up:
                        target = focuser.rest_steps()
                        break
            if not focuser.gave_up:
                if target is not None:
                    rig.axis.move_to(target)
                    rig.clock.sleep(5)
                left.append(_away(rig))
            # What stands before the first step is where it started.
            found.append({"seed": seed, "start_um": away, "left_um": left[1:]})
    return found


def _go(rig: Any, away_um: float) -> None:
    """Put the lens so far from focus, and wait."""
    rig.axis.move_to(rig.axis.position_steps + (away_um - _away(rig)) / rig.axis.um_per_step)
    rig.clock.sleep(5)


def _away(rig: Any) -> float:
    """How far from true focus the lens is now, um."""
    now = rig.clock.now()
    return float(
        rig.axis.position_at(now) * rig.axis.um_per_step
        + rig.ideal.lens_error_um(now)
        - rig.ideal.focus_um(now)
    )

"""Calibration of the axis against the simulator's truth: what is recovered, and what is refused.

    python benchmarks/axis.py --json benchmarks/results/axis.json

Every seed is another specimen, under an axis whose true backlash, settle time, scale and direction are drawn
at random and differ from what its rig file says. The target is a short dead larva, which is quick to render,
where nothing else is said; frames are smaller than the rig's, and source points fewer. Cases:

- `sound`: all is measured, and the rig file corrected; then the lens is sent about, before and after.
- `loses-at-speed`: the motor misses steps above 300 steps/s, and its rig file asks for 400.
- `loses-always`: it misses steps above 100 steps/s.
- `network`: the direction, by the shipped network over the dead worm of `target_sim`, and by its colours.
- `crawling`: the direction, by the same network, over a worm that crawls on a drifting plate.
- `no-colour`: the direction, by the order of colours, under a lens that does not part them: to be refused.

Rows that the JSON file already holds are kept.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from methods.report import held_rows, write_report

SPACER_UM = 500.0
SEEDS = {"sound": 8, "loses-at-speed": 5, "loses-always": 3, "network": 4, "crawling": 4, "no-colour": 3}


def main() -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=sorted(SEEDS), default=list(SEEDS))
    parser.add_argument("--seeds", type=int, default=None, help="of each case, in place of its own number")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    rows = held_rows(options.json)
    done = {(row["case"], row["seed"]) for row in rows}
    numbers = {case: options.seeds or SEEDS[case] for case in options.cases}
    # Seed by seed, so that a run that was interrupted has seen every case.
    for seed in range(max(numbers.values())):
        for case in options.cases:
            if seed < numbers[case] and (case, seed) not in done:
                row = {"case": case, "seed": seed, **CASES[case](seed)}
                print(json.dumps(row), flush=True)
                rows.append(row)
                if options.json:
                    save(options.json, rows)
    print(json.dumps(summary(rows), indent=1))
    if options.json:
        save(options.json, rows)


def drawn_truth(seed: int) -> dict[str, Any]:
    """Draw what the axis of a seed really does; its rig file says 6 steps, 0.03 s, 5 um and not inverted."""
    rng = np.random.default_rng([seed, 77])
    return {
        "backlash_steps": round(float(rng.uniform(1, 14)), 2),
        "settle_s": round(float(rng.uniform(0.01, 0.12)), 4),
        "um_per_step": round(float(rng.uniform(4.2, 6.0)), 3),
        "inverted": bool(seed % 2),
    }


def quick(config: Any, side_px: int, points_per_mm: float, span_um: float) -> Any:
    """Return a rig with a smaller frame, fewer source points and a shorter search."""
    section = config.simulation
    optics = section.optics.model_copy(update={"source_points": 8, "source_points_per_mm": points_per_mm})
    camera = config.camera.model_copy(update={"width_px": side_px, "height_px": side_px})
    control = config.control.model_copy(update={"search_span_um": span_um})
    section = section.model_copy(update={"optics": optics})
    return config.model_copy(update={"simulation": section, "camera": camera, "control": control})


def larva(config: Any) -> Any:
    """Return a quick rig over a larva a quarter of a millimetre long."""
    section = config.simulation
    worm = section.worm.model_copy(update={"length_um": (220.0, 300.0), "diameter_um": (30.0, 60.0)})
    section = section.model_copy(update={"worm": worm})
    return quick(config.model_copy(update={"simulation": section}), 320, 8.0, 3000.0)


def rig_with(rig: str, axis: dict[str, Any], optics: dict[str, Any] | None = None) -> Any:
    """Return a simulated rig with other truths."""
    from hw.config import load_rig

    config = load_rig(rig)
    section: Any = config.simulation
    truth = section.axis.model_copy(update=axis)
    lens = section.optics.model_copy(update=optics or {})
    return config.model_copy(
        update={"simulation": section.model_copy(update={"axis": truth, "optics": lens})}
    )


def measured(config: Any, seed: int, *, spacer: bool) -> Any:
    """Run `calibrate axis`."""
    from calibration.axis.bench import without_a_preferred_side
    from calibration.axis.characterise import AxisPlan, characterise
    from hw.rig import open_rig

    plan = AxisPlan(spacer_um=SPACER_UM if spacer else None, spacer_sigma_um=0.0)
    with open_rig(without_a_preferred_side(config), seed=seed) as rig:
        return characterise(rig, plan, np.random.default_rng(seed))


def proven(config: Any, seed: int, *by: str) -> Any:
    """Run `calibrate sign`."""
    from calibration.axis.bench import without_a_preferred_side
    from calibration.axis.prove import Means, prove_direction
    from edge.bundle import load_bundle
    from hw.rig import open_rig
    from wormfocus.calibrate_sign import judge_with

    means = Means(
        judge_with(config, load_bundle("default")) if "network" in by else None,
        config.optics.red_minus_blue_um if "colours" in by else None,
        SPACER_UM if "spacer" in by else None,
    )
    with open_rig(without_a_preferred_side(config), seed=seed) as rig:
        return prove_direction(rig, means)


def lens_error_um(config: Any, seed: int) -> float:
    """Worst distance of the lens from where the axis believes it, over 40 moves about home, um."""
    from hw.rig import open_rig

    rng, worst = np.random.default_rng(seed), 0.0
    with open_rig(config, seed=seed) as rig:
        rig.axis.home()
        for _ in range(40):
            rig.axis.move_to(float(rng.uniform(-200, 200)))
            while rig.axis.moving:
                rig.clock.sleep(0.01)
            worst = max(worst, abs(rig.ideal.lens_error_um(rig.clock.now())))
    return round(worst, 2)


def corrected(config: Any, values: dict[str, Any]) -> Any:
    """Return a rig with keys of its `axis` section replaced."""
    update = {key.removeprefix("axis."): value for key, value in values.items()}
    return config.model_copy(update={"axis": config.axis.model_copy(update=update)})


def verdicts(proof: Any) -> dict[str, Any]:
    """Return the evidence that a proof or a report holds, by method."""
    return {
        one.method: {"verdict": one.verdict, "sigmas": round(one.sigmas, 1), "seen": one.seen}
        for one in proof.evidence
    }


def sound(seed: int) -> dict[str, Any]:
    """Measure everything about an axis that misses no steps."""
    from calibration.axis.direction import conclude

    truth = drawn_truth(seed)
    config = larva(rig_with("target_sim", truth))
    report = measured(config, seed, spacer=True)
    verdict = conclude(report.evidence)
    values = dict(report.values)
    if verdict == "inverted":
        values["axis.invert_direction"] = True
    return {
        "truth": truth,
        "found": report.figures(),
        "verdict": verdict,
        "evidence": verdicts(report),
        "values": values,
        "lens_error_um_before": lens_error_um(config, seed),
        "lens_error_um_after": lens_error_um(corrected(config, values), seed),
    }


def losing(safe_steps_s: float) -> Callable[[int], dict[str, Any]]:
    """Return a case whose motor misses steps above a speed."""

    def case(seed: int) -> dict[str, Any]:
        truth = drawn_truth(seed) | {"safe_speed_steps_s": safe_steps_s, "missed_share": 0.02}
        report = measured(larva(rig_with("target_sim", truth)), seed, spacer=False)
        return {
            "truth": truth,
            "found": report.figures(),
            "trips": [
                [trip.speed, round(trip.lost_steps, 2), trip.significant]
                for missed in (report.control, report.fast)
                for trip in (() if missed is None else missed.trips)
            ],
            "values": report.values,
            "troubles": list(report.troubles),
        }

    return case


def network(seed: int) -> dict[str, Any]:
    """Prove the direction by a network and by the order of colours over the same dead worm."""
    truth = drawn_truth(seed)
    config = quick(rig_with("target_sim", truth), 1014, 12.0, 1400.0)
    proof = proven(config, seed, "network", "colours")
    return {"truth": truth, "verdict": proof.verdict, "evidence": verdicts(proof)}


def crawling(seed: int) -> dict[str, Any]:
    """Prove the direction over a worm that crawls."""
    inverted = bool(seed % 2)
    config = rig_with("worm_tracker_sim", {"inverted": inverted, "start_offset_steps": 60})
    config = quick(config, 1014, 12.0, 1400.0)
    proof = proven(config, seed, "network")
    return {"truth": {"inverted": inverted}, "verdict": proof.verdict, "evidence": verdicts(proof)}


def no_colour(seed: int) -> dict[str, Any]:
    """Try to prove the direction by colours that are not parted."""
    from hw.config import load_rig

    section: Any = load_rig("target_sim").simulation
    bands = tuple(band.model_copy(update={"shift_um": 0.0}) for band in section.optics.bands)
    config = larva(rig_with("target_sim", {"inverted": bool(seed % 2)}, {"bands": bands}))
    proof = proven(config, seed, "colours")
    return {
        "truth": {"inverted": bool(seed % 2)},
        "verdict": proof.verdict,
        "evidence": verdicts(proof),
        "why_not": proof.evidence[0].why_not,
    }


CASES: dict[str, Callable[[int], dict[str, Any]]] = {
    "sound": sound,
    "loses-at-speed": losing(300.0),
    "loses-always": losing(100.0),
    "network": network,
    "crawling": crawling,
    "no-colour": no_colour,
}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Errors and verdicts by case."""
    result: dict[str, Any] = {}
    for case in SEEDS:
        mine = [row for row in rows if row["case"] == case]
        if not mine:
            continue
        entry: dict[str, Any] = {"seeds": len(mine)}
        if "found" in mine[0] and all("backlash_steps" in row["found"] for row in mine):
            entry |= errors_of(mine)
        if "verdict" in mine[0]:
            right = [row["verdict"] == ("inverted" if row["truth"]["inverted"] else "right") for row in mine]
            unproven = [row["verdict"] == "not proven" for row in mine]
            entry["direction_right"] = sum(right)
            entry["direction_not_proven"] = sum(unproven)
            entry["direction_wrong"] = len(mine) - sum(right) - sum(unproven)
        if "trips" in mine[0]:
            fast = [trip for row in mine for trip in row["trips"] if trip[0] == "fast"]
            entry["reported_at_speed"] = sum(row["found"].get("missed_steps_at_speed", False) for row in mine)
            entry["reported_gently"] = sum(row["found"]["missed_steps_gently"] for row in mine)
            entry["fast_trips_significant"] = f"{sum(trip[2] for trip in fast)} of {len(fast)}"
            entry["values_written"] = sum(bool(row["values"]) for row in mine)
        result[case] = entry
    return result


def errors_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Worst and RMS errors of what was measured, and how many lie within what was stated."""

    def errors(name: str) -> np.ndarray:
        return np.array([row["found"][name] - row["truth"][name] for row in rows])

    backlash, settle = errors("backlash_steps"), errors("settle_s")
    sigma = np.array([row["found"]["backlash_sigma_steps"] for row in rows])
    within = [
        row["found"]["settle_low_s"] <= row["truth"]["settle_s"] <= row["found"]["settle_high_s"]
        for row in rows
    ]
    entry: dict[str, Any] = {
        "backlash_error_steps_rms": rms(backlash),
        "backlash_error_steps_worst": worst(backlash),
        "backlash_sigma_steps_median": round(float(np.median(sigma)), 3),
        "settle_error_ms_rms": rms(settle * 1e3),
        "settle_error_ms_worst": worst(settle * 1e3),
        "settle_within_stated": f"{sum(within)} of {len(within)}",
        "missed_steps_reported": sum(row["found"]["missed_steps_at_speed"] for row in rows),
    }
    if "um_per_step" in rows[0]["found"]:
        relative = errors("um_per_step") / np.array([row["truth"]["um_per_step"] for row in rows])
        ratio = [row["found"]["um_per_step_from_width"] / row["truth"]["um_per_step"] for row in rows]
        entry["um_per_step_error_percent_rms"] = rms(relative * 100)
        entry["um_per_step_error_percent_worst"] = worst(relative * 100)
        entry["um_per_step_from_width_over_truth"] = [round(min(ratio), 2), round(max(ratio), 2)]
        entry["lens_error_um_before_worst"] = max(row["lens_error_um_before"] for row in rows)
        entry["lens_error_um_after_worst"] = max(row["lens_error_um_after"] for row in rows)
    return entry


def rms(values: np.ndarray) -> float:
    """Root mean square, to three digits."""
    return float(f"{np.sqrt(np.square(values).mean()):.3g}")


def worst(values: np.ndarray) -> float:
    """Largest absolute value, to three digits."""
    return float(f"{np.abs(values).max():.3g}")


def save(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows and their summary."""
    cases = list(SEEDS)
    rows = sorted(rows, key=lambda row: (cases.index(row["case"]), row["seed"]))
    write_report(path, rows, spacer_um=SPACER_UM, summary=summary(rows))


if __name__ == "__main__":
    main()

"""`wormfocus calibrate axis`: backlash, repeatability, settle time, scale and missed steps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wormfocus.autofocus import finite, finite_or_none, write_json
from wormfocus.calibrate import (
    DryRun,
    Out,
    Picture,
    calibrate,
    forget_position,
    open_for_calibration,
    write_results,
)

if TYPE_CHECKING:
    from calibration.axis.characterise import AxisReport
    from hw.config import AxisConfig


@calibrate.command("axis")
def calibrate_axis(
    rig: Annotated[str, typer.Option(help="Rig file, or the name of a shipped rig.")],
    spacer_um: Annotated[
        float | None,
        typer.Option(
            min=1, callback=finite_or_none, help="Thickness of the spacer that measures the scale, um."
        ),
    ] = None,
    spacer_sigma_um: Annotated[
        float, typer.Option(min=0, callback=finite, help="How well that is known, um.")
    ] = 3.0,
    centre_um: Annotated[
        float | None,
        typer.Option(callback=finite_or_none, help="Where to look for the target; by default mid-travel."),
    ] = None,
    span_um: Annotated[
        float | None,
        typer.Option(min=1, callback=finite_or_none, help="How far; by default the rig's search span."),
    ] = None,
    pairs: Annotated[int, typer.Option(min=2, max=50, help="Sweeps up and down, for the backlash.")] = 3,
    moves: Annotated[int, typer.Option(min=10, max=1000, help="Short moves, for the settle time.")] = 30,
    trips: Annotated[int, typer.Option(min=0, max=50, help="Fast trips, for missed steps; 0 for none.")] = 4,
    far_steps: Annotated[
        float, typer.Option(min=10, callback=finite, help="How far those go; less where a limit is nearer.")
    ] = 600.0,
    out: Out = None,
    picture: Picture = None,
    dry_run: DryRun = False,
    seed: Annotated[int, typer.Option(min=0, help="Of a simulated rig, and of the moves' moments.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> int:
    """Measure the axis with a still target; exit status 1 when steps were missed."""
    import numpy as np

    from calibration.axis.characterise import AxisPlan, characterise
    from calibration.axis.picture import draw_axis
    from calibration.picture import check_picture
    from hw.config import load_rig
    from hw.rig_file import check_writable

    config = load_rig(rig)
    target = None if dry_run else check_writable(rig, out)
    check_picture(picture)
    plan = AxisPlan(
        centre_um, span_um, pairs, moves, trips, far_steps, spacer_um, spacer_sigma_um
    )  # fmt: skip
    with open_for_calibration(config, seed, spacer=spacer_um is not None) as (opened, progress):
        report = characterise(opened, plan, np.random.default_rng(seed), progress)
        notice = opened.notice
    if not report.sound:
        # First of all: nothing that goes wrong with the report may leave it to be trusted.
        forget_position(config)
    title = " ".join(filter(None, (notice, config.name)))
    for line in _lines(report, config.axis):
        print(f"{title}: {line}")
    for trouble in report.troubles:
        print(f"{title}: TROUBLE: {trouble}")
    figures = report.figures()
    write_results(rig, target, "calibrate axis", report.values, figures, notice)
    if picture is not None:
        draw_axis(
            picture,
            f"{title}: the focus axis",
            report.backlash,
            report.settling,
            [trips for trips in (report.control, report.fast) if trips is not None],
            report.scale,
        )
    if json_file is not None:
        write_json(
            json_file,
            {
                "rig": rig, "notice": notice, "seed": seed, **figures, "values": report.values,
                "troubles": list(report.troubles),
            },
        )  # fmt: skip
    return 0 if report.sound else 1


def _lines(report: "AxisReport", axis: "AxisConfig") -> list[str]:
    lines = []
    if (backlash := report.backlash) is not None:
        lines += [
            f"backlash {backlash.backlash_steps:.2f} ± {backlash.sigma_steps:.2f} steps "
            f"(rig file: {axis.backlash_steps:g})",
            f"repeatability {backlash.repeatability_steps:.2f} steps, drift "
            f"{backlash.drift_steps_s * 60:+.2f} steps a minute",
        ]
    if (settling := report.settling) is not None:
        lines.append(
            f"settles in {settling.settle_s * 1e3:.1f} ms, between {settling.low_s * 1e3:.1f} and "
            f"{settling.high_s * 1e3:.1f} (rig file: {axis.settle_s * 1e3:g})"
        )
    if (scale := report.scale) is not None:
        lines.append(
            f"{scale.um_per_step:.4g} ± {scale.sigma_um_per_step:.1g} um per step "
            f"(rig file: {axis.um_per_step:g})"
        )
    lines.append(
        f"the focus curve's width lets expect {report.width_um_per_step:.2g} um per step, within a factor of "
        f"{report.width_factor:g}"
    )
    for kind, missed in (("in small hops", report.control), ("at full speed", report.fast)):
        if missed is None:
            lines.append(f"steps lost by trips {kind}: not tried")
        else:
            trips = ", ".join(f"{trip.lost_steps:+.2f}" for trip in missed.trips)
            lines.append(f"steps lost by trips {kind}: {trips} (± {missed.sigma_steps:.2f})")
    lines += [f"direction by {one.method}: {one.verdict}: {one.seen}" for one in report.evidence]
    return lines

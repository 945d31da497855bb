"""`wormfocus calibrate sign`: which way the lens really goes."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wormfocus.autofocus import finite_or_none, write_json
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
    from calibration.axis.sides import Judged
    from edge.bundle import Bundle
    from hw.config import RigConfig

__all__ = ["judge_with"]

SWEEPS = 4


class ProofName(StrEnum):
    """What may prove a direction, as the command line spells it."""

    network = "network"
    colours = "colours"
    spacer = "spacer"


@calibrate.command("sign")
def calibrate_sign(
    rig: Annotated[str, typer.Option(help="Rig file, or the name of a shipped rig.")],
    by: Annotated[
        list[ProofName] | None,
        typer.Option(help="What to prove it by, more than once for several; by default what is given."),
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(help="Bundle, or the name of a shipped one: proof by a network.")
    ] = None,
    red_minus_blue_um: Annotated[
        float | None,
        typer.Option(callback=finite_or_none, help="In place of the rig file's optics.red_minus_blue_um."),
    ] = None,
    spacer_um: Annotated[
        float | None, typer.Option(min=1, callback=finite_or_none, help="Thickness of a spacer, um.")
    ] = None,
    centre_um: Annotated[
        float | None,
        typer.Option(callback=finite_or_none, help="Where to look for the target; by default mid-travel."),
    ] = None,
    span_um: Annotated[
        float | None,
        typer.Option(min=1, callback=finite_or_none, help="How far; by default the rig's search span."),
    ] = None,
    out: Out = None,
    picture: Picture = None,
    dry_run: DryRun = False,
    seed: Annotated[int, typer.Option(min=0, help="Of a simulated rig.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> int:
    """Prove the axis's direction, and set axis.invert_direction; exit status 1 when nothing is proven."""
    from dataclasses import asdict

    from calibration.axis.picture import draw_direction
    from calibration.axis.prove import Means, prove_direction
    from calibration.picture import check_picture
    from edge.bundle import check_fits, load_bundle
    from hw.config import load_rig
    from hw.errors import ConfigError
    from hw.rig_file import check_writable

    config = load_rig(rig)
    apart = config.optics.red_minus_blue_um if red_minus_blue_um is None else red_minus_blue_um
    proofs = set(by or ())
    if not proofs:
        given = {ProofName.network: bundle, ProofName.colours: apart, ProofName.spacer: spacer_um}
        # A bundle is the best proof, and where there is one it is the one that was meant.
        proofs = {ProofName.network} if bundle else {p for p, value in given.items() if value is not None}
    if not proofs:
        raise ConfigError(
            "calibrate sign: nothing to prove a direction by; give --bundle, --red-minus-blue-um or "
            "--spacer-um"
        )
    if ProofName.colours in proofs and apart is None:
        raise ConfigError(
            f"rig '{config.name}' does not say how its lens parts the colours; set optics.red_minus_blue_um, "
            "or give --red-minus-blue-um"
        )
    if ProofName.spacer in proofs and spacer_um is None:
        raise ConfigError("calibrate sign: --by spacer needs the spacer's thickness; give --spacer-um")
    target = None if dry_run else check_writable(rig, out)
    check_picture(picture)
    judge = None
    if ProofName.network in proofs:
        loaded = load_bundle(bundle or "default")
        check_fits(loaded.card, config)
        judge = judge_with(config, loaded)
    means = Means(
        judge,
        apart if ProofName.colours in proofs else None,
        spacer_um if ProofName.spacer in proofs else None,
        SWEEPS,
    )  # fmt: skip
    with open_for_calibration(config, seed, spacer=means.spacer_um is not None) as (opened, progress):
        proven = prove_direction(opened, means, centre_um, span_um, progress)
        notice = opened.notice
    title = " ".join(filter(None, (notice, config.name)))
    for one in proven.evidence:
        doubt = f"; {one.why_not}" if one.why_not else ""
        print(f"{title}: by {one.method}: {one.verdict}: {one.seen}{doubt}")
    now = config.axis.invert_direction
    turned = proven.verdict == "inverted"
    said = {
        "right": f"direction PROVEN RIGHT: axis.invert_direction stays {str(now).lower()}",
        "inverted": f"direction PROVEN INVERTED: axis.invert_direction must be {str(not now).lower()}",
        "not proven": "direction NOT PROVEN; nothing is changed",
    }[proven.verdict]
    print(f"{title}: {said}")
    if picture is not None:
        draw_direction(picture, f"{title}: {said}", proven.sides, proven.sweeps, config.axis.um_per_step)
    if json_file is not None:
        write_json(
            json_file,
            {
                "rig": rig, "notice": notice, "seed": seed, "verdict": proven.verdict,
                "invert_direction": now != turned if proven.verdict != "not proven" else None,
                "evidence": [asdict(one) for one in proven.evidence],
            },
        )  # fmt: skip
    if proven.verdict == "not proven":
        return 1
    found = {"verdict": proven.verdict, **{f"by_{one.method}": one.seen for one in proven.evidence}}
    write_results(
        rig, target, "calibrate sign", {"axis.invert_direction": not now} if turned else {}, found, notice
    )
    if turned:
        if target is not None:
            forget_position(config)
        print(f"{title}: positions count the other way from now on: home the axis, or confirm its position")
    return 0


def judge_with(config: "RigConfig", bundle: "Bundle") -> "Judged":
    """Return what finds the subject in a frame and predicts its offset."""
    from calibration.axis.sides import Judgement
    from edge.bundle import Predictor, window_px
    from edge.subject import Subject
    from hw.frame import Frame

    predictor = Predictor(bundle)
    subject = Subject(config, window_px(bundle.card.input, config.optics.um_per_px))

    def judge(frame: Frame) -> Judgement:
        subject.find(frame)
        if not subject.seen:
            return Judgement(None, None)
        window, _ = subject.cut(frame)
        said = predictor.predict(window)
        return Judgement(window, said.offset_um if said.in_range else None)

    return judge

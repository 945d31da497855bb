"""`wormfocus verify`: whether a bundle is whole, whose it is, and whether it does what its card says."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json
from wormfocus.judging import RigName, Seed

if TYPE_CHECKING:
    from hw.check import Check


@app.command("verify")
def verify(
    bundle: Annotated[str, typer.Argument(help="A .tflite bundle, or the name of a shipped one.")],
    public_key: Annotated[
        list[Path] | None,
        typer.Option(help="It must be signed by this key, NAME.pub; may be given again: by one of them."),
    ] = None,
    stacks: Annotated[
        list[Path] | None,
        typer.Option(help="Also measure its error on these stacks again; on a workstation."),
    ] = None,
    rig: RigName = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the findings here.")] = None,
    seed: Seed = 0,
) -> None:
    """Check a bundle's file, card, signature and answers, finding by finding; status 2 when one is wrong."""
    from edge.bundle.file import find_bundle
    from edge.bundle.signature import load_public_key
    from edge.bundle.verify import verify_bundle
    from hw.check import Status
    from hw.errors import BundleError

    path = find_bundle(bundle)
    trusted = None if public_key is None else [load_public_key(each) for each in public_key]
    findings: list[Check] = []
    figures: dict[str, Any] | None = None
    for check in verify_bundle(path, trusted):
        _show(check)
        findings.append(check)
    if stacks and findings[-1].status is not Status.failed:
        check, figures = _measured(path, stacks, rig, seed)
        _show(check)
        findings.append(check)
    last = findings[-1]
    sound = last.status is not Status.failed
    if json_file is not None:
        rows = [
            {"name": c.name, "status": str(c.status), "seen": c.seen, "next_step": c.next_step}
            for c in findings
        ]
        write_json(json_file, {"bundle": str(path), "sound": sound, "checks": rows, "figures": figures})
    if not sound:
        seen = last.seen.removeprefix(f"{path}: ")
        raise BundleError(f"{path}: {last.name}: {seen}; {last.next_step}")
    doubtful = [check.name for check in findings if check.status is Status.warning]
    print(f"{path}: sound" + (f"; with a warning: {', '.join(doubtful)}" if doubtful else ""))


def _measured(path: Path, stacks: list[Path], rig: str | None, seed: int) -> tuple["Check", dict[str, Any]]:
    from rich.progress import track

    from edge.bundle import load_bundle
    from training.remeasure import compare_with_card, remeasure

    bundle = load_bundle(path)
    figures = remeasure(
        bundle,
        stacks,
        rig=rig,
        seed=seed,
        shown=lambda labelled: track(labelled, "measuring", transient=True),
        tell=typer.echo,
    )
    return compare_with_card(bundle, figures), figures


def _show(check: "Check") -> None:
    print(f"{check.status:<8} {check.name:<12} {check.seen}", flush=True)
    if check.next_step:
        print(f"{'':<21} -> {check.next_step}", flush=True)

"""`wormfocus focus`: one full focus, then stop."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import MethodName, finite, open_parts, show_progress, write_json


@app.command("focus")
def focus(
    rig: Annotated[str, typer.Option(help="Rig file, or the name of a shipped rig.")],
    bundle: Annotated[str, typer.Option(help="Bundle, or the name of a shipped one.")] = "default",
    timeout: Annotated[
        float, typer.Option(min=0.1, callback=finite, help="Give up after this, s on the rig's clock.")
    ] = 30.0,
    method: Annotated[MethodName, typer.Option(help="How to focus; contrast scans.")] = MethodName.network,
    stack: Annotated[Path | None, typer.Option(help="Stack or folder of planes for a replayed rig.")] = None,
    spacing_um: Annotated[
        float | None, typer.Option(help="Distance of planes without positions, um.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of a simulated rig.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result here.")] = None,
) -> int:
    """Focus once, say whether that worked, and stop; exit status 1 when it did not."""
    from edge.loop import focus_once

    with open_parts(
        rig, bundle, method, stack=stack, spacing_um=spacing_um, seed=seed, full_scan=True
    ) as parts:
        notice, um_per_step = parts.rig.notice, parts.rig.config.axis.um_per_step
        with show_progress(" ".join(filter(None, (notice, parts.rig.config.name))), timeout) as progress:
            result = focus_once(parts.rig, parts.focuser, timeout_s=timeout, progress=progress)
    outcome = "focused" if result.focused else "NOT focused"
    where = f"lens at {result.lens_steps:.1f} steps = {result.lens_steps * um_per_step:.4g} um"
    print(" ".join(filter(None, (notice, outcome))) + f": {result.reason}; {where}, {result.seconds:.2f} s")
    if json_file is not None:
        write_json(json_file, {"rig": rig, "notice": notice, "seed": seed, **asdict(result)})
    return 0 if result.focused else 1

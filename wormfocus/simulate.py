"""`wormfocus simulate`: labelled stacks of random simulated specimens."""

from pathlib import Path
from typing import Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json


@app.command("simulate")
def simulate(
    rig: Annotated[
        str, typer.Option(help="Simulated rig: a YAML file or the name of a shipped one.")
    ] = "worm_tracker_sim",
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="Specimens.")] = 100,
    out: Annotated[
        Path, typer.Option(help="Folder for the stacks; a run that was cut short goes on.")
    ] = Path("stacks"),
    planes: Annotated[int, typer.Option(min=1, help="Lens positions per stack, spread over the range.")] = 8,
    range_um: Annotated[float, typer.Option(min=1, help="Offsets lie between plus and minus this.")] = 1500.0,
    window_um: Annotated[float, typer.Option(min=1, help="Side of the window around the worm.")] = 744.0,
    full: Annotated[bool, typer.Option("--full", help="Full frames instead of windows.")] = False,
    binned: Annotated[
        bool, typer.Option(help="Average camera pixels to the simulator's grid: smaller files.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="First specimen's seed; the others count up from it.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    device: Annotated[
        str,
        typer.Option(
            help="cpu, or where torch shall form the images of worms: cuda, cuda:1, mps; images differ in "
            "rounding only."
        ),
    ] = "cpu",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Write labelled z-stacks of random simulated specimens."""
    from rich.progress import track

    from calibration.simulate import StackPlan, simulate_stacks
    from hw.config import load_rig
    from hw.errors import ConfigError
    from hw.simulation.optics import sum_over_source
    from hw.simulation.rig import simulation_section

    config, summed_by = load_rig(rig), sum_over_source
    if device != "cpu":
        specimen = simulation_section(config).specimen
        if specimen != "worm":
            raise ConfigError(
                f"--device {device}: only images of worms can be formed there, and rig '{config.name}' shows "
                f"{specimen}; leave --device out"
            )
        from training.light import TorchSum

        summed_by = TorchSum.on(device)
    plan = StackPlan(planes, range_um, None if full else window_um, binned)
    results = simulate_stacks(
        config, plan, range(seed, seed + number), out, workers=workers, summed_by=summed_by
    )
    done = list(track(results, total=number, description="SIMULATED stacks"))
    refused = [result for result in done if result.path is None]
    print(
        f"{number - len(refused)} SIMULATED stacks in {out}; specimens without a focus peak: {len(refused)}"
    )
    for result in refused:
        print(f"  seed {result.seed}: {result.reason}")
    if json_file:
        figures = {
            "stacks": number - len(refused),
            "left_out": {str(result.seed): result.reason for result in refused},
            "planes": planes,
            "range_um": range_um,
        }
        write_json(json_file, figures)

"""`wormfocus export`: from a training run to a bundle for the rig."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json
from wormfocus.judging import JsonFile

__all__ = ["Cache", "Quantization", "RunFolder", "Stacks", "export"]

# `sensitivity` takes these too.
RunFolder = Annotated[Path, typer.Argument(help="Folder of a finished training run.")]
Stacks = Annotated[
    list[Path] | None,
    typer.Option(help="Folder with the run's stacks, may be repeated; where the run found them when absent."),
]
Cache = Annotated[
    Path | None, typer.Option(help="Where decoded images are kept; beside the stacks when absent.")
]


class Quantization(StrEnum):
    """How a network is made small and fast."""

    STATIC = "static-int8"
    DYNAMIC = "dynamic-int8"
    HALF = "float16"
    NONE = "float32"


@app.command("export")
def export(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="The bundle to write, NAME.tflite; NAME.md goes beside it.")],
    stacks: Stacks = None,
    quantization: Annotated[
        Quantization,
        typer.Option(help="What becomes int8: all, weights only, or nothing; float16 halves the weights."),
    ] = Quantization.STATIC,
    mirrors: Annotated[
        int,
        typer.Option(
            min=1,
            max=4,
            help="Mirror images of a window to average over, 1, 2 or 4: more err less and take longer.",
        ),
    ] = 1,
    pixels: Annotated[
        bool,
        typer.Option(
            "--pixels",
            help="The file takes uint8 pixels and normalises them itself, for programs other than this one.",
        ),
    ] = False,
    allow_loss: Annotated[
        bool,
        typer.Option(
            "--allow-loss",
            help="Write it even where it is much worse than the float network; its card says so.",
        ),
    ] = False,
    parent: Annotated[
        Path | None,
        typer.Option(
            help="Of a run that learnt with rounding: the run that it started from, with whose float network "
            "the file is compared; where it was when absent."
        ),
    ] = None,
    cache: Cache = None,
    json_file: JsonFile = None,
) -> None:
    """Turn a training run into a bundle, and measure that very file on specimens never trained on."""
    from export.build import export_run
    from hw.errors import BundleError, ConfigError
    from training.run import load_run

    if out.suffix != ".tflite":
        raise BundleError(f"{out}: a bundle's name ends in .tflite; rename it")
    if mirrors == 3:
        raise ConfigError("--mirrors 3: a window has one mirror image or three; give 1, 2 or 4")
    bundle, figures = export_run(
        load_run(run),
        out,
        stacks or [],
        quantization.value,
        mirrors=mirrors,
        pixels=pixels,
        allow_loss=allow_loss,
        parent=parent,
        cache=cache,
    )
    file, parity = figures["file"], figures["parity"]
    wrong, factor = file["sign_error_rate"], parity["file_sigma_factor"]
    print(
        f"{out}: {len(bundle.flatbuffer) / 1e6:.2f} MB, MAE {file['mae_um']:.1f} um "
        f"({file['mae_steps']:.2f} steps), wrong sign {'-' if wrong is None else f'{wrong:.2%}'}, "
        f"{parity['ratio']:.3f} times the error of the float network"
        + ("" if parity["before_rounding_sha256"] is None else f" of {figures['float_run']}")
        + (
            ""
            if factor is None
            else f", sigma factor {factor:.2f} ({parity['float_sigma_factor']:.2f} float)"
        )
    )
    if json_file:
        write_json(json_file, figures)

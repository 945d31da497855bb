"""What static int8 throughout costs a run, and one that was fine-tuned from it with the rounding.

    python benchmarks/quantization_aware.py --runs RUN TUNED --stacks STACKS --json FILE

Each run is converted and quantized with everything as int8 that `export.quantize` makes so, without layers
spared, and judged in float and as that file on the same images of specimens that none of the runs has
learnt from. All errors are compared with those of the first run in float: fine-tuning that spoils the float
network must show. Rows of runs that stand in the JSON file stay.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from methods.report import Row, held_rows, print_rows, write_report

from edge.bundle import Network, OutputSpec
from export.convert import convert
from export.data import export_data, network_inputs
from export.parity import Predicted, file_predictions, float_predictions
from export.quantize import quantize
from training.metrics import figures
from training.run import load_run


def main() -> None:
    """Judge the runs that have no rows yet, and print all rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="a run, then those made from it")
    parser.add_argument("--stacks", type=Path, nargs="+", required=True)
    parser.add_argument("--cache", type=Path, default=None, help="decoded images")
    parser.add_argument("--images", type=int, default=1000, help="to judge on, spread evenly over all")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = held_rows(options.json)
    for folder in options.runs:
        recipe = load_run(folder).recipe
        name, network = recipe.name, recipe.network
        if any((row["network"], row["recipe"]) == (network, name) for row in rows):
            continue
        rows += _judged(folder, options.stacks, options.cache, options.images)
        first = next(row for row in rows if row["network"] == network)
        for row in rows:
            if row["network"] == network:
                row["ratio"] = row["mae_um"] / first["mae_um"]
        if options.json:
            write_report(options.json, rows)
    print_rows(rows)


def _judged(folder: Path, stacks: list[Path], cache: Path | None, count: int) -> list[Row]:
    run = load_run(folder)
    data = export_data(run, stacks, cache, print)
    chosen = np.linspace(0, len(data.test.images) - 1, min(count, len(data.test.images))).astype(int)
    images, offsets_um = data.test.images[chosen], data.test.offsets_um[chosen]
    normalisation = run.record.normalisation
    outputs = OutputSpec(
        kind="offset_sigma" if run.recipe.tells_sigma else "offset",
        scale_um=run.scale_um,
        sigma_factor=run.sigma_factor,
    )
    float_file = convert(run.answering, run.input)
    file = quantize(float_file, "static-int8", network_inputs(data.calibration, normalisation))
    network = Network(file, run.input, normalisation, str(folder))
    said: dict[str, Predicted] = {
        "float32": float_predictions(run, images),
        "static-int8": file_predictions(network, outputs, images),
    }
    rows = []
    for precision, predicted in said.items():
        found = figures(offsets_um, predicted.offsets_um, run.record.um_per_step, run.record.optics.dof_um)
        rows.append(
            {
                "case": f"{run.recipe.network} {run.recipe.name} {precision}",
                "network": run.recipe.network,
                "recipe": run.recipe.name,
                "precision": precision,
                "images_seen": run.record.images_seen,
                "test_images": len(images),
                "test_specimens": len(data.test_specimens),
                "mae_um": found["mae_um"],
                "mae_steps": found["mae_steps"],
                "sign_error_rate": found["sign_error_rate"],
            }
        )
    return rows


if __name__ == "__main__":
    main()

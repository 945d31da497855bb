"""What each precision makes of trained networks: errors, wrong signs, bytes, operations and time.

For every run, on the specimens that it never learnt from: the float file, half precision, dynamic int8, and
static int8 both with nothing spared and with what suffers on validation spared, as `wormfocus export` writes
it. A network that is rewritten before conversion is converted as it is, too; its rows say so.

Times are lower quartiles of single runs of the interpreter, all files of a run in turns, so that they compare
among each other: `time_ratio` is over the float file's. The machine may be busy; the ratios are what counts.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from methods.report import Row, print_rows, write_report
from numpy.typing import NDArray

from edge.bundle import Network
from edge.bundle.composition import composition
from edge.bundle.operators import operators_of
from export.build import quantized, quantizer_of
from export.convert import convert
from export.data import ExportData, export_data, network_inputs
from export.quantize import QUANTIZATIONS, Quantizer
from export.rewrite import rewritten
from training.metrics import figures
from training.run import Run, load_run

ROUNDS = 8
REPEATS = 10


@dataclass(frozen=True)
class File:
    """A file to compare: of which precision, whether rewritten, and what was spared."""

    precision: str
    form: str
    flatbuffer: bytes
    spared: tuple[str, ...] = ()
    left_float: tuple[str, ...] = ()


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("--stacks", nargs="*", type=Path, help="of the runs; their own when absent")
    parser.add_argument("--cache", type=Path, help="where decoded images are kept")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    rows: list[Row] = []
    for folder in options.runs:
        run = load_run(folder)
        data = export_data(run, options.stacks or run.stacks, options.cache, print)
        found = rows_of(run, data)
        print_rows(found)
        rows += found
        if options.json is not None:
            write_report(options.json, rows)


def rows_of(run: Run, data: ExportData) -> list[Row]:
    """Make all files of a run, and measure them on its test."""
    files = list(files_of(run, data))
    times_ms = times(run, files, data.test.images)
    rows: list[Row] = []
    for file, time_ms in zip(files, times_ms, strict=True):
        network = Network(file.flatbuffer, run.input, run.record.normalisation, file.precision)
        told = np.array([network.run(image)[0] for image in data.test.images]) * run.scale_um
        found = figures(data.test.offsets_um, told, run.record.um_per_step, run.record.optics.dof_um)
        made_of = composition(operators_of(file.flatbuffer))
        mae_um = found["mae_um"]
        assert mae_um is not None, "there are images"
        rows.append(
            {
                "case": "quantization",
                "recipe": run.recipe.name,
                "network": run.recipe.network,
                "head": run.recipe.head,
                "levels": run.recipe.levels,
                "input": run.input.width_px,
                "precision": file.precision,
                "form": file.form,
                "n": len(told),
                "mae_um": mae_um,
                "mae_ratio": mae_um / (rows[0]["mae_um"] if rows else mae_um),
                "sign_error_rate": found["sign_error_rate"],
                "bytes": len(file.flatbuffer),
                "time_ms": time_ms,
                "time_ratio": time_ms / times_ms[0],
                "operations": dict(made_of.counts),
                "borders": made_of.borders,
                "int8_share": made_of.int8_share,
                "measure_their_input": list(file.spared),
                "left_float": list(file.left_float),
            }
        )
    return rows


def files_of(run: Run, data: ExportData) -> list[File]:
    """Convert and quantize a run's network in every way; the float file as exported comes first."""
    usual = quantizer_of(run, data)
    files = [File(method, "", usual.file(method)) for method in reversed(QUANTIZATIONS)]
    choice = quantized(run, data, usual, "static-int8")
    names = tuple(block.name for block in choice.spared), tuple(block.name for block in choice.left_float)
    files.append(File("static-int8", "what suffers is spared", choice.flatbuffer, *names))
    network = run.answering
    if rewritten(network) is not network:
        inputs = network_inputs(data.calibration, run.record.normalisation)
        plain = Quantizer(convert(network, run.input, rewrite=False), inputs)
        files += [File(method, "not rewritten", plain.file(method)) for method in reversed(QUANTIZATIONS)]
    return files


def times(run: Run, files: list[File], images: NDArray[np.uint8]) -> list[float]:
    """Return how long each file takes for an image, ms, by turns."""
    networks = [
        Network(file.flatbuffer, run.input, run.record.normalisation, file.precision) for file in files
    ]
    taken: list[list[float]] = [[] for _ in files]
    for _ in range(ROUNDS):
        for network, some in zip(networks, taken, strict=True):
            for image in images[:REPEATS]:
                start = time.perf_counter()
                network.run(image)
                some.append(time.perf_counter() - start)
    return [float(1e3 * np.quantile(some, 0.25)) for some in taken]


if __name__ == "__main__":
    main()

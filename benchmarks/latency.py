r"""Every network in four precisions: how far off, how large and how fast, all of it in one run.

    python benchmarks/latency.py --folder WORK --slit SLIT --worms RUN ... --large RUN --new NEW \
        --json benchmarks/results/latency.json

Two sets of rows. On images of a slit laser (SLIT, the stacks of the bundle `slit_long`) every registered
network is trained for some minutes, in WORK, and judged on specimens that it never saw: what each precision
does to each network. On simulated worms (NEW, stacks of new specimens of the reference rig) stand the shipped
bundles of that rig beside other RUNs on it, and beside `--large`, a run of ConvNeXt V2 tiny, as paper 1 would
use it: in float at 500 x 500 pixels. Of those, `mae_steps` is over the same specimens for all.

Times are of the runtime alone, as `wormfocus bench` measures them: all files in turns, by threads.
"""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from methods.precision_runs import MINUTES, trained
from methods.report import Row, print_rows, write_report
from numpy.typing import NDArray

from edge.bench.candidate import Candidate
from edge.bench.run import run_bench
from edge.bench.workers import find_runtimes
from edge.bundle import InputSpec, Network, Predictor, load_bundle, shipped_bundles
from edge.bundle.composition import composition
from edge.bundle.operators import operators_of
from export.build import quantized, quantizer_of
from export.convert import convert
from export.data import ExportData, export_data
from export.parity import Samples
from export.quantize import Quantization
from hw.clock import SystemClock
from hw.config import RigConfig, load_rig
from training.labelled import collect
from training.metrics import figures
from training.prepared import VIEWS, prepare
from training.run import Run, load_run

RIG = "worm_tracker"
PRECISIONS: dict[Quantization, str] = {
    "float32": "fp32",
    "float16": "fp16",
    "dynamic-int8": "dynamic",
    "static-int8": "int8",
}
THREADS = (1, 2)
LARGE_PX = 500
# Of every plane so many are judged: a second each is long for the large network.
EVERY, EVERY_LARGE = 2, 8


@dataclass(frozen=True)
class File:
    """A network as a file, and how far off it is.

    Attributes
    ----------
    errors : what is said of it in its row
    asks : how many mirror images it is asked about
    """

    name: str
    network: str
    flatbuffer: bytes
    errors: Row
    asks: int = 1

    def candidate(self) -> Candidate:
        """Return it as something to be timed."""
        operators = operators_of(self.flatbuffer, self.name)
        sha256 = hashlib.sha256(self.flatbuffer).hexdigest()
        return Candidate(self.name, self.network, "tflite", self.flatbuffer, sha256, self.asks, operators, {})


def main() -> None:
    """Make the files, judge them, time them, and write it all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="for runs and decoded images")
    parser.add_argument("--slit", type=Path, required=True, help="stacks of the bundle slit_long")
    parser.add_argument("--worms", type=Path, nargs="*", default=[], help="runs on the reference rig")
    parser.add_argument("--large", type=Path, required=True, help="run of convnextv2_tiny on that rig")
    parser.add_argument("--new", type=Path, required=True, help="stacks of specimens that none has seen")
    parser.add_argument("--cache", type=Path, help="decoded images of those runs; theirs when absent")
    parser.add_argument("--networks", nargs="*", choices=list(MINUTES), default=list(MINUTES))
    parser.add_argument("--seconds", type=float, default=3.0, help="to time each file for")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)

    files = [*worm_files(options.worms, options.large, options.new, options.cache, options.folder / "new")]
    for network in options.networks:
        run = trained(network, options.folder, [options.slit], print)
        files += slit_files(run, options.slit, options.folder / "cache")
    rows = timed_rows(files, options.seconds)
    print_rows(rows)
    if options.json is not None:
        write_report(options.json, rows, ratios=ratios(rows))


def slit_files(run: Run, stacks: Path, cache: Path) -> Iterator[File]:
    """Yield the files of a run on images of the slit laser, judged on specimens that it never saw."""
    data = export_data(run, [stacks], cache, print)
    for precision, flatbuffer in in_precisions(run, data):
        name = f"{run.recipe.network} {precision}"
        yield File(name, run.recipe.network, flatbuffer, judged(run, flatbuffer, precision, data.test))


def worm_files(
    runs: Sequence[Path], large: Path, new: Path, cache: Path | None, decoded: Path
) -> Iterator[File]:
    """Yield the shipped bundles, files of runs, and the large network, judged on the same new specimens."""
    rig = load_rig(RIG)
    specimens = collect([new], print)
    spec = load_bundle("default").card.input
    images = prepare(specimens, spec, decoded)
    windows = np.flatnonzero(images.views == VIEWS.index("window"))

    def samples(every: int) -> Samples:
        rows = windows[::every]
        shown = np.stack([images.centred(int(row)) for row in rows])
        return Samples(shown, images.offsets_um[rows].astype(np.float64))

    some = samples(EVERY)
    for name in shipped_bundles():
        bundle = load_bundle(name)
        if bundle.card.rig != RIG:
            continue
        predictor = Predictor(bundle)
        told = np.array([predictor.predict(image).offset_um for image in some.images])
        errors = row_of(some.offsets_um, told, "int8", bundle.card.input, rig, bundle.flatbuffer)
        errors["bundle"] = name
        yield File(name, bundle.card.architecture, bundle.flatbuffer, errors, bundle.card.mirrors)
    for folder in runs:
        run = load_run(folder)
        data = export_data(run, run.stacks, cache, print)
        for precision, flatbuffer in in_precisions(run, data):
            name = f"{run.recipe.network} {precision}, worms"
            yield File(name, run.recipe.network, flatbuffer, judged(run, flatbuffer, precision, some))
    run = load_run(large)
    side_um = spec.field_um[0]
    wide = InputSpec(width_px=LARGE_PX, height_px=LARGE_PX, um_per_px=side_um / LARGE_PX)
    flatbuffer = convert(run.answering, wide)
    errors = judged(run, flatbuffer, "fp32", samples(EVERY_LARGE), wide)
    yield File(f"{run.recipe.network} at {LARGE_PX}", run.recipe.network, flatbuffer, errors)


def in_precisions(run: Run, data: ExportData) -> Iterator[tuple[str, bytes]]:
    """Yield a run's network in each precision, static int8 with what suffers spared, as export does it."""
    quantizer = quantizer_of(run, data)
    for method, precision in PRECISIONS.items():
        if method == "static-int8":
            yield precision, quantized(run, data, quantizer, method).flatbuffer
        else:
            yield precision, quantizer.file(method)


def judged(
    run: Run, flatbuffer: bytes, precision: str, samples: Samples, spec: InputSpec | None = None
) -> Row:
    """Ask a file about images, and return its errors."""
    spec = spec or run.input
    network = Network(flatbuffer, spec, run.record.normalisation, precision)
    told = np.array([network.run(image)[0] for image in samples.images]) * run.scale_um
    errors = row_of(samples.offsets_um, told, precision, spec, load_rig(run.recipe.rig), flatbuffer)
    return errors | {"bundle": run.recipe.name}


def row_of(
    offsets_um: NDArray[np.float64],
    told_um: NDArray[np.float64],
    precision: str,
    spec: InputSpec,
    rig: RigConfig,
    flatbuffer: bytes,
) -> Row:
    """Return what a row says of a file before it is timed."""
    made_of = composition(operators_of(flatbuffer))
    found = figures(offsets_um, told_um, rig.axis.um_per_step, rig.optics.dof_um)
    return {
        "precision": precision,
        "input": f"{spec.width_px}x{spec.height_px}",
        "rig": rig.name,
        "n": len(told_um),
        "error_of_zero_um": float(np.abs(offsets_um).mean()),
        "bytes": len(flatbuffer),
        "operations": dict(made_of.counts),
        "left_in_float": made_of.counts.get("float", 0),
        "int8_share": made_of.int8_share,
        **{key: found[key] for key in ("mae_um", "mae_steps", "mae_dof", "sign_error_rate")},
    }


def timed_rows(files: Sequence[File], seconds: float) -> list[Row]:
    """Time all files in turns; a row for each and each number of threads."""
    candidates = [file.candidate() for file in files]
    runtimes = [each for each in find_runtimes()[0] if each.name == "ai-edge-litert"]
    result = run_bench(candidates, runtimes, THREADS, SystemClock(), lambda line: None, seconds=seconds)
    errors = {file.name: file for file in files}
    rows: list[Row] = []
    for row in result["rows"]:
        file = errors[row["bundle"]]
        rows.append(
            {
                "case": file.name,
                "network": file.network,
                **file.errors,
                "asks": file.asks,
                "multiply_adds": row["multiply_adds"],
                "threads": row["threads"],
                "median_ms": row["median_ms"],
                "p10_ms": row["p10_ms"],
                "p90_ms": row["p90_ms"],
            }
        )
    return rows


def ratios(rows: Sequence[Row]) -> list[Row]:
    """Return, for each network, how far off each precision is and how long it takes, over float."""
    found = []
    for row in rows:
        plain = next(
            (
                other
                for other in rows
                if other["precision"] == "fp32"
                and all(other[key] == row[key] for key in ("network", "bundle", "input", "threads"))
            ),
            None,
        )
        if plain is not None and row is not plain:
            found.append(
                {
                    "case": row["case"],
                    "threads": row["threads"],
                    "mae_ratio": row["mae_um"] / plain["mae_um"],
                    "time_ratio": row["median_ms"] / plain["median_ms"],
                }
            )
    return found


if __name__ == "__main__":
    main()

"""From a training run to a bundle: convert, quantize, measure the result on specimens never seen, write."""

import hashlib
import math
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle import (
    Bundle,
    FocusCard,
    Network,
    OutputSpec,
    Parity,
    TrainedOptics,
    TrainingRecord,
    write_bundle,
)
from export.convert import convert
from export.data import ExportData, export_data
from export.model_card import model_card
from export.parity import file_outputs, float_outputs, measure_parity, normalise
from export.quantize import Quantization, quantize
from hw.config import RigConfig
from hw.errors import WormfocusError
from training.metrics import grouped_figures
from training.run import Run

__all__ = ["MAX_RATIO", "LossyExportError", "build", "export_run"]

MAX_RATIO = 1.05
_PACKAGES = ("wormfocus", "torch", "timm", "litert-torch", "ai-edge-quantizer", "ai-edge-litert", "numpy")

Tell = Callable[[str], None]


class LossyExportError(WormfocusError, ValueError):
    """Quantization costs more accuracy than is allowed."""


def export_run(
    run: Run,
    out: Path,
    stacks: Sequence[Path],
    method: Quantization,
    *,
    allow_loss: bool = False,
    cache: Path | None = None,
    tell: Tell = print,
) -> tuple[Bundle, dict[str, Any]]:
    """Make a bundle and, beside it, its model card ``NAME.md``.

    Parameters
    ----------
    run : a finished training run
    out : the bundle
    stacks : folders with the run's stacks; its own where empty. Specimens that it neither trained on nor
        validated on are its test
    method : of quantization
    allow_loss : write the bundle even where quantization costs too much accuracy
    cache : where decoded images are kept; `.prepared` in the first folder of stacks when absent
    tell : takes lines meant for a person

    Returns
    -------
    bundle
    figures : of the float network and of the file, and their parity

    Raises
    ------
    StackError
        The stacks lack specimens to calibrate with or to test on.
    LossyExportError
        The file's mean absolute error is more than `MAX_RATIO` times that of the float network.
    """
    data = export_data(run, list(stacks) or run.stacks, cache, tell)
    bundle, figures = build(run, data, out, method, tell=tell)
    parity = figures["parity"]
    if parity["ratio"] > MAX_RATIO and not allow_loss:
        raise LossyExportError(
            f"{out}: not written, {method} has {parity['ratio']:.3f} times the float network's error "
            f"({parity['file_mae_um']:.1f} against {parity['float_mae_um']:.1f} um, allowed are {MAX_RATIO} "
            "times); try another --quantization, or insist with --allow-loss"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(out, bundle.flatbuffer, bundle.card)
    text = model_card(
        bundle.card, _commands(run, out, method, data.simulated_rig), data.simulated_rig, out.stat().st_size
    )
    out.with_suffix(".md").write_text(text, encoding="utf-8")
    return bundle, figures


def build(
    run: Run, data: ExportData, out: Path, method: Quantization, *, tell: Tell = print
) -> tuple[Bundle, dict[str, Any]]:
    """Convert, quantize and measure, without writing anything; see `export_run`."""
    normalisation, spec = run.record.normalisation, run.input
    tell(f"converting {run.recipe.network}")
    flatbuffer = convert(run.network, spec)
    tell(f"quantizing to {method} with {len(data.calibration)} images")
    images = normalise(data.calibration, normalisation)
    flatbuffer = quantize(flatbuffer, method, [image[None] for image in images])
    network = Network(flatbuffer, spec, normalisation, str(out))
    tell(f"measuring on {len(data.test.images)} images of {data.test_specimens} new specimens")
    float_um = _offsets_um(run, float_outputs(run.network, data.test.images, normalisation))
    file_um = _offsets_um(run, file_outputs(network, data.test.images))
    parity = measure_parity(data.test.offsets_um, float_um, file_um)
    float_figures, file_figures = (_figures(run, data, predicted) for predicted in (float_um, file_um))
    card = _card(run, flatbuffer, network.input_dtype, out.stem, method, file_figures, parity)
    figures = {"float": float_figures, "file": file_figures, "parity": parity.model_dump(mode="json")}
    return Bundle(card, flatbuffer, out), figures


def _offsets_um(run: Run, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    return outputs[:, 0].astype(np.float64) * run.scale_um


def _figures(run: Run, data: ExportData, predicted_um: NDArray[np.float64]) -> dict[str, Any]:
    views = ["window"] * len(predicted_um)
    figures = grouped_figures(
        data.test.offsets_um, predicted_um, views, run.record.um_per_step, run.record.optics.dof_um
    )
    return {"specimens": data.test_specimens, **figures}


def _card(
    run: Run,
    flatbuffer: bytes,
    input_dtype: str,
    name: str,
    method: Quantization,
    figures: dict[str, Any],
    parity: Parity,
) -> FocusCard:
    record, recipe = run.record, run.recipe
    specimens = sorted(run.split["train"])
    return FocusCard.model_validate(
        {
            "name": name,
            "architecture": recipe.network,
            "input": run.input,
            "normalisation": record.normalisation,
            "input_dtype": input_dtype,
            "outputs": OutputSpec(kind=recipe.head, scale_um=run.scale_um, sigma_factor=run.sigma_factor),
            "trained_range_um": round_up(record.trained_range_um),
            "rig": recipe.rig,
            "optics": TrainedOptics(**record.optics.model_dump()),
            "training": TrainingRecord(
                recipe=recipe.name,
                fingerprint=run.fingerprint,
                specimens=len(specimens),
                planes=record.planes,
                seed=recipe.seed,
                specimens_sha256=hashlib.sha256("\n".join(specimens).encode()).hexdigest(),
            ),
            "validation": figures,
            "parity": parity,
            "quantization": method,
            "created": date.today(),
            "flatbuffer_sha256": hashlib.sha256(flatbuffer).hexdigest(),
            "versions": _versions(),
        }
    )


def round_up(value: float) -> float:
    """Round up to two significant figures: the largest offset drawn stands for the range drawn from."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    # A value that is round already may lie a rounding error above itself.
    return round(math.ceil(value / unit - 1e-9) * unit, 9)


def _commands(run: Run, out: Path, method: Quantization, rig: RigConfig | None) -> list[str]:
    commands = []
    names = [name for part in run.split.values() for name in part]
    seeds = [int(name.rpartition("-")[2]) for name in names if name.rpartition("-")[2].isdigit()]
    if rig is not None and len(seeds) == len(names):
        planes = round(run.record.planes / len(run.split["train"]))
        commands.append(
            f"wormfocus simulate --rig {rig.name} --seed {min(seeds)} -n {max(seeds) - min(seeds) + 1} "
            f"--planes {planes} --range-um {round_up(run.record.trained_range_um):g} --out STACKS"
        )
    recipe = run.recipe
    limit = "" if recipe.max_minutes is None else f" --max-minutes {recipe.max_minutes:g}"
    return [
        *commands,
        f"wormfocus train --recipe {recipe.name} --seed {recipe.seed}{limit} --stacks STACKS --out RUN",
        f"wormfocus export RUN --stacks STACKS --quantization {method} --out {out.name}",
    ]


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

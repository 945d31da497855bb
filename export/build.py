"""From a training run to a bundle: convert, quantize, measure the result on specimens never seen, write."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
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
from edge.bundle.composition import composition
from edge.bundle.operators import operators_of
from export.convert import convert
from export.data import ExportData, export_data, network_inputs
from export.model_card import model_card
from export.origin import ancestor_records, commands, named_range, round_up
from export.parity import Samples, file_predictions, float_predictions, losses, measure_parity
from export.quantize import Quantization, Quantizer
from export.reference import float_reference
from export.sensitivity import Choice, choose
from hw.errors import BundleError, ConfigError, WormfocusError
from hw.whole_file import write_whole
from training.metrics import coverage_factor, grouped_figures
from training.run import Run, effort, package_versions

__all__ = ["LossyExportError", "build", "export_run", "quantized", "quantizer_of"]

# Of validation, by which to choose what is spared.
_CHOICE_IMAGES = 1024

_UNCOMPARED = (
    "nothing to be compared with but its own float network, which learning with rounding may have made worse"
)

_CONVERTERS = ("litert-torch", "ai-edge-quantizer", "ai-edge-litert")

Tell = Callable[[str], None]


class LossyExportError(WormfocusError, ValueError):
    """Quantization costs more accuracy than is allowed."""


def export_run(
    run: Run,
    out: Path,
    stacks: Sequence[Path],
    method: Quantization,
    *,
    mirrors: int = 1,
    pixels: bool = False,
    allow_loss: bool = False,
    parent: Path | None = None,
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
    mirrors : how many mirror images of a window the bundle asks about and averages: 1, 2 or 4
    pixels : let the file take uint8 as it is, with the normalisation within
    allow_loss : write the bundle even where quantization costs too much, or where the run learnt with
        rounding and the one before is gone, which its card then says
    parent : folder of that run, as `float_reference` takes it
    cache : where decoded images are kept; `.prepared` in the first folder of stacks when absent
    tell : takes lines meant for a person

    Returns
    -------
    bundle
    figures : of the float network that it is compared with and of the file, and their parity

    Raises
    ------
    ConfigError
        The run learnt with rounding, and the one before cannot be compared with.
    StackError
        The stacks lack specimens to calibrate with or to test on.
    LossyExportError
        The file is worse than that float network by more than `export.parity` allows.
    """
    try:
        reference = float_reference(run, parent)
    except ConfigError as error:
        if parent is not None or not allow_loss:
            raise
        tell(f"warning: {error}")
        reference = run
    data = export_data(run, list(stacks) or run.stacks, cache, tell)
    bundle, figures = build(run, data, out, method, reference, mirrors=mirrors, pixels=pixels, tell=tell)
    lost = bundle.card.parity.accepted_losses
    if lost and not allow_loss:
        raise LossyExportError(f"{out}: not written, {method} has {' and '.join(lost)}; {_advice(run)}")
    if figures["file"]["mae_dof"] > 1:
        tell(
            f"warning: its mean error, {figures['file']['mae_um']:.1f} um, is more than the depth of field, "
            f"{run.record.optics.dof_um:g} um: it will seldom bring anything into focus; train longer"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BundleError(
            f"{out.parent}: cannot be made a folder ({error.strerror}); choose another"
        ) from error
    write_bundle(out, bundle.flatbuffer, bundle.card)
    again = commands(run, data.sources, data.simulated_rig, bundle.card, out.name)
    made_of = composition(operators_of(bundle.flatbuffer))
    text = model_card(bundle.card, again, data.simulated_rig, out.stat().st_size, made_of)
    card = out.with_suffix(".md")
    try:
        write_whole(card, text.encode())
    except OSError as error:
        raise BundleError(
            f"{card}: cannot be written ({error.strerror}); make space, and export again"
        ) from error
    return bundle, figures


def build(
    run: Run,
    data: ExportData,
    out: Path,
    method: Quantization,
    reference: Run,
    *,
    mirrors: int = 1,
    pixels: bool = False,
    tell: Tell = print,
) -> tuple[Bundle, dict[str, Any]]:
    """Convert, quantize, measure and compare with a reference, without writing anything; see `export_run`."""
    normalisation, spec = run.record.normalisation, run.input
    quantizer = quantizer_of(run, data, pixels=pixels, tell=tell)
    choice = quantized(run, data, quantizer, method, tell=tell)
    flatbuffer = choice.flatbuffer
    network = Network(flatbuffer, spec, normalisation, str(out), mirrors=mirrors)
    outputs = OutputSpec(
        kind="offset_sigma" if run.recipe.tells_sigma else "offset",
        scale_um=run.scale_um,
        sigma_factor=run.sigma_factor,
    )
    tell(f"measuring on {len(data.test.images)} images of {len(data.test_specimens)} new specimens")
    fitted, outputs = _with_sigma_factors(reference, network, outputs, data.validation, mirrors)
    compared = float_predictions(fitted, data.test.images, mirrors)
    shipped = file_predictions(network, outputs, data.test.images)
    parity = measure_parity(data.test.offsets_um, compared, shipped, run.record.optics.dof_um)
    lost = losses(parity)
    own: dict[str, Any] = {}
    if reference is not run:
        tell(f"compared with the float network of {reference.folder}, before it learnt with rounding")
        parity = parity.model_copy(update={"before_rounding_sha256": reference.weights_sha256})
        own_um = float_predictions(run, data.test.images, mirrors).offsets_um
        own = {"own_float": _figures(run, data, own_um)}
    elif run.recipe.quantization_aware:
        lost = (_UNCOMPARED, *lost)
    parity = parity.model_copy(update={"accepted_losses": lost})
    float_figures, file_figures = (_figures(run, data, each.offsets_um) for each in (compared, shipped))
    card = _card(run, flatbuffer, network.input_dtype, outputs, out.stem, method, file_figures, parity)
    card = card.model_copy(update={"mirrors": mirrors})
    figures = {
        "float": float_figures,
        "float_run": str(reference.folder),
        **own,
        "file": file_figures,
        "parity": parity.model_dump(mode="json"),
        "composition": asdict(composition(operators_of(flatbuffer))),
        "sensitivity": choice.figures(),
    }
    return Bundle(card, flatbuffer, out), figures


def quantizer_of(run: Run, data: ExportData, *, pixels: bool = False, tell: Tell = print) -> Quantizer:
    """Convert a run's network, to be quantized with its calibration images.

    Parameters
    ----------
    run : a finished training run
    data : of it
    pixels : let the file take uint8
    tell : takes lines meant for a person
    """
    normalisation, images = run.record.normalisation, data.calibration
    tell(f"converting {run.recipe.network}")
    flatbuffer = convert(run.answering, run.input, pixels=normalisation if pixels else None)
    return Quantizer(flatbuffer, list(images[:, None]) if pixels else network_inputs(images, normalisation))


def quantized(
    run: Run,
    data: ExportData,
    quantizer: Quantizer,
    method: Quantization,
    *,
    ranked: bool = False,
    tell: Tell = print,
) -> Choice:
    """Quantize as much of a run's network as its validation says that it bears.

    Parameters
    ----------
    run : a finished training run
    data : of it
    quantizer : of its network, from `quantizer_of`
    method : of quantization
    ranked : measure what each block costs even where none has to be spared
    tell : takes lines meant for a person
    """
    tell(f"quantizing to {method} with {len(data.calibration)} images")

    def predict(file: bytes, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        network = Network(file, run.input, run.record.normalisation, str(run.folder))
        return np.array([network.run(image)[0] for image in images], np.float64) * run.scale_um

    validation = data.validation
    rows = np.random.default_rng(0).permutation(len(validation.images))[:_CHOICE_IMAGES]
    samples = Samples(validation.images[rows], validation.offsets_um[rows])
    return choose(quantizer, method, predict, samples, ranked=ranked, tell=tell)


def _with_sigma_factors(
    run: Run, network: Network, outputs: OutputSpec, validation: Samples, mirrors: int
) -> tuple[Run, OutputSpec]:
    """Fit the factors of deviations to what is said, over mirror images, of validation.

    Both the float network's and the file's own: the run's is for single images. It stays where the stacks
    lack validation.
    """
    if outputs.width == 1 or not len(validation.images):
        return run, outputs
    trained = float_predictions(run, validation.images, mirrors)
    shipped = file_predictions(network, outputs, validation.images)
    more = []
    for said in (trained, shipped):
        assert said.sigmas_um is not None
        more.append(coverage_factor(validation.offsets_um, said.offsets_um, said.sigmas_um))
    record = run.record.model_copy(update={"sigma_factor": run.sigma_factor * more[0]})
    fitted = outputs.model_copy(update={"sigma_factor": outputs.sigma_factor * more[1]})
    return Run(run.folder, run.network, record), fitted


def _advice(run: Run) -> str:
    more = f"learn with rounding ('wormfocus train --from {run.folder} --quantization-aware ...')"
    if run.recipe.quantization_aware:
        more = "learn with rounding for longer, from the run before"
    return f"try another --quantization, {more}, or insist with --allow-loss"


def _figures(run: Run, data: ExportData, predicted_um: NDArray[np.float64]) -> dict[str, Any]:
    views = ["window"] * len(predicted_um)
    figures = grouped_figures(
        data.test.offsets_um, predicted_um, views, run.record.um_per_step, run.record.optics.dof_um
    )
    # By folder, with its seeds: what a reader needs to make, or to avoid, the very specimens tested on.
    ranges = []
    for source in data.sources:
        names = [name for name in source.specimens if name in set(data.test_specimens)]
        if names:
            first, last = named_range(names)
            ranges.append({"count": len(names), "first": first, "last": last})
    return {"specimens": len(data.test_specimens), "specimen_ranges": ranges, **figures}


def _card(
    run: Run,
    flatbuffer: bytes,
    input_dtype: str,
    outputs: OutputSpec,
    name: str,
    method: Quantization,
    figures: dict[str, Any],
    parity: Parity,
) -> FocusCard:
    record, recipe = run.record, run.recipe
    specimens = sorted(run.trained)
    images_seen, minutes = record.images_seen, record.minutes
    if images_seen is None or minutes is None:
        images_seen, minutes = effort(run.folder) or (None, None)
    return FocusCard.model_validate(
        {
            "name": name,
            "architecture": recipe.network,
            "input": run.input,
            "normalisation": record.normalisation,
            "input_dtype": input_dtype,
            "outputs": outputs,
            "trained_range_um": round_up(record.trained_range_um),
            "rig": recipe.rig,
            "optics": TrainedOptics(**record.optics.model_dump(include=set(TrainedOptics.model_fields))),
            "training": TrainingRecord(
                recipe=recipe.name,
                fingerprint=run.fingerprint,
                specimens=len(specimens),
                planes=record.planes,
                seed=recipe.seed,
                specimens_sha256=hashlib.sha256("\n".join(specimens).encode()).hexdigest(),
                images_seen=images_seen,
                minutes=minutes,
                max_minutes=recipe.max_minutes,
                ancestors=ancestor_records(run),
                frozen_layers=recipe.freeze,
            ),
            "validation": figures,
            "parity": parity,
            "quantization": method,
            "created": date.today(),
            "flatbuffer_sha256": hashlib.sha256(flatbuffer).hexdigest(),
            "versions": package_versions(*_CONVERTERS),
        }
    )

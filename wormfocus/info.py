"""`wormfocus info`: what a bundle is, what it fits and how good it is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json

if TYPE_CHECKING:
    from edge.bundle import Bundle


@app.command("info")
def info(
    bundle: Annotated[
        str, typer.Argument(help="A .tflite bundle, or the name of a shipped one.")
    ] = "default",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the whole card here.")] = None,
) -> None:
    """Show the card of a bundle, after checking that the file is whole."""
    from edge.bundle import load_bundle

    found = load_bundle(bundle)
    width = max(len(name) for name, _ in _rows(found))
    for name, value in _rows(found):
        print(f"{name:<{width}}  {value}")
    if json_file:
        write_json(json_file, found.card.model_dump(mode="json"))


def _rows(bundle: "Bundle") -> list[tuple[str, str]]:
    card = bundle.card
    spec, optics, training, parity = card.input, card.optics, card.training, card.parity
    figures: dict[str, Any] = card.validation
    wrong = figures.get("sign_error_rate")
    sigma = f" with deviation (factor {card.outputs.sigma_factor:.2f})" if card.outputs.width > 1 else ""
    mirrored = f", mean over {card.mirrors} mirror images" if card.mirrors > 1 else ""
    width_um, height_um = spec.field_um
    rows = [
        ("bundle", f"{card.name} ({bundle.path})"),
        ("network", f"{card.architecture}, {card.quantization}, {len(bundle.flatbuffer) / 1e6:.2f} MB"),
        (
            "looks at",
            f"{width_um:.0f} x {height_um:.0f} um, {spec.width_px} x {spec.height_px} px, {card.input_dtype}",
        ),
        ("answers", f"signed offset in um{sigma}{mirrored}, trained to ±{card.trained_range_um:g} um"),
        (
            "rig",
            f"{card.rig}: NA {optics.na:g}, {optics.um_per_px:g} um/px, depth of field {optics.dof_um:g} um",
        ),
        (
            "learnt from",
            f"{training.planes} planes of {training.specimens} specimens, recipe '{training.recipe}'",
        ),
        *(
            (
                "fine-tuned" if ancestor.role == "weights" else "taught",
                f"{'from' if ancestor.role == 'weights' else 'by'} a run of recipe '{ancestor.recipe}', "
                f"{ancestor.architecture}, that had learnt from {ancestor.specimens} specimens",
            )
            for ancestor in training.ancestors
        ),
    ]
    if "mae_um" in figures:
        rows.append(
            (
                "error",
                f"{figures['mae_um']:.1f} um mean, {figures['p95_um']:.1f} um at 95 %, "
                f"{figures['mae_dof']:.2f} depths of field; "
                f"wrong sign {'-' if wrong is None else f'{wrong:.2%}'} "
                f"({figures['n']} images of {figures.get('specimens', '?')} unseen specimens)",
            )
        )
    before = "" if parity.before_rounding_sha256 is None else " before it learnt with rounding"
    return [
        *rows,
        (
            "to float",
            f"{parity.ratio:.3f} times the error of the float network{before} ({parity.float_mae_um:.1f} um)",
        ),
        *(("accepted", loss) for loss in parity.accepted_losses),
        ("made", f"{card.created.isoformat()}, " + ", ".join(f"{k} {v}" for k, v in card.versions.items())),
        ("sha256", card.flatbuffer_sha256),
        *(
            ()
            if bundle.signature is None
            else [("signed", f"by key {bundle.signature.key_id}, not checked here")]
        ),
    ]

"""The model card of a bundle, for people: where it comes from, how good it is, where it ends.

After Mitchell et al., "Model Cards for Model Reporting", 2019. Every number in it is taken from the card in
the bundle or from the rig file; none is typed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from edge.bundle import FocusCard, Parity, TrainingRecord
from edge.bundle.composition import Composition
from hw.config import RigConfig
from hw.simulation.config import SimulationConfig

__all__ = ["model_card", "spread"]


def model_card(
    card: FocusCard,
    commands: list[str],
    simulated_rig: RigConfig | None,
    size_bytes: int,
    made_of: Composition | None = None,
) -> str:
    """Write a model card.

    Parameters
    ----------
    card : of the bundle
    commands : that reproduce it, in order
    simulated_rig : whose specimens it was trained on; None for recorded specimens
    size_bytes : of the bundle
    made_of : what the file computes with; None leaves that out

    Returns
    -------
    str
        Markdown.
    """
    return "\n".join(
        [
            *_head(card, simulated_rig, size_bytes),
            *([] if made_of is None else _arithmetic(made_of)),
            *_data(card, simulated_rig),
            *_quality(card),
            *_limits(card, simulated_rig),
            "## To make it again",
            "",
            "```",
            *commands,
            "```",
            "",
            "Made with " + ", ".join(f"{name} {version}" for name, version in card.versions.items()) + ".",
            "",
            "Licence: Apache-2.0, as the rest of wormfocus.",
            "",
        ]
    )


def spread(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float, float]]:
    """Yield key, low and high of every quantity that a simulated rig draws anew for each specimen."""
    for key, value in section.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from spread(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            if len(value) == 2 and all(isinstance(part, (int, float)) for part in value):
                yield name, float(value[0]), float(value[1])
            else:
                for index, part in enumerate(value):
                    if isinstance(part, Mapping):
                        yield from spread(part, f"{name}[{index}].")


def _follows_worm(rig: RigConfig | None) -> bool:
    """Whether windows follow a worm: on all rigs but the simulated ones of other specimens."""
    return rig is None or rig.simulation is None or isinstance(rig.simulation, SimulationConfig)


def _digits(card: FocusCard) -> int:
    """Decimals that lengths in um are worth, by the depth of field."""
    return 1 if card.optics.dof_um >= 10 else 3


def _head(card: FocusCard, rig: RigConfig | None, size_bytes: int) -> list[str]:
    place = "around the worm" if _follows_worm(rig) else "in the middle of the picture"
    spec, outputs = card.input, card.outputs
    sigma = " and its standard deviation" if outputs.kind == "offset_sigma" else ""
    mirrored = f", means over {card.mirrors} mirror images of what it looks at" if card.mirrors > 1 else ""
    width_um, height_um = spec.field_um
    return [
        f"# {card.name}",
        "",
        f"Tells from one image how far, and which way, the lens of rig `{card.rig}` has to move to focus.",
        "",
        "| | |",
        "|---|---|",
        f"| network | `{card.architecture}`, {card.quantization}, {size_bytes / 1e6:.2f} MB |",
        f"| looks at | {width_um:.4g} x {height_um:.4g} um {place}, "
        f"{spec.width_px} x {spec.height_px} pixels of {spec.um_per_px:g} um, RGB |",
        f"| answers | signed offset in um{sigma}{mirrored} |",
        f"| trained range | ±{card.trained_range_um:g} um |",
        f"| optics | NA {card.optics.na:g}, {card.optics.um_per_px:g} um per camera pixel, "
        f"depth of field {card.optics.dof_um:g} um |",
        f"| made on | {card.created.isoformat()} |",
        f"| SHA-256 of the network | `{card.flatbuffer_sha256}` |",
        "",
    ]


def _arithmetic(made_of: Composition) -> list[str]:
    words = {
        "int8": "wholly in int8",
        "dynamic": "with int8 weights that measure their input as they run",
        "float16": "with half-precision weights, computed in float",
        "float": "in float",
        "other": "with integers or several kinds of numbers",
    }
    counts = [
        f"{made_of.counts[precision]} {words[precision]}"
        for precision in words
        if precision in made_of.counts
    ]
    left = ", ".join(f"{count} {kind}" for kind, count in made_of.float_kinds.items())
    return [
        f"Of its operations, {', '.join(counts)}"
        + (f" ({left})" if left else "")
        + f"; {made_of.int8_share:.0%} of all multiply-adds have int8 weights. "
        f"{made_of.borders} more pass from one kind of numbers to another.",
        "",
    ]


def _data(card: FocusCard, rig: RigConfig | None) -> list[str]:
    training = card.training
    seen = ""
    if training.images_seen is not None and training.minutes is not None:
        seen = (
            f" Training saw {training.images_seen} images, repeats counted, in {training.minutes:.1f} minutes"
        )
        if training.max_minutes is not None:
            seen += (
                f" of {training.max_minutes:g} allowed; its schedule followed the clock, so that another "
                "machine, or the same one when busier, sees another number and gives other weights"
            )
        seen += "."
    planes = f"{training.planes} planes of {training.specimens} specimens"
    if training.ancestors:
        planes = (
            f"{training.planes} planes of its own stacks, and what the runs below had learnt; "
            f"{training.specimens} specimens in all"
        )
    lines = [
        "## What it learnt from",
        "",
        f"{planes}, recipe `{training.recipe}`, "
        f"seed {training.seed}; fingerprint of the data `{training.fingerprint[:16]}`, of the specimens' "
        f"names `{training.specimens_sha256[:16]}`. Specimens, not images, were split into training, "
        f"validation and test.{seen}",
        "",
        *_ancestors(training),
    ]
    # The axis moves the lens; it is not in the image.
    simulation = rig.simulation.model_dump(exclude={"axis"}) if rig and rig.simulation else {}
    ranges = list(spread(simulation))
    if rig is None or not ranges:
        return lines
    own = "its own microscope, worm, plate and light" if _follows_worm(rig) else "values of its own"
    return [
        *lines,
        f"All of them are **simulated**, on the rig `{rig.name}`. Each has {own}, drawn from these ranges:",
        "",
        "| quantity | from | to |",
        "|---|---|---|",
        *(f"| {name} | {low:g} | {high:g} |" for name, low, high in ranges),
        "",
    ]


def _ancestors(training: TrainingRecord) -> list[str]:
    lines = []
    for ancestor in training.ancestors:
        run = (
            f"a run of recipe `{ancestor.recipe}`, seed {ancestor.seed} (`{ancestor.architecture}`, weights "
            f"`{ancestor.weights_sha256[:16]}`), which had learnt from {ancestor.specimens} specimens, "
            f"fingerprint `{ancestor.fingerprint[:16]}`"
        )
        kept = f" Its first {training.frozen_layers} layers were kept." if training.frozen_layers else ""
        if ancestor.role == "weights":
            lines.append(f"- Fine-tuned from {run}.{kept}")
        else:
            lines.append(f"- Taught by {run}.")
    return [*lines, ""] if lines else []


def _quality(card: FocusCard) -> list[str]:
    figures, parity = card.validation, card.parity
    rows = [("all", figures), *_bands(figures)]
    digits = _digits(card)
    return [
        "## How good it is",
        "",
        f"This very file, run as on the rig, on {parity.n} images of {figures.get('specimens')} specimens "
        f"that it never saw in training{_named(figures)}:",
        "",
        "| offset, um | images | MAE um | MAE steps | MAE/DOF | median um | 95 % um | bias um | wrong sign |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_quality_row(name, row, digits) for name, row in rows),
        "",
        "*Wrong sign* counts images more than one depth of field out of focus.",
        "",
        f"Against the float network {_compared(parity)}: MAE {parity.file_mae_um:.{digits}f} um here, "
        f"{parity.float_mae_um:.{digits}f} um there, ratio {parity.ratio:.3f}; the two predictions differ by "
        f"{parity.mean_abs_difference_um:.{digits}f} um on average.",
        *_parity_rows(parity, digits),
        "",
        *(f"**Exported although** {card.quantization} has {loss}.\n" for loss in parity.accepted_losses),
    ]


def _compared(parity: Parity) -> str:
    if parity.before_rounding_sha256 is None:
        return "it was made from"
    return f"before it learnt with the rounding of int8 (weights `{parity.before_rounding_sha256[:16]}`)"


def _named(figures: Mapping[str, Any]) -> str:
    ranges = figures.get("specimen_ranges")
    if not isinstance(ranges, list) or not ranges:
        return ""
    # Those of a folder that was trained on lie scattered between its first and last.
    parts = [f"{part['count']} from `{part['first']}` to `{part['last']}`" for part in ranges]
    return f" ({'; '.join(parts)})"


def _parity_rows(parity: Parity, digits: int) -> list[str]:
    def show(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    rows = (
        ("MAE, um", parity.file_mae_um, parity.float_mae_um, f".{digits}f"),
        ("wrong sign", parity.file_sign_error_rate, parity.float_sign_error_rate, ".2%"),
        ("sigma factor", parity.file_sigma_factor, parity.float_sigma_factor, ".3f"),
    )
    return [
        "",
        "| | this file | float network |",
        "|---|---|---|",
        *(f"| {name} | {show(file, form)} | {show(before, form)} |" for name, file, before, form in rows),
        "",
        "The sigma factor is the RMS of errors over their predicted deviations: 1 is honest, more is "
        "overconfident.",
    ]


def _bands(figures: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    groups = figures.get("groups", {})
    return list(groups.get("abs_offset_um", {}).items()) if isinstance(groups, Mapping) else []


def _quality_row(name: str, row: Mapping[str, Any], digits: int) -> str:
    def show(key: str, form: str) -> str:
        value = row.get(key)
        return "-" if value is None else format(value, form)

    cells = [
        show("n", "d"),
        show("mae_um", f".{digits}f"),
        show("mae_steps", ".2f"),
        show("mae_dof", ".3f"),
        show("median_um", f".{digits}f"),
        show("p95_um", f".{digits}f"),
        show("bias_um", f"+.{digits}f"),
        show("sign_error_rate", ".2%"),
    ]
    return f"| {name} | {' | '.join(cells)} |"


def _limits(card: FocusCard, rig: RigConfig | None) -> list[str]:
    simulated = []
    if rig is not None:
        simulated.append(
            "- It was never shown an image of a real microscope: every figure here is simulated."
        )
    if rig is not None and isinstance(rig.simulation, SimulationConfig):
        optics = rig.simulation.optics
        simulated.append(
            f"- The simulator samples the condenser with {optics.source_points} points, or "
            f"{optics.source_points_per_mm:g} for each mm of defocus where that is more, and not with all of "
            "it (benchmarks/README.md, 'Source points')."
        )
    return [
        "## Where it ends",
        "",
        f"- Offsets beyond ±{card.trained_range_um:g} um were not trained: such answers are marked out of "
        "range.",
        *(
            ["- One worm in the middle of the window. Where the tracker is wrong, so is the focus."]
            if _follows_worm(rig)
            else []
        ),
        f"- Optics like those of `{card.rig}`; another NA, depth of field or field of view is refused.",
        *simulated,
        "",
    ]

"""The report of an evaluation or a comparison, in Markdown, with pictures: a folder that says all of it."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from hw.errors import ConfigError
from training.assessment import (
    Assessment,
    Circumstances,
    circumstances_in_json,
    comparison_in_json,
    write_frames,
)
from training.evaluate import Frames
from training.report_figures import draw_comparison, draw_network
from training.report_gallery import draw_worst

__all__ = ["write_report"]

_COLUMNS = (
    ("n", "frames", "d"),
    ("mae_steps", "MAE, steps", ".2f"),
    ("mae_um", "MAE, um", ".2f"),
    ("mae_dof", "MAE, DOF", ".3f"),
    ("median_um", "median, um", ".2f"),
    ("p95_um", "95 %, um", ".1f"),
    ("bias_um", "bias, um", "+.2f"),
    ("sign_error_rate", "wrong sign", ".2%"),
)
_SIGMA = (("coverage_68", "within 68 %", ".1%"), ("coverage_95", "within 95 %", ".1%"))
_GROUPS = {
    "view": "what was shown",
    "abs_offset_um": "size of the offset, um",
    "offset_dof": "signed offset, depths of field",
    "light": "light, mean grey value",
    "plate": "plate",
    "day": "day",
}
_SPECIMENS = 10


def write_report(
    folder: Path,
    assessments: Sequence[Assessment],
    frames: Frames,
    pairs: Sequence[Mapping[str, Any]],
    circumstances: Circumstances,
) -> Path:
    """Write ``report.md`` with its pictures, ``frames.csv`` and ``figures.json`` into a folder.

    Parameters
    ----------
    folder : is made where it is not there; files of an earlier report are replaced
    assessments : of the same frames
    frames : what was shown
    pairs : of `comparison_in_json`; none for a single network
    circumstances : under which

    Returns
    -------
    Path
        Of ``report.md``.

    Raises
    ------
    ConfigError
        The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        counted = [replace(a, answers=a.answers.of(frames.counted)) for a in assessments]
        drawn = frames.of(frames.counted)
        pictures = {a.candidate.name: _pictures(folder, a, drawn, circumstances) for a in counted}
        if len(assessments) > 1:
            draw_comparison(folder / "comparison.png", counted, drawn, circumstances.scale)
        lines = [
            *_head(assessments, frames, circumstances),
            *_overall(assessments),
            *(_paired(pairs) if pairs else ()),
        ]
        for assessment in assessments:
            lines += _network(assessment, pictures[assessment.candidate.name])
        lines += _repeat(assessments, frames, circumstances)
        write_frames(folder / "frames.csv", assessments, frames)
        figures = comparison_in_json(assessments, pairs, circumstances)
        (folder / "figures.json").write_text(
            json.dumps(figures, indent=2, allow_nan=False) + "\n", encoding="utf-8"
        )
        path = folder / "report.md"
        path.write_text("\n".join(lines), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{folder}: the report cannot be written ({error.strerror}); make space, or give another --report"
        ) from error
    return path


def _pictures(folder: Path, assessment: Assessment, frames: Frames, given: Circumstances) -> tuple[str, str]:
    # A name is a folder's or a card's; a file's must not lead elsewhere.
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in assessment.candidate.name)
    figures, worst = f"{name}_errors.png", f"{name}_worst.png"
    draw_network(folder / figures, assessment, frames, given.scale)
    draw_worst(folder / worst, assessment, frames, given.scale)
    return figures, worst


def _head(assessments: Sequence[Assessment], frames: Frames, given: Circumstances) -> list[str]:
    one = len(assessments) == 1
    first = assessments[0]
    title = f"Evaluation of {first.candidate.name}" if one else f"Comparison of {len(assessments)} networks"
    figures = first.figures
    origin = "**SIMULATED** stacks" if frames.simulated else "stacks"
    return [
        f"# {title}",
        "",
        f"{figures['n']} frames of {figures['specimens']} specimens in {figures['stacks']} {origin}"
        + (f" of rig `{frames.rig}`" if frames.rig else "")
        + f"; specimens used: {given.split}. One step is {given.scale.um_per_step:g} um, the depth of field "
        f"(DOF) {given.scale.dof_um:g} um. *Wrong sign* counts frames more than one DOF out.",
        "",
        *(f"- **{note}**" for note in given.notes),
        *(f"- **Left out**, could not be read: `{path}` ({why})" for path, why in frames.left_out.items()),
        "",
    ]


def _overall(assessments: Sequence[Assessment]) -> list[str]:
    level = assessments[0].figures["intervals"]["level"]
    lines = [
        "## Errors",
        "",
        "| network | architecture | input, px | multiply-adds | parameters | "
        f"MAE, steps | MAE, um ({level:.0%} interval) | MAE, DOF | 95 %, um | wrong sign (interval) | "
        "within 68 % | within 95 % |",
        f"|---|---|{'---:|' * 10}",
    ]
    for assessment in assessments:
        candidate, figures = assessment.candidate, assessment.figures
        sigma, between = figures.get("sigma", {}), figures["intervals"]
        spec = candidate.judge.spec
        cells = [
            f"{candidate.name} ({candidate.kind})",
            f"`{candidate.network}`",
            f"{spec.width_px}x{spec.height_px}",
            f"{candidate.cost.multiply_adds / 1e6:.1f} M",
            f"{candidate.cost.parameters / 1e6:.2f} M",
            _show(figures["mae_steps"], ".2f"),
            _show(figures["mae_um"], ".2f") + _interval(between["mae_um"], ".2f"),
            _show(figures["mae_dof"], ".3f"),
            _show(figures["p95_um"], ".1f"),
            _show(figures["sign_error_rate"], ".2%") + _interval(between["sign_error_rate"], ".2%"),
            _show(sigma.get("coverage_68"), ".1%"),
            _show(sigma.get("coverage_95"), ".1%"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "Intervals are from a bootstrap that draws specimens with all their frames. The last two columns are "
        "the shares of errors that lie within the 68 % and 95 % ranges of the predicted deviations; honest "
        "ones give 68 % and 95 %.",
        "",
        *(["![All networks](comparison.png)", ""] if len(assessments) > 1 else []),
    ]


def _paired(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "## Against each other",
        "",
        "Differences of absolute errors on the same frames, the first network's less the second's: below 0 "
        "the first is better. Effect sizes are matched-pairs rank-biserial correlations, -1 to 1.",
        "",
        "| pair | over | n | mean, um | median, um | Shapiro-Wilk p | Wilcoxon p | Holm p | effect |",
        f"|---|---|{'---:|' * 7}",
    ]
    for pair in pairs:
        between = _interval(pair["mean_interval_um"], "+.2f")
        for over in ("frames", "specimens"):
            test = pair[over]
            cells = [
                f"{pair['first']} - {pair['second']}",
                over,
                _show(test["n"], "d"),
                _show(test["mean"], "+.2f") + (between if over == "frames" else ""),
                _show(test["median"], "+.2f"),
                _show(test["shapiro_p"], ".2g"),
                _show(test["wilcoxon_p"], ".2g"),
                _show(test["wilcoxon_p_holm"], ".2g"),
                _show(test["effect_size"], "+.2f"),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "A small Shapiro-Wilk p says that differences are not normal, so that Wilcoxon's signed-rank test, "
        "and no t test, is called for (paper 1, section 3.2). Frames of one specimen err alike: the p values "
        "over frames, given as the paper gives them, are far too sure of themselves, and those over "
        "specimens' mean errors are to be believed. Holm's correction is for the number of pairs.",
        "",
    ]


def _network(assessment: Assessment, pictures: tuple[str, str]) -> list[str]:
    candidate, figures = assessment.candidate, assessment.figures
    lines = [
        f"## {candidate.name}",
        "",
        f"![Predicted against true, and errors]({pictures[0]})",
        "",
    ]
    columns = [*_COLUMNS, *(_SIGMA if "sigma" in figures else ())]
    for kind, title in _GROUPS.items():
        if kind in figures["groups"]:
            lines += _table(title, figures["groups"][kind], columns)
    specimens = figures["groups"]["specimen"]
    worst = dict(sorted(specimens.items(), key=lambda item: -item[1]["mae_um"])[:_SPECIMENS])
    title = f"specimen, the worst {len(worst)} of {len(specimens)}"
    return [
        *lines,
        *_table(title, worst, columns),
        f"![The worst frames]({pictures[1]})",
        "",
        "The worst frames, at most two of a specimen, each beside its stack's plane nearest to focus.",
        "",
    ]


def _table(
    title: str, groups: Mapping[str, Mapping[str, Any]], columns: Sequence[tuple[str, str, str]]
) -> list[str]:
    lines = [
        f"| {title} | {' | '.join(heading for _, heading, _ in columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for name, figures in groups.items():
        flat = {**figures, **figures.get("sigma", {})}
        cells = [_show(flat.get(key), form) for key, _, form in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _repeat(assessments: Sequence[Assessment], frames: Frames, given: Circumstances) -> list[str]:
    versions = circumstances_in_json(given)["versions"]
    lines = [
        "## To repeat it",
        "",
        f"```sh\n{given.command}\n```",
        "",
        "| | |",
        "|---|---|",
        f"| written | {date.today().isoformat()} |",
        f"| machine | {platform.machine()}, {platform.system()}, Python {platform.python_version()} |",
        f"| versions | {', '.join(f'{name} {version}' for name, version in versions.items())} |",
        f"| stacks | {_folders(frames)} |",
        f"| fingerprint of stacks and labels | `{given.fingerprint}` |",
        f"| seed of the bootstrap | {given.seed} |",
        "| every frame | `frames.csv` |",
        "| every figure | `figures.json` |",
        "",
    ]
    for assessment in assessments:
        lines += [
            f"**{assessment.candidate.name}**",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in assessment.candidate.facts.items()),
            "",
        ]
    return lines


def _folders(frames: Frames) -> str:
    counts: dict[Path, int] = {}
    for path in frames.paths:
        counts[path.parent] = counts.get(path.parent, 0) + 1
    return ", ".join(f"{count} of `{folder}`" for folder, count in counts.items())


def _show(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)


def _interval(pair: Sequence[float] | None, form: str) -> str:
    return "" if pair is None else f" ({pair[0]:{form}} to {pair[1]:{form}})"

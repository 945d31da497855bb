"""The figures of a benchmark as text, in columns."""

from collections.abc import Sequence
from typing import Any

from edge.bench.cost_model import MACHINES, CostModel

__all__ = ["beside_text", "columns", "result_text"]

Row = dict[str, Any]

# Share of the cores that are taken by others before a machine counts as busy.
BUSY = 0.5


def result_text(result: Row, top: int) -> str:
    """Set out a whole result.

    Parameters
    ----------
    result : of `edge.bench.run.run_bench`
    top : how many of the longest operators to name
    """
    parts = [
        _machine_text(result["machine"]),
        f"warm, per answer\n{_warm_text(result['rows'])}",
        f"cold, {result['cold'][0]['threads']} threads\n{_cold_text(result['cold'])}",
        *(f"refused: {row['bundle']}: {row['refused']}" for row in result["refused"]),
        *(f"operators of {_profile_text(found, top)}" for found in result["profiles"]),
    ]
    if result["predicted"]:
        model = CostModel.model_validate(result["cost_model"])
        parts.append(f"expected, per answer\n{_predicted_text(result['predicted'], model)}")
    return "\n\n".join(parts)


def columns(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Set a table in columns, the first to the left and numbers to the right.

    Parameters
    ----------
    heads : of the columns
    rows : as wide as `heads`
    """
    table = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(heads))]
    lines = []
    for row in table:
        cells = [
            cell.ljust(width) if place == 0 or not _numeric(rows, place) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _machine_text(machine: Row) -> str:
    """Say what the machine is, and how it was before and after."""
    before, after = machine["before"], machine["after"]
    clock = f", {machine['governor']} governor" if machine["governor"] else ""
    lines = [
        # Of which a row's CPU time and 10th percentile suffer least.
        *(
            [f"warning      other programs are running (load {before['load_1_min']}): medians are too long"]
            if before["load_1_min"] > machine["cores"] * BUSY
            else []
        ),
        f"machine      {machine['processor']}, {machine['cores']} cores{clock}; {machine['board']}",
        f"load         {before['load_1_min']} before, {after['load_1_min']} after",
        f"temperature  {before['temperature']}; after: {after['temperature']}",
        f"power        {before['throttling']}; after: {after['throttling']}",
        f"energy       {machine['energy']}",
    ]
    return "\n".join(lines)


def _warm_text(rows: Sequence[Row]) -> str:
    """Set out what an answer takes once a network runs."""
    energy = any(row["energy_mj"] is not None for row in rows)
    heads = ["network", "runtime", "threads", "median ms", "p10", "p90", "p99", "n", "CPU ms", "to first"]
    table = [
        [
            f"{row['bundle']} {row['precision']}",
            row["runtime"],
            row["threads"],
            _ms(row["median_ms"]),
            _ms(row["p10_ms"]),
            _ms(row["p90_ms"]),
            _ms(row["p99_ms"]),
            row["n"],
            _ms(row["cpu_ms"]),
            f"{row['ratio_to_first']:.3g}",
            *([f"{row['energy_mj']:.3g}"] if energy else []),
        ]
        for row in rows
    ]
    return columns([*heads, *(["mJ"] if energy else [])], table)


def _cold_text(rows: Sequence[Row]) -> str:
    """Set out what the first answer of a new process takes, and memory."""
    heads = ["network", "runtime", "import ms", "load", "first", "process", "memory MB", "runtime's"]
    return columns(
        heads,
        [
            [
                f"{row['bundle']} {row['precision']}",
                row["runtime"],
                *(_ms(row[key]) for key in ("import_ms", "load_ms", "first_ms", "process_ms")),
                f"{row['peak_mb']:.1f}",
                f"{row['runtime_mb']:.1f}",
            ]
            for row in rows
        ],
    )


def _predicted_text(rows: Sequence[Row], model: CostModel) -> str:
    """Set out what is expected on Raspberry Pis, and how far off such expectations were."""
    table = columns(
        ["network", "on", "threads", "ms", "from", "to"],
        [
            [
                f"{row['bundle']} {row['precision']}",
                row["machine"],
                row["threads"],
                *(_ms(row[key]) for key in ("ms", "low_ms", "high_ms")),
            ]
            for row in rows
        ],
    )
    notes = []
    for machine, bars in model.error_bars.items():
        four, ratio, others = bars.four_threads, bars.thread_ratio, bars.other_libraries
        notes.append(
            f"{MACHINES[machine]}: each of {four.figures} published figures was predicted from the others "
            f"within a factor of {four.within:g}; one thread to four within {ratio.within:g} "
            f"({ratio.figures}); other libraries' times lie within {others.within:g} ({others.figures})"
        )
    return "\n".join([table, *notes])


def _profile_text(found: Row, top: int) -> str:
    """Set out where a network's time goes: by kind, then the longest operators."""
    title = (
        f"{found['bundle']}, {found['runtime']}, one thread: {_ms(found['whole_ms'])} ms of processor "
        f"time per ask; single operators add up to {found['explained']:.0%}; {found['float_operators']} of "
        f"{found['operators_in_all']} operators in float, {found['conversions']} conversions"
    )
    groups = columns(
        ["operator", "kind", "precision", "count", "ms", "share", "Mmadd"],
        [
            [
                row["name"],
                row["kind"],
                row["precision"],
                row["operators"],
                _ms(row["ms"]),
                f"{row['share']:.1%}",
                f"{row['multiply_adds'] / 1e6:.1f}",
            ]
            for row in found["groups"]
        ],
    )
    longest = columns(
        ["longest", "precision", "output", "ms", "share", "Mmadd"],
        [
            [
                f"{row['index']} {row['name']}",
                row["precision"],
                row["output"],
                _ms(row["ms"]),
                f"{row['share']:.1%}",
                f"{row['multiply_adds'] / 1e6:.1f}",
            ]
            for row in found["operators"][:top]
        ],
    )
    return "\n".join([title, groups, longest] if top else [title, groups])


def beside_text(pairs: Sequence[Row], warnings: Sequence[str], theirs: Row) -> str:
    """Set out two machines' results."""
    table = columns(
        ["network", "runtime", "threads", "here ms", "there", "here / there"],
        [
            [
                row["bundle"] + ("" if row["same_network"] else " (another network)"),
                row["runtime"],
                row["threads"],
                _ms(row["here_ms"]),
                _ms(row["there_ms"]),
                f"{row['ratio']:.3g}",
            ]
            for row in pairs
        ],
    )
    there = (
        f"there: {theirs.get('processor', '?')}, {theirs.get('cores', '?')} cores; {theirs.get('board', '?')}"
    )
    return "\n".join([there, table, *(f"warning: {text}" for text in warnings)])


def _numeric(rows: Sequence[Sequence[object]], place: int) -> bool:
    """Whether a column holds numbers, which are set to the right."""
    return all(str(row[place])[:1].isdigit() or str(row[place])[:1] == "-" for row in rows)


def _ms(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"

"""What came out of a sweep: a table of its runs, the best one and its recipe."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hw.whole_file import write_whole
from training.recipe import Recipe
from training.sweep.trial import Plan, current_changes, is_finished, lineage

__all__ = ["Rows", "best_of", "rows_of_sweep", "table", "write_recipe", "write_table"]

Rows = list[dict[str, Any]]

_FIGURES = ("mae_um", "mae_steps", "median_um", "sign_error_rate")


def rows_of_sweep(plan: Plan, numbers: Sequence[int], keys: list[str], failed: Mapping[int, str]) -> Rows:
    """Return a row for each run, best first: number, folder, values, figures on validation."""
    from training.run import effort

    rows: Rows = []
    for number in numbers:
        folder = plan.folder(number)
        row: dict[str, Any] = {
            "trial": number,
            "folder": str(folder),
            "values": current_changes(folder, keys),
            "finished": is_finished(plan, number),
            "failed": failed.get(number),
        }
        if row["finished"]:
            figures = json.loads((folder / "evaluation.json").read_bytes())["validation"]
            images, minutes = effort(folder) or (None, None)
            row |= {name: figures[name] for name in _FIGURES} | {"images": images, "minutes": minutes}
        if steps := lineage(folder):
            row["lineage"] = steps
        rows.append(row)
    return sorted(rows, key=lambda row: (not row["finished"], row.get("mae_um") or 0.0, row["trial"]))


def best_of(rows: Rows) -> dict[str, Any] | None:
    """Return the finished run with the smallest mean error on the validation specimens."""
    return next((row for row in rows if row["finished"]), None)


def table(rows: Rows) -> list[str]:
    """Return lines for a person."""
    lines = []
    for row in rows:
        values = ", ".join(f"{key} {_short(value)}" for key, value in (row["values"] or {}).items())
        if row["finished"]:
            told = (
                f"validation MAE {row['mae_um']:.1f} um = {row['mae_steps']:.1f} steps, "
                f"{row['minutes']:.1f} min"
            )
        else:
            told = f"failed: {row['failed']}" if row["failed"] else "not finished"
        lines.append(f"{row['trial']:03d}  {told}  {values}")
    return lines


def write_table(path: Path, rows: Rows, keys: list[str]) -> None:
    """Write the table as CSV, whole or not at all."""
    text = io.StringIO(newline="")
    columns = ["trial", *keys, "finished", *_FIGURES, "images", "minutes", "failed"]
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(row | (row["values"] or {}) for row in rows)
    write_whole(path, text.getvalue().encode())


def write_recipe(path: Path, recipe: Recipe, comment: str) -> None:
    """Write a recipe as a file that `wormfocus train` takes, whole or not at all."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    write_whole(path, f"# {comment}\n{text}".encode())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

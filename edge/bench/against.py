"""Two machines' results side by side."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hw.errors import ConfigError

__all__ = ["beside", "load_results"]

_NEEDED = ("machine", "rows")


def load_results(path: Path) -> dict[str, Any]:
    """Read what `wormfocus bench --json` wrote, here or on another machine.

    Raises
    ------
    ConfigError
        It cannot be read, or holds something else.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}); give a file that 'wormfocus bench --json' wrote"
        ) from error
    if not isinstance(results, dict) or any(key not in results for key in _NEEDED):
        raise ConfigError(
            f"{path}: holds no results of a bench; give a file that 'wormfocus bench --json' wrote"
        )
    needed = {"bundle", "runtime", "threads", "median_ms", "sha256", "asks"}
    if any(not isinstance(row, dict) or not needed <= row.keys() for row in results["rows"]):
        raise ConfigError(
            f"{path}: its rows lack {', '.join(sorted(needed))}; write it again with this version"
        )
    return results


def beside(
    ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Pair rows of the same name, runtime and threads.

    Parameters
    ----------
    ours, theirs : rows of two results; a runtime's versions may differ

    Returns
    -------
    list of dict
        Both medians and our time over theirs.
    list of str
        What makes a pair no fair comparison, a line each: other networks, other versions, no partner.
    """
    partners = {_key(row): row for row in theirs}
    pairs, warnings = [], []
    for row in ours:
        other = partners.get(_key(row))
        label = f"{row['bundle']}, {row['runtime']}, {row['threads']} threads"
        if other is None:
            warnings.append(f"{label}: only here")
            continue
        if row["sha256"] != other["sha256"]:
            warnings.append(
                f"{label}: another network there, SHA-256 {other['sha256'][:12]}, here {row['sha256'][:12]}"
            )
        if row["asks"] != other["asks"]:
            warnings.append(
                f"{label}: asked {other['asks']} times per answer there, {row['asks']} times here"
            )
        if row["runtime"] != other["runtime"]:
            warnings.append(f"{label}: {other['runtime']} there")
        pairs.append(
            {
                "bundle": row["bundle"],
                "runtime": row["runtime"],
                "threads": row["threads"],
                "here_ms": row["median_ms"],
                "there_ms": other["median_ms"],
                "ratio": row["median_ms"] / other["median_ms"],
                "same_network": row["sha256"] == other["sha256"],
            }
        )
    mine = {_key(row) for row in ours}
    warnings += [
        f"{row['bundle']}, {row['runtime']}, {row['threads']} threads: only there"
        for row in theirs
        if _key(row) not in mine
    ]
    return pairs, warnings


def _key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["bundle"], str(row["runtime"]).partition(" ")[0], row["threads"]

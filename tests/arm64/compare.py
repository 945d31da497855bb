"""Compare two outputs of predict.py: equal within what int8 rounding may do.

    compare.py OTHER.json HERE.json

A kernel that rounds one activation to the neighbouring int8 value shifts the output a little; a wrong kernel
shifts it by depths of field. The bound is one step of an int8 output over the trained range.
"""

import json
import sys
from pathlib import Path


def main(other_file: str, here_file: str) -> int:
    other, here = (json.loads(Path(name).read_text(encoding="utf-8")) for name in (other_file, here_file))
    assert other["scale_um"] == here["scale_um"], "two different bundles"
    assert len(other["rows"]) == len(here["rows"]) > 0
    bound_um = here["scale_um"] / 127
    offsets = [abs(a[0] - b[0]) for a, b in zip(other["rows"], here["rows"], strict=True)]
    sigmas = [abs((a[1] or 0.0) - (b[1] or 0.0)) for a, b in zip(other["rows"], here["rows"], strict=True)]
    spread = max(row[0] for row in here["rows"]) - min(row[0] for row in here["rows"])
    equal = sum(offset == 0 for offset in offsets)
    print(
        f"{other['machine']} against {here['machine']}: {len(offsets)} windows over {spread:.0f} um, "
        f"{equal} bit-equal; largest difference {max(offsets):.3g} um, of sigma {max(sigmas):.3g} um; "
        f"bound {bound_um:.3g} um"
    )
    assert spread > 10 * bound_um, "the windows do not tell a network from a constant"
    return int(max(*offsets, *sigmas) > bound_um)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""What every network costs at several input sizes, and which heads of it become a file for the rig.

Costs are of the head `offset_sigma`: multiply-adds and parameters as `training.networks.cost` counts them.

Exports are of untrained networks at a small input, so they say whether the path works and not how good the
file is: the difference is the largest one between the torch network's answers (offsets, and logarithms of
deviations) and the file's, in units of the recipe's scale, over a few random images. Random answers of an
untrained network are small, and so `offsets_std` stands beside it. Operations are counted as
`edge.bundle.composition` does.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from methods.report import Row, print_rows, write_report

from edge.bundle import Network, Normalisation
from edge.bundle.composition import composition
from edge.bundle.operators import operators_of
from export.convert import convert
from export.quantize import QUANTIZATIONS, Quantizer
from training import networks
from training.heads import Answering, build
from training.networks.cost import cost_of
from training.recipe import LOSSES, HeadName, Recipe

SIDES_PX = (192, 224, 320, 500)
EXPORT_PX = 96
IMAGES = 8
HEADS: dict[HeadName, dict[str, object]] = {
    "offset": {},
    "offset_sigma": {},
    "z_bins": {"bins": {"count": 41, "width_um": 25}},
    "patches": {"patches": {"side_px": 64, "rows": [2, 3, 2]}},
}
PLAIN = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def main() -> None:
    """Count, export where asked, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--export", action="store_true", help="convert every network with every head too")
    parser.add_argument("--networks", nargs="*", default=networks.names(), help="names; all when absent")
    parser.add_argument("--heads", nargs="*", default=list(HEADS), help="to convert with; all when absent")
    parser.add_argument("--seed", type=int, default=0, help="of weights and images")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.networks:
        if not options.export:
            rows += [cost_row(name, side) for side in SIDES_PX]
            continue
        for head in options.heads:
            rows += export_rows(name, head, options.seed)
            print_rows(rows[-len(QUANTIZATIONS) :])
            # All of them take an hour: what is there already is worth keeping.
            if options.json is not None:
                write_report(options.json, rows)
    if not options.export:
        print_rows(rows)
    if options.json is not None:
        write_report(options.json, rows)


def cost_row(name: str, side_px: int) -> Row:
    """Count a network's work and numbers."""
    cost = cost_of(networks.create(name, 2, size_px=(side_px, side_px)), side_px, side_px)
    return {
        "case": "cost",
        "network": name,
        "input": side_px,
        "multiply_adds": cost.multiply_adds,
        "parameters": cost.parameters,
    }


def export_rows(name: str, head: HeadName, seed: int) -> list[Row]:
    """Convert an untrained network, and compare its answers with the file's, at each precision."""
    torch.manual_seed(seed)
    recipe = Recipe.model_validate(
        {
            "name": "export",
            "network": name,
            "head": head,
            "loss": {"kind": LOSSES[head][0]},
            "input": {"width_px": EXPORT_PX, "height_px": EXPORT_PX, "um_per_px": 3.1},
            "samples": 1,
            "epoch_samples": 1,
            "batch": 1,
            **HEADS[head],
        }
    )
    network = Answering(build(recipe), recipe).eval()
    with torch.no_grad():
        # As after training: a bias of exactly 0 would be left out of the file.
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter += 0.01 * torch.randn_like(parameter)
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (IMAGES, EXPORT_PX, EXPORT_PX, 3), np.uint8)
    inputs = ((images / 255 - 0.5) / 0.25).astype(np.float32)
    with torch.no_grad():
        here = network(torch.from_numpy(inputs).permute(0, 3, 1, 2)).numpy()
    quantizer = Quantizer(convert(network, recipe.input), list(inputs[:, None]))
    rows = []
    for method in QUANTIZATIONS:
        flatbuffer = quantizer.file(method)
        file = Network(flatbuffer, recipe.input, PLAIN, name)
        there = np.stack([file.run(image) for image in images])
        made_of = composition(operators_of(flatbuffer))
        row: Row = {
            "case": "export",
            "network": name,
            "head": head,
            "precision": method,
            "largest_difference": float(np.abs(there - here).max()),
            "largest_offset_difference": float(np.abs(there - here)[:, 0].max()),
            "offsets_std": float(here[:, 0].std()),
            "bytes": len(flatbuffer),
            "float_operations": made_of.counts.get("float", 0),
            "other_operations": sum(made_of.counts.values()) - made_of.counts.get("float", 0),
            "borders": made_of.borders,
            "int8_share": made_of.int8_share,
        }
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()

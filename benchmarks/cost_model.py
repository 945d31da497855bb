"""Fit the cost model of `wormfocus bench` to published figures, and say how far off it is on each.

    python benchmarks/cost_model.py --json benchmarks/results/cost_model.json

reads `edge/bench/published.json` and writes `edge/bench/cost_model.json`, which a test holds to be what the
figures give. With `--count` the published networks are first built with random weights, converted, quantized
and counted anew (workstation; some minutes), and their shares in `published.json` replaced.

Untrained networks do: only their operators are counted. Batch norms that start a residual branch at zero,
timm's default, do not, for the converter leaves out what is multiplied by nothing.
"""

import argparse
import json
from pathlib import Path

from methods.report import print_rows, write_report

from edge.bench.cost_fit import Published, fitted_document
from edge.bench.cost_model import Share, shares_of
from edge.bundle.operators import operators_of

FOLDER = Path(__file__).parents[1] / "edge" / "bench"
SIDE_PX = 224
# By the names of timm; SqueezeNet 1.0 is torchvision's.
NETWORKS = {
    "mobilenetv1": "mobilenetv1_100",
    "mobilenetv2": "mobilenetv2_100",
    "mobilenetv3_large": "mobilenetv3_large_100",
    "mobilenetv3_small": "mobilenetv3_small_100",
    "mnasnet": "mnasnet_100",
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "squeezenet": "squeezenet1_0",
}


def main() -> None:
    """Count where asked, fit, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", action="store_true", help="convert and count the networks anew")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    path = FOLDER / "published.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    if options.count:
        document["networks"] = counted(document)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    fitted = fitted_document(Published.model_validate(document))
    (FOLDER / "cost_model.json").write_text(json.dumps(fitted, indent=1) + "\n", encoding="utf-8")
    print_rows([{"case": row.pop("figure"), **row} for row in (dict(row) for row in fitted["left_out"])])
    print(json.dumps(fitted["model"], indent=1))
    if options.json is not None:
        write_report(options.json, fitted["left_out"], model=fitted["model"])


def counted(document: dict[str, list[dict[str, str]]]) -> dict[str, list[dict[str, object]]]:
    """Convert every network that a figure is of, at each precision, and add its operators up."""
    found = {}
    for wanted in sorted({f"{f['network']} {f['precision']}" for f in document["figures"]}):
        name, precision = wanted.split()
        model = converted(name, precision)
        found[wanted] = [share.model_dump() for share in shares(model)]
        print(wanted, sum(share["multiply_adds"] for share in found[wanted]), flush=True)
    return found


def shares(flatbuffer: bytes) -> list[Share]:
    """Add up the operators of a model."""
    return shares_of(operators_of(flatbuffer))


def converted(name: str, precision: str) -> bytes:
    """Build a network with random weights and make a TFLite model of it."""
    # timm and the converter import torchvision, which needs this first.
    import training.torchvision_compat  # noqa: F401

    # isort: split
    import numpy as np
    import timm
    import torchvision
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    from edge.bundle import InputSpec
    from export.convert import convert, quiet

    if name == "squeezenet":
        network = torchvision.models.squeezenet1_0(weights=None)
    else:
        options = {"zero_init_last": False} if "resnet" in name else {}
        network = timm.create_model(NETWORKS[name], pretrained=False, **options)
    flatbuffer = convert(network.eval(), InputSpec(width_px=SIDE_PX, height_px=SIDE_PX, um_per_px=1.0))
    if precision == "fp32":
        return flatbuffer
    image = np.random.default_rng(0).normal(size=(1, SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    with quiet():
        manager = recipe_manager.RecipeManager()
        manager.add_static_config(
            regex=".*",
            operation_name=recipe.TFLOperationName.ALL_SUPPORTED,
            activation_num_bits=8,
            weight_num_bits=8,
        )
        signature, names = next(iter(Interpreter(model_content=flatbuffer).get_signature_list().items()))
        worker = calibrator.Calibrator(flatbuffer, qsv_update_func=qsv_utils.min_max_update)
        worker.calibrate({signature: [{names["inputs"][0]: image}]}, manager)
        result = quantizer.Quantizer(bytearray(flatbuffer), manager.get_quantization_recipe())
        return bytes(result.quantize(worker.get_model_qsvs(), enable_progress_report=False).quantized_model)


if __name__ == "__main__":
    main()

"""Make the two tiny networks that the tests of `edge.bundle` run. Needs the `export` extra.

    python tests/edge/networks/make.py

`tint_float32.tflite` and `tint_int8.tflite` (int8 at the borders too) look at 12x8 pixels and give two
numbers that a test can work out by hand from the means R, G, B of the normalised colours:
0.5 R - 0.5 B and 0.25 G - 1.2345.
"""

from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
from ai_edge_quantizer.utils import qsv_utils
from torch import nn

WIDTH, HEIGHT = 12, 8


class Tint(nn.Module):
    """Two weighted sums of the mean colours."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[0.5, 0.0, -0.5], [0.0, 0.25, 0.0]])[:, :, None, None])
            self.conv.bias.copy_(torch.tensor([0.0, -1.2345]))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) to (N, 2)."""
        return torch.flatten(self.pool(self.conv(image)), 1)


def main() -> None:
    """Write both files beside this script."""
    folder = Path(__file__).parent
    path = folder / "tint_float32.tflite"
    network = litert_torch.to_channel_last_io(Tint().eval(), args=[0]).eval()
    litert_torch.convert(network, (torch.zeros(1, HEIGHT, WIDTH, 3),)).export(str(path))
    flatbuffer = path.read_bytes()

    manager = recipe_manager.RecipeManager()
    manager.add_static_config(
        regex=".*",
        operation_name=recipe.TFLOperationName.ALL_SUPPORTED,
        activation_num_bits=8,
        weight_num_bits=8,
    )
    signature, names = next(iter(Interpreter(model_content=flatbuffer).get_signature_list().items()))
    flat = [np.full((1, HEIGHT, WIDTH, 3), colour, np.float32) for colour in np.eye(3) * 4 - 2]
    extremes = [np.full((1, HEIGHT, WIDTH, 3), value, np.float32) for value in (-2, 2)]
    worker = calibrator.Calibrator(flatbuffer, qsv_update_func=qsv_utils.min_max_update)
    worker.calibrate({signature: [{names["inputs"][0]: image} for image in flat + extremes]}, manager)
    quantized = quantizer.Quantizer(str(path), manager.get_quantization_recipe())
    result = quantized.quantize(worker.get_model_qsvs(), enable_progress_report=False)
    (folder / "tint_int8.tflite").write_bytes(bytes(result.quantized_model))


if __name__ == "__main__":
    main()

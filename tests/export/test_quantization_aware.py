"""What is learnt with is what a file does: the same weights, the same ranges, the same results to a step."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the export extra")
pytest.importorskip("ai_edge_quantizer", reason="needs the export extra")

import torch
from torch import nn

from edge.bundle import InputSpec
from export.convert import convert
from export.quantize import quantize
from training.quantization_aware import RoundedNetwork
from training.rounding import folded, rounded_weights, steps

SIDE = 16


class Small(nn.Module):
    """All that is rounded in a way of its own; its answers are what its last convolution gives."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 2, 2)
        self.swish = nn.Hardswish()
        self.depthwise = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.pointwise = nn.Sequential(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.last = nn.Sequential(nn.Conv2d(8, 6, 8, bias=False), nn.BatchNorm2d(6))
        self.head = nn.Linear(6, 6)
        for norm in self.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.uniform_(norm.weight, 0.3, 3)
                nn.init.normal_(norm.bias)
        nn.init.eye_(self.head.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        inner = self.depthwise(self.swish(self.first(images)))
        out: torch.Tensor = self.head(self.last(inner + self.pointwise(inner)).flatten(1))
        return out


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(24, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def network(images: torch.Tensor) -> Small:
    torch.manual_seed(4)
    made = Small()
    with torch.no_grad():
        for _ in range(40):
            made.train()(images)
    return made.eval()


@pytest.fixture(scope="module")
def rounded(network: Small, images: torch.Tensor) -> RoundedNetwork:
    made = RoundedNetwork(network)
    made.observe(list(images.split(8)))
    return made


@pytest.fixture(scope="module")
def file(network: Small, images: torch.Tensor) -> bytes:
    spec = InputSpec(width_px=SIDE, height_px=SIDE, um_per_px=1)
    calibration = [np.ascontiguousarray(each[None]) for each in images.permute(0, 2, 3, 1).numpy()]
    return quantize(convert(network, spec), "static-int8", calibration)


def tensors(file: bytes) -> list[dict]:
    from ai_edge_litert.interpreter import Interpreter

    # Without the delegate, which packs constants away.
    interpreter = Interpreter(model_content=file, experimental_op_resolver_type=_plain())
    interpreter.allocate_tensors()
    found = []
    for each in interpreter.get_tensor_details():
        if each["dtype"] is np.int8:
            constant = each["name"] and each["quantization_parameters"]["scales"].size > 1
            value = interpreter.get_tensor(each["index"]) if constant else None
            found.append({**each["quantization_parameters"], "value": value})
    return found


def _plain():
    from ai_edge_litert.interpreter import OpResolverType

    return OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


def test_weights_are_those_of_the_file(network: Small, file: bytes) -> None:
    in_file = [each for each in tensors(file) if each["value"] is not None]
    for layer, norm in (network.depthwise[:2], network.pointwise, network.last):
        # (outputs, inputs, height, width) to the order of the file, where depthwise kernels lie flat.
        ours = rounded_weights(folded(layer, norm)[0]).detach().permute(0, 2, 3, 1).numpy()
        if layer.groups > 1:
            ours = ours.transpose(3, 1, 2, 0)
        same_shape = [each for each in in_file if each["value"].shape == ours.shape]
        assert len(same_shape) == 1
        (theirs,) = same_shape
        shape = [1] * 4
        shape[theirs["quantized_dimension"]] = -1
        values = theirs["value"] * theirs["scales"].reshape(shape)
        assert ours == pytest.approx(values, abs=1e-5 * float(np.abs(values).max()))
    assert len(in_file) == 3


def test_ranges_are_those_of_the_file(rounded: RoundedNetwork, file: bytes) -> None:
    in_file = {
        (float(f"{each['scales'][0]:.4g}"), int(each["zero_points"][0]))
        for each in tensors(file)
        if each["scales"].size == 1
    }
    step, zero = steps(*rounded.ranges.T)
    ours = {(float(f"{s:.4g}"), int(z)) for s, z in zip(step.tolist(), zero.tolist(), strict=True)}
    # Of hard swish, the depthwise convolution with its activation, the pointwise one, the sum, the last.
    assert len(ours) == 5
    assert ours == in_file


def test_results_are_those_of_the_file_to_a_step(
    network: Small, rounded: RoundedNetwork, file: bytes, images: torch.Tensor
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=file)
    interpreter.allocate_tensors()
    source, sink = (
        d[0]["index"] for d in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    theirs = []
    for image in images.permute(0, 2, 3, 1).numpy():
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        theirs.append(interpreter.get_tensor(sink)[0])
    with torch.no_grad():
        ours, plain = rounded(images).numpy(), network(images).numpy()
    step = float(steps(*rounded.ranges[-1])[0])
    # A file has the mean error of each answer taken out of it.
    shift = np.median(np.array(theirs) - ours, axis=0)
    apart = np.abs(np.array(theirs) - ours - shift)
    assert apart.max() <= 2.01 * step
    assert (apart <= 1.01 * step).mean() > 0.95
    # Which the float network is not.
    assert np.abs(np.array(theirs) - plain - shift).mean() > 3 * apart.mean()

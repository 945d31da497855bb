"""Looking into flatbuffers; the shift itself is tested with quantization."""

from pathlib import Path

import numpy as np
import pytest

from export.flatbuffer import first_convolution, shift_outputs
from hw.errors import ConfigError

TINT = Path(__file__).parents[1] / "edge" / "networks" / "tint_float32.tflite"


def test_the_first_convolution_is_found_by_name() -> None:
    name = first_convolution(TINT.read_bytes())
    assert name is not None
    assert "Conv2d_conv" in name


def test_a_network_without_a_linear_end_cannot_be_shifted() -> None:
    with pytest.raises(ConfigError, match="does not end in a fully connected layer") as caught:
        shift_outputs(TINT.read_bytes(), np.zeros(2, np.float32))
    assert "\n" not in str(caught.value)

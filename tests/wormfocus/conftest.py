"""Small labelled stacks, and a bundle that can judge them."""

import hashlib
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.label import Label, write_label
from calibration.stack import ZStack, write_stack
from edge.bundle import FocusCard, write_bundle
from training.labelled import collect, fingerprint

NETWORK = Path(__file__).parents[1] / "edge" / "networks" / "tint_float32.tflite"


@pytest.fixture(scope="session")
def stacks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stacks")
    rng = np.random.default_rng(0)
    for number in range(12):
        planes = [
            cv2.GaussianBlur(rng.integers(0, 256, (36, 36, 3), np.uint8), (0, 0), 1 + z) for z in range(4)
        ]
        path = folder / f"s{number:02d}.ome.tif"
        write_stack(path, ZStack(np.stack(planes), np.array([-400.0, -100, 200, 500]), 3.1, f"worm-{number}"))
        write_label(path, Label(50.0, 1.0, "made up"))
    return folder


@pytest.fixture
def bundle(stacks, tmp_path):
    flatbuffer = NETWORK.read_bytes()
    card = FocusCard.model_validate(
        {
            "name": "tint",
            "architecture": "tint",
            "input": {"width_px": 12, "height_px": 8, "um_per_px": 6.2},
            "normalisation": {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)},
            "input_dtype": "float32",
            "outputs": {"kind": "offset_sigma", "scale_um": 500},
            "trained_range_um": 1500,
            "rig": "worm_tracker",
            "optics": {"um_per_px": 1.55, "na": 0.05, "dof_um": 220},
            "training": {
                "recipe": "x",
                "fingerprint": fingerprint(collect([stacks], print)),
                "specimens": 1,
                "planes": 1,
                "seed": 0,
                "specimens_sha256": "0" * 64,
            },
            "validation": {},
            "parity": {"n": 1, "float_mae_um": 1, "file_mae_um": 1, "ratio": 1, "mean_abs_difference_um": 0},
            "quantization": "none",
            "created": date(2026, 1, 1),
            "flatbuffer_sha256": hashlib.sha256(flatbuffer).hexdigest(),
            "versions": {},
        }
    )
    path = tmp_path / "tint.tflite"
    write_bundle(path, flatbuffer, card)
    return path

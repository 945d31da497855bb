"""Predictions of the shipped bundle on fixed windows, one number triple per line of JSON.

The windows come from a generator of integers, so that every machine sees the very same pixels.
"""

import json
import platform
import sys

import cv2
import numpy as np

from edge.bundle import Predictor, load_bundle, window_px

WINDOWS = 12


def main() -> int:
    bundle = load_bundle("default")
    predictor = Predictor(bundle)
    width, height = window_px(bundle.card.input, 1.55)
    random = np.random.default_rng(20)
    rows = []
    for index in range(WINDOWS):
        coarse = random.integers(
            40, 216, (height // 2 ** (index % 4), width // 2 ** (index % 4), 3), np.uint8
        )
        # Nearest neighbours only: interpolation may round differently on another processor.
        window = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
        prediction = predictor.predict(window)
        rows.append([prediction.offset_um, prediction.sigma_um, prediction.in_range])
    scale_um = bundle.card.outputs.scale_um
    print(json.dumps({"machine": platform.machine(), "scale_um": scale_um, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

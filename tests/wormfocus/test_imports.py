"""What an import may load: a Pi waits for it, and may not have it."""

import subprocess
import sys

import pytest

LEARNING = {"torch", "torchvision", "timm", "lightning", "litert_torch", "ai_edge_quantizer", "ray"}
REPORTING = {"matplotlib", "scipy"}
HARDWARE = {"gpiod", "lgpio", "RPi", "picamera2"}
SIGNING = {"cryptography"}

LOAD_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module("{package}")
for module in pkgutil.walk_packages(package.__path__, "{package}."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(*{{name.partition(".")[0] for name in sys.modules}})
"""


def loaded_by(package: str) -> set[str]:
    code = LOAD_ALL.format(package=package)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("package", ["hw", "calibration", "edge"])
def test_the_rig_side_loads_nothing_for_learning_reporting_or_hardware(package: str) -> None:
    loaded = loaded_by(package)
    assert "numpy" in loaded
    assert not loaded & (LEARNING | REPORTING | HARDWARE | SIGNING)


def test_the_command_line_loads_nothing_heavy_before_a_command_runs() -> None:
    assert not loaded_by("wormfocus") & (
        LEARNING | REPORTING | HARDWARE | SIGNING | {"cv2", "ai_edge_litert"}
    )

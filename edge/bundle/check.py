"""Whether a bundle runs here, fits the rig, and is quick enough for its frames."""

import importlib
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter

import numpy as np

from edge.bundle.file import Bundle, load_bundle
from edge.bundle.fit import check_fits
from edge.bundle.network import INTERPRETERS
from edge.bundle.predictor import Predictor
from edge.bundle.window import window_px
from hw.check import Check, Status
from hw.config import RigConfig

__all__ = ["check_bundle", "check_runtime"]

PREDICTIONS = 30
# The tracker and the controller need the rest of a frame's period.
SHARE_OF_PERIOD = 0.5


def check_runtime() -> Check:
    """Look for the interpreter that runs networks."""
    name, reasons = "LiteRT runtime", list[str]()
    for module in INTERPRETERS:
        package = module.partition(".")[0]
        try:
            importlib.import_module(module)
        # A library that does not suit the machine fails in many ways.
        except Exception as error:
            reasons.append(f"{package}: {' '.join(str(error).split()) or type(error).__name__}")
            continue
        try:
            return Check(name, Status.ok, f"{package} {version(package.replace('_', '-'))}")
        except PackageNotFoundError:
            return Check(name, Status.ok, package)
    return Check(name, Status.missing, "; ".join(reasons), "pip install ai-edge-litert")


def check_bundle(bundle: str, rig: RigConfig) -> list[Check]:
    """Load a bundle, compare it with a rig and let it predict.

    Parameters
    ----------
    bundle : a path, or the name of a shipped bundle
    rig : the rig file

    Raises
    ------
    BundleError
        It is damaged, does not fit the rig, or does not run here.
    """
    loaded = load_bundle(bundle)
    check_fits(loaded.card, rig)
    fits = Check(
        "bundle",
        Status.ok,
        f"{loaded.card.name} for {loaded.card.rig}, fits; range +-{loaded.card.trained_range_um:g} um",
    )
    return [fits, _check_speed(loaded, rig)]


def _check_speed(bundle: Bundle, rig: RigConfig) -> Check:
    name = "prediction"
    predictor = Predictor(bundle)
    width, height = window_px(bundle.card.input, rig.optics.um_per_px)
    window = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    took_ms, offsets = [], []
    for _ in range(PREDICTIONS):
        begin_s = perf_counter()
        offsets.append(predictor.predict(window).offset_um)
        took_ms.append((perf_counter() - begin_s) * 1e3)
    period_ms = 1e3 / rig.camera.fps
    middle, late = float(np.median(took_ms)), float(np.quantile(took_ms, 0.99))
    seen = f"{middle:.1f} ms, {late:.1f} ms at 99 %, of a frame's {period_ms:.1f} ms"
    if len(set(offsets)) > 1 or not np.isfinite(offsets).all():
        return Check(name, Status.failed, f"{seen}; not the same twice", "update ai-edge-litert")
    if middle > period_ms:
        return Check(name, Status.failed, seen, "lower camera.fps, or choose a smaller network")
    if late > SHARE_OF_PERIOD * period_ms:
        return Check(
            name, Status.warning, seen, "lower camera.fps, stop other programs or use a smaller network"
        )
    return Check(name, Status.ok, seen)

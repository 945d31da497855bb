"""One file for the rig that cannot be mismatched: a network and its card; and running it."""

from edge.bundle.card import (
    LOG_SIGMA_LIMITS,
    AncestorRecord,
    FocusCard,
    InputSpec,
    Normalisation,
    OutputSpec,
    Parity,
    TrainedOptics,
    TrainingRecord,
)
from edge.bundle.file import Bundle, load_bundle, shipped_bundles, write_bundle
from edge.bundle.fit import check_fits
from edge.bundle.network import Network
from edge.bundle.predictor import Prediction, Predictor
from edge.bundle.signature import PublicKey, Signature, load_public_key
from edge.bundle.window import resize_to_input, window_px

__all__ = [
    "LOG_SIGMA_LIMITS",
    "AncestorRecord",
    "Bundle",
    "FocusCard",
    "InputSpec",
    "Network",
    "Normalisation",
    "OutputSpec",
    "Parity",
    "Prediction",
    "Predictor",
    "PublicKey",
    "Signature",
    "TrainedOptics",
    "TrainingRecord",
    "check_fits",
    "load_bundle",
    "load_public_key",
    "resize_to_input",
    "shipped_bundles",
    "window_px",
    "write_bundle",
]

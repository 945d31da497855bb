"""From a PyTorch network to a float TFLite flatbuffer."""

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from edge.bundle import InputSpec, Normalisation
from export.pixels import FromPixels
from export.rewrite import rewritten

__all__ = ["convert"]


def convert(
    network: nn.Module,
    spec: InputSpec,
    *,
    pixels: Normalisation | None = None,
    rewrite: bool = True,
) -> bytes:
    """Convert a network to TFLite with the colours last, as images lie in memory on the rig.

    Parameters
    ----------
    network : in evaluation mode; takes (N, channels, height, width) float32, normalised
    spec : the image it takes
    pixels : the normalisation, to be part of the file, which then takes uint8; without, the file takes what
        is normalised already
    rewrite : bring what converts badly into an equal form first, see `export.rewrite`

    Returns
    -------
    bytes
        A flatbuffer that takes (1, height, width, channels) float32, or uint8, and gives the same numbers to
        about 1e-5 of their size.
    """
    example = torch.zeros(1, spec.height_px, spec.width_px, spec.channels)
    if pixels is not None:
        example = example.to(torch.uint8)
    with tempfile.TemporaryDirectory() as folder, quiet():
        import training.torchvision_compat  # noqa: F401, I001 - the converter imports torchvision
        import litert_torch

        if rewrite:
            network = rewritten(network)
        if pixels is not None:
            network = FromPixels(network, pixels)
        channels_last = litert_torch.to_channel_last_io(network, args=[0]).eval()
        path = Path(folder) / "float.tflite"
        litert_torch.convert(channels_last, (example,)).export(str(path))
        return path.read_bytes()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the converters' chatter, progress bars and warnings about themselves out of a command's output."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield

"""One network asked about several patches of a field (paper 2)."""

from collections.abc import Sequence

import torch
from torch import nn

from hw.errors import ConfigError

__all__ = ["Patches", "patch_corners"]


def patch_corners(height_px: int, width_px: int, side_px: int, rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return the top left corner (row, column) of each patch, row by row.

    Rows are spread evenly from the top edge to the bottom. The longest row reaches from edge to edge; shorter
    ones have its spacing and stand in the middle, so that (2, 3, 2) is a hexagon around a centre.

    Parameters
    ----------
    height_px, width_px : of the field
    side_px : of a patch, which is square
    rows : number of patches in each row

    Raises
    ------
    ConfigError
        A patch is larger than the field, or there are fewer than two.
    """
    if side_px > min(height_px, width_px):
        raise ConfigError(
            f"patches of {side_px} pixels do not fit into an input of {width_px}x{height_px}; "
            "choose smaller patches"
        )
    if sum(rows) < 2:
        raise ConfigError("a single patch has nothing to agree with; give more, or choose head 'offset'")
    longest = max(rows)
    down = (height_px - side_px) / (len(rows) - 1) if len(rows) > 1 else 0.0
    across = (width_px - side_px) / (longest - 1) if longest > 1 else 0.0
    corners = []
    for row, count in enumerate(rows):
        top = row * down if len(rows) > 1 else (height_px - side_px) / 2
        left = (width_px - side_px - (count - 1) * across) / 2
        corners += [(round(top), round(left + column * across)) for column in range(count)]
    return corners


class Patches(nn.Module):
    """Asks one network about each patch.

    Parameters
    ----------
    network : maps (N, 3, side_px, side_px) to (N, 1)
    corners : top left corner of each of P patches
    side_px : of a patch
    """

    def __init__(self, network: nn.Module, corners: Sequence[tuple[int, int]], side_px: int) -> None:
        super().__init__()
        self.network = network
        self.corners = tuple(corners)
        self.side_px = side_px

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) to (N, P)."""
        side = self.side_px
        # All in one batch: P small ones would waste a GPU, and batch normalisation sees more of the field.
        patches = torch.cat(
            [images[:, :, top : top + side, left : left + side] for top, left in self.corners]
        )
        out: torch.Tensor = self.network(patches).reshape(len(self.corners), -1).transpose(0, 1)
        return out

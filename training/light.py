"""The simulator's light on a GPU: the one sum that nearly all of its time goes into, done by torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hw.errors import ConfigError

__all__ = ["TorchSum"]


@dataclass(frozen=True)
class TorchSum:
    """Adds up the images of all source points on a device (`hw.simulation.optics.SumOverSource`).

    Attributes
    ----------
    device : that torch knows
    at_once : source points that are transformed together; more need more of the device's memory
    """

    device: str
    at_once: int = 32

    @staticmethod
    def on(device: str) -> "TorchSum":
        """Choose a device.

        Raises
        ------
        ConfigError
            torch has no such device here.
        """
        try:
            torch.zeros(1, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(
                f"device '{device}': torch cannot use it ({reason}); leave --device out for processors"
            ) from error
        return TorchSum(device)

    def __call__(
        self,
        spectrum: NDArray[np.complex64],
        transfer: NDArray[np.complex64],
        corners: Sequence[tuple[int, int]],
        shape: tuple[int, int],
    ) -> NDArray[np.float32]:
        """Return the sum, (H, W); see `hw.simulation.optics.SumOverSource`."""
        rows, columns = transfer.shape
        light = torch.from_numpy(np.ascontiguousarray(spectrum)).to(self.device)
        pupil = torch.from_numpy(transfer).to(self.device)
        energy = torch.zeros(shape, device=self.device)
        for start in range(0, len(corners), self.at_once):
            some = corners[start : start + self.at_once]
            lit = torch.zeros((len(some), *shape), dtype=torch.complex64, device=self.device)
            for place, (top, left) in enumerate(some):
                lit[place, :rows, :columns] = light[top : top + rows, left : left + columns] * pupil
            field = torch.fft.ifft2(lit)
            energy += (field.real.square() + field.imag.square()).sum(0)
        return energy.cpu().numpy()

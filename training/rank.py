"""One training run in several processes: which of them this is, what falls to it, what all of them share.

The words are those of `torch.distributed`: each process has a device and a *rank*, from 0.
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

from hw.errors import ConfigError

__all__ = ["ALONE", "Rank", "device_count", "join_ranks", "of_all_ranks", "of_first_rank"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rank:
    """A process of a training run.

    Attributes
    ----------
    number : from 0
    of : how many there are
    """

    number: int = 0
    of: int = 1

    def block(self, count: int, size: int = 1) -> slice:
        """Return which of so many things in a row fall to this rank: neighbours, as many as to others.

        Parameters
        ----------
        count : of things
        size : of packs that stay together, the last of which may hold fewer
        """
        packs = -(-count // size)
        first, last = (packs * number // self.of for number in (self.number, self.number + 1))
        return slice(first * size, min(count, last * size))


ALONE = Rank()


def device_count(asked: int | None, batch: int) -> int:
    """Return on how many devices a run trains.

    Parameters
    ----------
    asked : that many; None for all GPUs that CUDA shows, or the processor where there is none
    batch : images in a step, which are shared out evenly

    Raises
    ------
    ConfigError
        CUDA shows fewer, or they cannot have equal shares.
    """
    gpus = torch.cuda.device_count()
    count = max(1, gpus) if asked is None else asked
    if count < 1 or (gpus and count > gpus):
        there = f"CUDA shows {gpus}" if gpus else "a run needs one"
        raise ConfigError(f"devices: {count}, and {there}; give --devices {max(1, gpus)}, or none for all")
    if batch % count:
        fewer = next(fewer for fewer in range(count, 0, -1) if batch % fewer == 0)
        raise ConfigError(
            f"batch: {batch} images cannot be shared out evenly among {count} devices; give --devices "
            f"{fewer}, or a recipe with a batch of {count * max(1, round(batch / count))}"
        )
    return count


def join_ranks(rank: Rank, meeting_place: str) -> None:
    """Meet the other processes, all of which are on this machine, and take this one's device.

    Parameters
    ----------
    rank : of this process
    meeting_place : path of a file that is not there, the same for all
    """
    # By this Lightning knows that processes are there already, and which of them it is in.
    os.environ |= {"LOCAL_RANK": str(rank.number), "NODE_RANK": "0"}
    backend, device = "gloo", None
    if torch.cuda.is_available():
        backend, device = "nccl", torch.device("cuda", rank.number)
        torch.cuda.set_device(device)
    elif loopback := [name for _, name in socket.if_nameindex() if name.startswith("lo")]:
        # They need not be heard outside.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback[0])
    distributed.init_process_group(
        backend,
        init_method=f"file://{meeting_place}",
        rank=rank.number,
        world_size=rank.of,
        device_id=device,
    )


def of_first_rank(value: float) -> float:
    """Return what rank 0 gives, to all ranks, each of which must call this."""
    if not _together():
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def of_all_ranks(items: Sequence[T]) -> list[T]:
    """Return what all ranks give, in their order, to all of them, each of which must call this."""
    if not _together():
        return list(items)
    given: list[Sequence[T]] = [[]] * distributed.get_world_size()
    distributed.all_gather_object(given, items)
    return [item for each in given for item in each]


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
